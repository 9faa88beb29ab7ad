//! An object that can be written in every form that a client may ask for.

use crate::json;

/// An object or a list of objects of an API group.
pub trait Object: Send + Sync {
    /// `metrics.k8s.io/v1beta1`.
    fn api_version(&self) -> &str;

    /// `PodMetricsList`.
    fn kind(&self) -> &str;

    /// Appends it as JSON, `kind` and `apiVersion` included.
    fn json(&self, out: &mut Vec<u8>);

    /// Appends a piece of the JSON; `from` is 0 at first and then what the call before gave; `None` when
    /// that was the last piece. A long list is written so without ever being whole in memory.
    fn json_piece(&self, from: usize, out: &mut Vec<u8>) -> Option<usize> {
        let _ = from;
        self.json(out);
        None
    }

    /// Appends it as the protobuf message of its kind, without the envelope that names the kind
    /// (the frame writes that).
    fn protobuf(&self, out: &mut Vec<u8>);

    /// What `kubectl get` prints; `None` where there is no such form. Each row's object is what
    /// `include` says; `version` is that of the table (`v1`, `v1beta1`).
    fn table(&self, include: Include, version: &str) -> Option<Table> {
        let _ = (include, version);
        None
    }
}

/// What the rows of a table carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Include {
    /// Nothing.
    None,
    /// The metadata, as [`partial_metadata`] writes it.
    Metadata,
    /// The object.
    Object,
}

/// What `kubectl get` prints (`meta.k8s.io/v1`, `Table`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// What the cells mean.
    pub columns: Vec<Column>,
    /// One for each object.
    pub rows: Vec<Row>,
}

/// A row of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// As many as there are columns.
    pub cells: Vec<String>,
    /// The row's object as JSON; empty for none.
    pub object: Vec<u8>,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its heading.
    pub name: String,
    /// `name`, `quantity`, `duration`, …
    pub format: &'static str,
    /// One line for people.
    pub description: &'static str,
}

/// Appends a `PartialObjectMetadata` around the JSON of an object's metadata.
pub fn partial_metadata(out: &mut Vec<u8>, version: &str, metadata: impl FnOnce(&mut Vec<u8>)) {
    let head = "{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/";
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(version.as_bytes());
    out.extend_from_slice(b"\",\"metadata\":");
    metadata(out);
    out.push(b'}');
}

impl Table {
    /// Appends it as JSON.
    pub(crate) fn json(&self, version: &str, out: &mut Vec<u8>) {
        let head = format!(
            "{{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/{version}\",\"metadata\":{{}},\"columnDefinitions\":["
        );
        out.extend_from_slice(head.as_bytes());
        for (i, column) in self.columns.iter().enumerate() {
            out.extend_from_slice(if i == 0 { b"{\"name\":" } else { b",{\"name\":" });
            json::string(out, &column.name);
            out.extend_from_slice(b",\"type\":\"string\",\"format\":");
            json::string(out, column.format);
            out.extend_from_slice(b",\"description\":");
            json::string(out, column.description);
            out.extend_from_slice(b",\"priority\":0}");
        }
        out.extend_from_slice(b"],\"rows\":[");
        for (i, row) in self.rows.iter().enumerate() {
            out.extend_from_slice(if i == 0 { b"{\"cells\":[" } else { b",{\"cells\":[" });
            for (i, cell) in row.cells.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                json::string(out, cell);
            }
            out.extend_from_slice(b"],\"object\":");
            out.extend_from_slice(if row.object.is_empty() { b"null" } else { &row.object });
            out.push(b'}');
        }
        out.extend_from_slice(b"]}");
    }
}
