//! metrics.k8s.io v1beta1: what nodes and pods use, for `kubectl top` and the autoscaler.
//!
//! Which objects there are is said by the API server's nodes and running pods, what they use by the store.
//! Shapes, orders and errors are metrics-server's (`pkg/api` of v0.9.0).

mod schemas;

use super::object::{Column, Include, Row, Table};
use super::{
    Answer, Answering, Group, Metadata, Object, Request, Resource, Status, duration,
    partial_metadata, protobuf, quantity, timestamp,
};
use crate::json;
use cluster::{FieldSelector, Node, NodeCache, Pod, PodCache, Selector};
use resource::{PodView, Store, Usage, View};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

const GROUP: &str = "metrics.k8s.io";
const API_VERSION: &str = "metrics.k8s.io/v1beta1";
/// Objects that are written between two looks at other requests.
const PIECE: usize = 128;

/// The group.
pub struct ResourceMetrics {
    store: Arc<Store>,
    nodes: NodeCache,
    pods: PodCache,
    served: Box<dyn Fn(i64) + Send + Sync>,
}

impl ResourceMetrics {
    /// The group over what is known of nodes and pods.
    pub fn new(store: Arc<Store>, nodes: NodeCache, pods: PodCache) -> ResourceMetrics {
        ResourceMetrics { store, nodes, pods, served: Box::new(|_| {}) }
    }

    /// Tells `served` the age, in nanoseconds, of what is answered for each object.
    #[must_use]
    pub fn observed(self, served: impl Fn(i64) + Send + Sync + 'static) -> ResourceMetrics {
        ResourceMetrics { served: Box::new(served), ..self }
    }

    fn get(&self, request: &Request) -> Result<Answer, Status> {
        let wanted = &request.attributes;
        let now_ns = now_ns();
        match (wanted.resource.as_str(), wanted.namespace.is_empty(), wanted.name.is_empty()) {
            ("nodes", true, true) => self.list(request, now_ns, |s, l, f| s.nodes.list(None, l, f)),
            ("pods", true, true) => self.list(request, now_ns, |s, l, f| s.pods.list(None, l, f)),
            ("pods", false, true) => {
                self.list(request, now_ns, |s, l, f| s.pods.list(Some(&wanted.namespace), l, f))
            }
            ("nodes", true, false) => {
                let name = &wanted.name;
                self.synced(Node::SYNCED)?;
                let node = self.nodes.get(name);
                let node = node.ok_or_else(|| Status::not_found("", "nodes", name))?;
                let missing = || Status::not_found(GROUP, "nodemetrics", name);
                self.one(node, now_ns).ok_or_else(missing)
            }
            ("pods", false, false) => {
                let (namespace, name) = (&wanted.namespace, &wanted.name);
                self.synced(Pod::SYNCED)?;
                let pod = self.pods.get(namespace, name);
                let pod = pod.ok_or_else(|| Status::not_found("", "pods", name))?;
                let known = format!("{namespace}/{name}");
                let missing = || Status::not_found(GROUP, "podmetrics", &known);
                self.one(pod, now_ns).ok_or_else(missing)
            }
            _ => Err(Status::no_such_path()),
        }
    }

    fn one<T: Measured>(&self, object: Arc<T>, now_ns: i64) -> Option<Answer> {
        let one = One { object, store: self.store.clone(), now_ns };
        let time_ns = one.with(|_, measured| T::time_ns(measured))?;
        if let Some(time_ns) = time_ns {
            (self.served)(now_ns - time_ns);
        }
        Some(Answer::object(one))
    }

    fn list<T: Measured>(
        &self,
        request: &Request,
        now_ns: i64,
        find: impl Fn(&ResourceMetrics, &Selector, &FieldSelector) -> Vec<Arc<T>>,
    ) -> Result<Answer, Status> {
        let wrong = |e: String| Status::bad_request(e);
        let labels = Selector::parse(request.parameter("labelSelector"));
        let labels = labels.map_err(|e| wrong(e.to_string()))?;
        let fields = FieldSelector::parse(request.parameter("fieldSelector"), T::FIELDS);
        let fields = fields.map_err(|e| wrong(e.to_string()))?;
        self.synced(T::SYNCED)?;
        let mut objects = find(self, &labels, &fields);
        let view = self.store.view();
        objects.retain(|object| {
            let Some(measured) = T::measure(object, &view) else { return false };
            if let Some(time_ns) = T::time_ns(&measured) {
                (self.served)(now_ns - time_ns);
            }
            true
        });
        drop(view);
        let store = self.store.clone();
        Ok(Answer::object(Many { objects, store, now_ns }))
    }

    fn synced(&self, synced: impl Fn(&ResourceMetrics) -> bool) -> Result<(), Status> {
        if synced(self) {
            return Ok(());
        }
        let why = "the API server has not listed nodes and pods to us yet";
        Err(Status::unavailable(why))
    }
}

impl Group for ResourceMetrics {
    fn name(&self) -> &'static str {
        GROUP
    }

    fn versions(&self) -> &'static [&'static str] {
        &["v1beta1"]
    }

    fn resources(&self, _: &str) -> Vec<Resource> {
        let of = |name: &str, kind, namespaced| Resource {
            name: name.into(),
            kind,
            namespaced,
            verbs: &["get", "list"],
        };
        vec![of("nodes", "NodeMetrics", false), of("pods", "PodMetrics", true)]
    }

    fn answer<'a>(&'a self, request: &'a Request) -> Answering<'a> {
        Box::pin(async move { self.get(request) })
    }

    fn schemas(&self, _: &str) -> &'static str {
        schemas::SCHEMAS
    }
}

fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_nanos() as i64
}

/// A node or a pod: what both have in common for this API.
trait Measured: cluster::Object {
    const KIND: &'static str;
    const LIST_KIND: &'static str;
    const FIELDS: &'static [&'static str];
    const SYNCED: fn(&ResourceMetrics) -> bool;
    type Of<'a>;

    /// What it used; `None` where that is not known.
    fn measure<'a>(object: &Self, view: &'a View<'_>) -> Option<Self::Of<'a>>;
    /// The end and the length of its window.
    fn window(of: &Self::Of<'_>) -> Option<(i64, i64)>;
    /// Appends the members after the window, with a comma before.
    fn usage_json(of: &Self::Of<'_>, out: &mut Vec<u8>);
    /// Appends the fields after the window.
    fn usage_protobuf(of: &Self::Of<'_>, out: &mut Vec<u8>);
    /// CPU and memory together; `None` where there is nothing to add up.
    fn total(of: &Self::Of<'_>) -> Option<(u64, u64)>;

    fn time_ns(of: &Self::Of<'_>) -> Option<i64> {
        Self::window(of).map(|w| w.0)
    }
}

impl Measured for Node {
    const KIND: &'static str = "NodeMetrics";
    const LIST_KIND: &'static str = "NodeMetricsList";
    const FIELDS: &'static [&'static str] = &["metadata.name"];
    const SYNCED: fn(&ResourceMetrics) -> bool = |api| api.nodes.synced();
    type Of<'a> = Usage;

    fn measure(node: &Node, view: &View<'_>) -> Option<Usage> {
        view.node(&node.name)
    }

    fn window(usage: &Usage) -> Option<(i64, i64)> {
        Some((usage.time_ns, usage.window_ns))
    }

    fn usage_json(usage: &Usage, out: &mut Vec<u8>) {
        out.push(b',');
        usage_json(usage, out);
    }

    fn usage_protobuf(usage: &Usage, out: &mut Vec<u8>) {
        usage_protobuf(usage, out, 4);
    }

    fn total(usage: &Usage) -> Option<(u64, u64)> {
        Some((usage.cpu_nanocores, usage.memory_bytes))
    }
}

impl Measured for Pod {
    const KIND: &'static str = "PodMetrics";
    const LIST_KIND: &'static str = "PodMetricsList";
    const FIELDS: &'static [&'static str] = &["metadata.name", "metadata.namespace"];
    const SYNCED: fn(&ResourceMetrics) -> bool = |api| api.pods.synced();
    type Of<'a> = PodView<'a>;

    fn measure<'a>(pod: &Pod, view: &'a View<'_>) -> Option<PodView<'a>> {
        view.pod(&pod.namespace, &pod.name)
    }

    fn window(of: &PodView<'_>) -> Option<(i64, i64)> {
        of.window()
    }

    fn usage_json(of: &PodView<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(b",\"containers\":[");
        for (i, (name, usage)) in of.containers().enumerate() {
            out.extend_from_slice(if i == 0 { b"{\"name\":" } else { b",{\"name\":" });
            json::string(out, name);
            out.push(b',');
            usage_json(&usage, out);
            out.push(b'}');
        }
        out.push(b']');
    }

    fn usage_protobuf(of: &PodView<'_>, out: &mut Vec<u8>) {
        for (name, usage) in of.containers() {
            protobuf::message(out, 4, |out| {
                protobuf::string(out, 1, name);
                usage_protobuf(&usage, out, 2);
            });
        }
    }

    fn total(of: &PodView<'_>) -> Option<(u64, u64)> {
        let add = |sum: Option<(u64, u64)>, usage: Usage| {
            let (cpu, memory) = sum.unwrap_or_default();
            Some((
                cpu.saturating_add(usage.cpu_nanocores),
                memory.saturating_add(usage.memory_bytes),
            ))
        };
        of.containers().map(|c| c.1).fold(None, add)
    }
}

fn usage_json(usage: &Usage, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"usage\":{\"cpu\":\"");
    quantity::decimal(out, usage.cpu_nanocores, -9);
    out.extend_from_slice(b"\",\"memory\":\"");
    quantity::binary(out, usage.memory_bytes);
    out.extend_from_slice(b"\"}");
}

fn usage_protobuf(usage: &Usage, out: &mut Vec<u8>, field: u32) {
    let mut text = Vec::new();
    let mut entry = |key, write: &dyn Fn(&mut Vec<u8>)| {
        text.clear();
        write(&mut text);
        protobuf::message(out, field, |out| {
            protobuf::string(out, 1, key);
            protobuf::message(out, 2, |out| protobuf::bytes(out, 1, &text));
        });
    };
    entry("cpu", &|text| quantity::decimal(text, usage.cpu_nanocores, -9));
    entry("memory", &|text| quantity::binary(text, usage.memory_bytes));
}

fn metadata<T: Measured>(
    object: &T,
    now_ns: i64,
) -> Metadata<'_, impl Iterator<Item = (&str, &str)>> {
    Metadata {
        name: object.name(),
        namespace: object.namespace(),
        created_ns: now_ns,
        labels: object.labels().iter(),
    }
}

/// Appends the members of an object after `{`.
fn members<T: Measured>(object: &T, of: &T::Of<'_>, now_ns: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"metadata\":");
    metadata(object, now_ns).json(out);
    out.extend_from_slice(b",\"timestamp\":");
    let window_ns = match T::window(of) {
        Some((time_ns, window_ns)) => {
            timestamp(out, time_ns);
            window_ns
        }
        None => {
            out.extend_from_slice(b"null");
            0
        }
    };
    out.extend_from_slice(b",\"window\":");
    json::string(out, &duration(window_ns));
    T::usage_json(of, out);
    out.push(b'}');
}

fn message<T: Measured>(object: &T, of: &T::Of<'_>, now_ns: i64, out: &mut Vec<u8>) {
    metadata(object, now_ns).protobuf(out, 1);
    let window = T::window(of);
    match window {
        Some((time_ns, _)) => protobuf::time(out, 2, time_ns),
        None => protobuf::message(out, 2, |_| {}),
    }
    protobuf::message(out, 3, |out| protobuf::integer(out, 1, window.map_or(0, |w| w.1)));
    T::usage_protobuf(of, out);
}

/// One object.
struct One<T> {
    object: Arc<T>,
    store: Arc<Store>,
    now_ns: i64,
}

impl<T: Measured> One<T> {
    fn with<R>(&self, read: impl FnOnce(&T, &T::Of<'_>) -> R) -> Option<R> {
        let view = self.store.view();
        let measured = T::measure(&self.object, &view)?;
        Some(read(&self.object, &measured))
    }
}

impl<T: Measured> Object for One<T> {
    fn api_version(&self) -> &str {
        API_VERSION
    }

    fn kind(&self) -> &str {
        T::KIND
    }

    fn json(&self, out: &mut Vec<u8>) {
        let head = format!("{{\"kind\":\"{}\",\"apiVersion\":\"{API_VERSION}\",", T::KIND);
        out.extend_from_slice(head.as_bytes());
        let written = self.with(|object, of| members(object, of, self.now_ns, out));
        if written.is_none() {
            // Forgotten since it was found: the object without values.
            out.extend_from_slice(b"\"metadata\":");
            metadata(&*self.object, self.now_ns).json(out);
            out.push(b'}');
        }
    }

    fn protobuf(&self, out: &mut Vec<u8>) {
        self.with(|object, of| message(object, of, self.now_ns, out));
    }

    fn table(&self, include: Include, version: &str) -> Option<Table> {
        let objects = std::slice::from_ref(&self.object);
        Some(table(objects, &self.store, self.now_ns, include, version))
    }
}

/// A list of objects.
struct Many<T> {
    objects: Vec<Arc<T>>,
    store: Arc<Store>,
    now_ns: i64,
}

impl<T: Measured> Object for Many<T> {
    fn api_version(&self) -> &str {
        API_VERSION
    }

    fn kind(&self) -> &str {
        T::LIST_KIND
    }

    fn json(&self, out: &mut Vec<u8>) {
        let mut next = Some(0);
        while let Some(from) = next {
            next = self.json_piece(from, out);
        }
    }

    fn json_piece(&self, from: usize, out: &mut Vec<u8>) -> Option<usize> {
        if from == 0 {
            let kind = T::LIST_KIND;
            let head = format!(
                "{{\"kind\":\"{kind}\",\"apiVersion\":\"{API_VERSION}\",\"metadata\":{{}},\"items\":["
            );
            out.extend_from_slice(head.as_bytes());
        }
        let view = self.store.view();
        let to = (from + PIECE).min(self.objects.len());
        for (at, object) in self.objects.iter().enumerate().take(to).skip(from) {
            // What was forgotten since it was found keeps its place, so that commas stay simple.
            out.extend_from_slice(if at == 0 { b"{" } else { b",{" });
            match T::measure(object, &view) {
                Some(of) => members(&**object, &of, self.now_ns, out),
                None => {
                    out.extend_from_slice(b"\"metadata\":");
                    metadata(&**object, self.now_ns).json(out);
                    out.push(b'}');
                }
            }
        }
        if to < self.objects.len() {
            return Some(to);
        }
        out.extend_from_slice(b"]}");
        None
    }

    fn protobuf(&self, out: &mut Vec<u8>) {
        protobuf::message(out, 1, |out| {
            for field in 1..=3 {
                protobuf::string(out, field, "");
            }
        });
        let view = self.store.view();
        for object in &self.objects {
            if let Some(of) = T::measure(object, &view) {
                protobuf::message(out, 2, |out| message(&**object, &of, self.now_ns, out));
            }
        }
    }

    fn table(&self, include: Include, version: &str) -> Option<Table> {
        Some(table(&self.objects, &self.store, self.now_ns, include, version))
    }
}

/// As metrics-server: the columns are those of the first object, and none where there is none.
fn table<T: Measured>(
    objects: &[Arc<T>],
    store: &Store,
    now_ns: i64,
    include: Include,
    version: &str,
) -> Table {
    let view = store.view();
    let mut table = Table::default();
    for object in objects {
        let Some(of) = T::measure(object, &view) else { continue };
        let total = T::total(&of);
        let column = |name: &str, format| Column { name: name.into(), format, description: "" };
        if table.columns.is_empty() {
            let description = "Name of the resource";
            table.columns.push(Column { description, ..column("Name", "name") });
            if total.is_some() {
                table.columns.extend([column("cpu", "quantity"), column("memory", "quantity")]);
            }
            table.columns.push(column("Window", "duration"));
        }
        let mut cells = vec![object.name().to_string()];
        if let Some((cpu, memory)) = total {
            let text = |write: &dyn Fn(&mut Vec<u8>)| {
                let mut out = Vec::new();
                write(&mut out);
                String::from_utf8(out).unwrap_or_default()
            };
            cells.push(text(&|out| quantity::decimal(out, cpu, -9)));
            cells.push(text(&|out| quantity::binary(out, memory)));
        }
        cells.push(duration(T::window(&of).map_or(0, |w| w.1)));
        let mut row = Row { cells, object: Vec::new() };
        match include {
            Include::None => {}
            Include::Metadata => partial_metadata(&mut row.object, version, |out| {
                metadata(&**object, now_ns).json(out);
            }),
            Include::Object => {
                let head = format!("{{\"kind\":\"{}\",\"apiVersion\":\"{API_VERSION}\",", T::KIND);
                row.object.extend_from_slice(head.as_bytes());
                members(&**object, &of, now_ns, &mut row.object);
            }
        }
        table.rows.push(row);
    }
    table
}
