//! An object that can be written in every form that a client may ask for.

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

    /// What `kubectl get` prints; `None` where there is no such form.
    fn table(&self) -> Option<Table> {
        None
    }
}

/// What `kubectl get` prints (`meta.k8s.io/v1`, `Table`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// What the cells mean.
    pub columns: Vec<Column>,
    /// The cells of each row, and the row's object as JSON.
    pub rows: Vec<(Vec<String>, Vec<u8>)>,
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
