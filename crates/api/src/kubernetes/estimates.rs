//! kubevigil.dev/v1 `estimates`: what workloads' containers used, and what to ask for; docs/estimates.md
//! has the fields.
//!
//! `GET …/estimates`, `…/namespaces/NS/estimates` and `…/estimates?image=IMAGE` for a workload that is
//! yet to come. Never here: the estimator; that is `resource::estimate`'s.

use super::object::{Column, Include, Row, Table};
use super::{
    Answer, Answering, Group, Object, Request, Resource, Status, partial_metadata, protobuf,
};
use crate::json;
use resource::estimate::{Estimate, Estimates, Proposal, Statistics, propose};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

const GROUP: &str = "kubevigil.dev";
const API_VERSION: &str = "kubevigil.dev/v1";

/// The group.
pub struct EstimateGroup {
    estimates: Arc<Estimates>,
}

impl EstimateGroup {
    /// The group over what is estimated.
    pub fn new(estimates: Arc<Estimates>) -> EstimateGroup {
        EstimateGroup { estimates }
    }

    fn get(&self, request: &Request) -> Result<Answer, Status> {
        let wanted = &request.attributes;
        if wanted.resource != "estimates" || !wanted.subresource.is_empty() {
            return Err(Status::no_such_path());
        }
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let now_ms = since.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX));
        let namespace = Some(wanted.namespace.as_str()).filter(|n| !n.is_empty());
        match (wanted.name.as_str(), request.parameter("image")) {
            ("", "") => {
                let all = self.estimates.list(namespace, now_ms).into_iter().map(One::new);
                Ok(Answer::object(List(all.collect())))
            }
            ("", image) if namespace.is_none() => {
                let found = self.estimates.of_image(image, now_ms);
                Ok(Answer::object(List(found.map(One::new).into_iter().collect())))
            }
            ("", _) => Err(Status::bad_request("image= goes without a namespace")),
            (name, _) => {
                let mut all = self.estimates.list(namespace, now_ms).into_iter().map(One::new);
                let found = all.find(|one| one.name() == name);
                Ok(Answer::object(
                    found.ok_or_else(|| Status::not_found(GROUP, "estimates", name))?,
                ))
            }
        }
    }
}

impl Group for EstimateGroup {
    fn name(&self) -> &'static str {
        GROUP
    }

    fn versions(&self) -> &'static [&'static str] {
        &["v1"]
    }

    fn resources(&self, _version: &str) -> Vec<Resource> {
        let name = "estimates".to_owned();
        vec![Resource { name, kind: "Estimate", namespaced: true, verbs: &["get", "list"] }]
    }

    fn answer<'a>(&'a self, request: &'a Request) -> Answering<'a> {
        Box::pin(async move { self.get(request) })
    }

    fn schemas(&self, _version: &str) -> &'static str {
        ""
    }
}

/// `Estimate`
struct One {
    estimate: Estimate,
    proposal: Proposal,
}

/// `EstimateList`
struct List(Vec<One>);

impl One {
    fn new(estimate: Estimate) -> One {
        let proposal = propose(&estimate);
        One { estimate, proposal }
    }

    /// `deployment.web.app`; empty for an image's.
    fn name(&self) -> String {
        let Estimate { kind, name, container, .. } = &self.estimate;
        match name.is_empty() {
            true => String::new(),
            false => format!("{}.{name}.{container}", kind.to_lowercase()),
        }
    }

    fn metadata(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"name\":");
        json::string(out, &self.name());
        if !self.estimate.namespace.is_empty() {
            out.extend_from_slice(b",\"namespace\":");
            json::string(out, &self.estimate.namespace);
        }
        out.push(b'}');
    }

    fn fields(&self, out: &mut Vec<u8>) {
        let e = &self.estimate;
        let mut text = |name: &str, value: &str| {
            out.extend_from_slice(format!(",\"{name}\":").as_bytes());
            json::string(out, value);
        };
        text("workloadKind", &e.kind);
        text("workload", &e.name);
        text("container", &e.container);
        text("image", &e.image);
        for (name, statistics) in [("cpuCores", e.cpu), ("memoryBytes", e.memory)] {
            let Statistics { p50, p95, p99, peak } = statistics;
            out.extend_from_slice(format!(",\"{name}\":{{").as_bytes());
            for (i, (name, value)) in
                [("p50", p50), ("p95", p95), ("p99", p99), ("peak", peak)].iter().enumerate()
            {
                out.extend_from_slice(if i > 0 { b",\"" } else { b"\"" });
                out.extend_from_slice(format!("{name}\":{value}").as_bytes());
            }
            out.push(b'}');
        }
        for (name, time_ms) in [("first", e.first_ms), ("last", e.last_ms)] {
            out.extend_from_slice(format!(",\"{name}\":").as_bytes());
            super::timestamp(out, time_ms.saturating_mul(1_000_000));
        }
        let p = &self.proposal;
        let tail = format!(
            ",\"observedSeconds\":{},\"proposal\":{{\"requests\":{{\"cpu\":\"{}m\",\"memory\":\"{}Mi\"}},\
             \"limits\":{{\"memory\":\"{}Mi\"}},\"confidence\":\"{}\",\"evidence\":",
            e.observed_seconds,
            p.cpu_request_milli,
            p.memory_request_bytes >> 20,
            p.memory_limit_bytes >> 20,
            p.confidence
        );
        out.extend_from_slice(tail.as_bytes());
        json::string(out, &p.evidence);
        out.push(b'}');
    }

    fn row(&self, include: Include, version: &str) -> Row {
        let (e, p) = (&self.estimate, &self.proposal);
        let mebibytes = |bytes: f64| format!("{:.0}Mi", bytes / f64::from(1 << 20));
        let mut object = Vec::new();
        match include {
            Include::None => {}
            Include::Metadata => partial_metadata(&mut object, version, |out| self.metadata(out)),
            Include::Object => self.json(&mut object),
        }
        let cells = vec![
            self.name(),
            format!("{:.0}m", e.cpu.p95 * 1000.0),
            format!("{:.0}m", e.cpu.peak * 1000.0),
            mebibytes(e.memory.p95),
            mebibytes(e.memory.peak),
            format!("{}m", p.cpu_request_milli),
            format!("{}Mi", p.memory_request_bytes >> 20),
            p.confidence.to_owned(),
        ];
        Row { cells, object }
    }
}

fn table(rows: Vec<Row>) -> Table {
    let column = |(name, description): (&str, &'static str)| Column {
        name: name.to_owned(),
        format: if name == "Name" { "name" } else { "" },
        description,
    };
    let columns = [
        ("Name", "Kind, workload and container."),
        ("CPU p95", "95 % of the time less was used."),
        ("CPU peak", "The most of the last 8 days."),
        ("Memory p95", "95 % of the time less was used."),
        ("Memory peak", "The most of the last 8 days."),
        ("CPU request", "Proposed."),
        ("Memory request", "Proposed."),
        ("Confidence", "low under a day, high from a week on."),
    ];
    Table { columns: columns.map(column).into(), rows }
}

impl Object for One {
    fn api_version(&self) -> &str {
        API_VERSION
    }

    fn kind(&self) -> &str {
        "Estimate"
    }

    fn json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(
            b"{\"kind\":\"Estimate\",\"apiVersion\":\"kubevigil.dev/v1\",\"metadata\":",
        );
        self.metadata(out);
        self.fields(out);
        out.push(b'}');
    }

    /// There is no schema in protobuf: the metadata alone is written, as for other such kinds.
    fn protobuf(&self, out: &mut Vec<u8>) {
        protobuf::message(out, 1, |out| {
            protobuf::string(out, 1, &self.name());
            protobuf::string(out, 3, &self.estimate.namespace);
        });
    }

    fn table(&self, include: Include, version: &str) -> Option<Table> {
        Some(table(vec![self.row(include, version)]))
    }
}

impl Object for List {
    fn api_version(&self) -> &str {
        API_VERSION
    }

    fn kind(&self) -> &str {
        "EstimateList"
    }

    fn json(&self, out: &mut Vec<u8>) {
        let mut next = Some(0);
        while let Some(from) = next {
            next = self.json_piece(from, out);
        }
    }

    fn json_piece(&self, from: usize, out: &mut Vec<u8>) -> Option<usize> {
        const PIECE: usize = 128;
        if from == 0 {
            out.extend_from_slice(
                b"{\"kind\":\"EstimateList\",\"apiVersion\":\"kubevigil.dev/v1\",\"metadata\":{},\"items\":[",
            );
        }
        let to = self.0.len().min(from + PIECE);
        for (i, one) in self.0.iter().enumerate().take(to).skip(from) {
            out.extend_from_slice(if i > 0 { b",{\"metadata\":" } else { b"{\"metadata\":" });
            one.metadata(out);
            one.fields(out);
            out.push(b'}');
        }
        if to < self.0.len() {
            return Some(to);
        }
        out.extend_from_slice(b"]}");
        None
    }

    fn protobuf(&self, out: &mut Vec<u8>) {
        protobuf::message(out, 1, super::custom::list_meta);
        for one in &self.0 {
            protobuf::message(out, 2, |out| one.protobuf(out));
        }
    }

    fn table(&self, include: Include, version: &str) -> Option<Table> {
        Some(table(self.0.iter().map(|one| one.row(include, version)).collect()))
    }
}
