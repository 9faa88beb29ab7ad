//! custom.metrics.k8s.io, versions v1beta1 and v1beta2: metrics of objects, as the autoscaler asks
//! for them.
//!
//! Paths are `namespaces/NS/RESOURCE/NAME/METRIC`, with `*` for the name and a label selector,
//! `namespaces/NS/metrics/METRIC` for the namespace itself, and `RESOURCE/NAME/METRIC` for objects of
//! the whole cluster. Never here: what the metrics are; that is `resource::custom`'s. Follows
//! `k8s.io/metrics/pkg/apis/custom_metrics`.

use super::forward::Forward;
use super::metric_world::{MetricWorld, failure};
use super::{Answer, Answering, Group, Object, Request, Resource, Status, protobuf, timestamp};
use crate::json;
use cluster::{Selector, Test};
use promql::{Engine, QueryOptions};
use resource::adapter::ApiResource;
use resource::custom::{self, Metrics, ObjectQuestion, ObjectValue, View};
use std::sync::Arc;

/// The group.
pub const GROUP: &str = "custom.metrics.k8s.io";

/// The group's answers.
pub struct Custom {
    metrics: Arc<Metrics>,
    world: Arc<dyn MetricWorld>,
    engine: Engine,
    forward: Option<Arc<Forward>>,
}

impl Custom {
    /// The metrics that rules define; what they do not know is asked of `forward`.
    pub fn new(
        metrics: Arc<Metrics>,
        world: Arc<dyn MetricWorld>,
        engine: Engine,
        forward: Option<Arc<Forward>>,
    ) -> Custom {
        Custom { metrics, world, engine, forward }
    }

    /// Looks for metrics again and again, so that discovery shows those that came.
    pub async fn keep_listed(self: Arc<Custom>) {
        loop {
            let (metrics, world, engine) =
                (self.metrics.clone(), self.world.clone(), self.engine.clone());
            if let Ok(storage) = world.storage() {
                let listed = super::metric_world::run(move |interrupt| {
                    let query = QueryOptions { interrupt, ..QueryOptions::default() };
                    let resources = world.resources();
                    let view = View {
                        storage: &*storage,
                        engine: &engine,
                        resources: &resources,
                        now_ms: world.now_ms(),
                        query: &query,
                    };
                    metrics.known(&view).map(|_| ())
                });
                if let Ok(Err(why)) = listed.await {
                    tracing::warn!("{why}");
                }
            }
            tokio::time::sleep(std::time::Duration::from_secs(10)).await;
        }
    }

    async fn respond(&self, request: &Request) -> Result<Answer, Status> {
        let wanted = Wanted::of(request)?;
        let resources = self.world.resources();
        let Some(found) = resources.by_path(&wanted.resource) else {
            return match &self.forward {
                Some(forward) => forward.ask(request).await,
                None => Err(unknown_resource(&wanted)),
            };
        };
        let namespace = wanted.namespace.as_deref();
        let names = match &*wanted.name {
            "*" => self.world.names(found, namespace, &wanted.objects).await?,
            name => vec![name.to_owned()],
        };
        if names.is_empty() {
            return Err(Status::new(404, "NotFound", nothing_selected(&wanted)));
        }
        let asked = Asked {
            resource: found.clone(),
            namespace: wanted.namespace.clone(),
            names,
            metric: wanted.metric.clone(),
            selector: wanted.series.clone(),
        };
        match self.ask(asked).await? {
            Ok(values) => Ok(Answer::object(List {
                version: wanted.version,
                resource: found.clone(),
                namespace: wanted.namespace.unwrap_or_default(),
                metric: wanted.metric,
                selector: wanted.series,
                values,
            })),
            Err(custom::Error::Unknown { .. }) if self.forward.is_some() => match &self.forward {
                Some(forward) => forward.ask(request).await,
                None => Err(Status::no_such_path()),
            },
            Err(error) => Err(failure(&error)),
        }
    }

    async fn ask(&self, asked: Asked) -> Result<Result<Vec<ObjectValue>, custom::Error>, Status> {
        let (metrics, world, engine) =
            (self.metrics.clone(), self.world.clone(), self.engine.clone());
        let storage = world.storage()?;
        super::metric_world::run(move |interrupt| {
            let query = QueryOptions { interrupt, ..QueryOptions::default() };
            let resources = world.resources();
            let view = View {
                storage: &*storage,
                engine: &engine,
                resources: &resources,
                now_ms: world.now_ms(),
                query: &query,
            };
            let question = ObjectQuestion {
                resource: &asked.resource,
                namespace: asked.namespace.as_deref(),
                names: &asked.names,
                metric: &asked.metric,
                selector: &asked.selector,
            };
            metrics.objects(&view, &question)
        })
        .await
    }
}

/// A question that can go to another thread.
struct Asked {
    resource: ApiResource,
    namespace: Option<String>,
    names: Vec<String>,
    metric: String,
    selector: Selector,
}

/// What a request is for.
struct Wanted {
    version: &'static str,
    resource: String,
    namespace: Option<String>,
    name: String,
    metric: String,
    /// Which objects, for `*`.
    objects: Selector,
    /// Which series.
    series: Selector,
}

impl Wanted {
    fn of(request: &Request) -> Result<Wanted, Status> {
        let a = &request.attributes;
        let version = match &*a.version {
            "v1beta1" => "v1beta1",
            "v1beta2" => "v1beta2",
            _ => return Err(Status::no_such_path()),
        };
        if !matches!(&*a.verb, "get" | "list") {
            return Err(Status::method_not_supported(a));
        }
        let selector = |name: &str| {
            let text = request.parameter(name);
            let wrong = |e| Status::bad_request(format!("{name} {text:?}: {e}"));
            Selector::parse(text).map_err(wrong)
        };
        let (resource, namespace, name, metric) = match (&*a.namespace, &*a.resource) {
            ("", resource) => (resource, None, &a.name, &a.subresource),
            // The namespace itself: its pseudo-resource is "metrics".
            (namespace, "metrics") if a.subresource.is_empty() => {
                ("namespaces", None, &namespace.to_owned(), &a.name)
            }
            (namespace, resource) => {
                (resource, Some(namespace.to_owned()), &a.name, &a.subresource)
            }
        };
        if name.is_empty() || metric.is_empty() {
            return Err(Status::no_such_path());
        }
        Ok(Wanted {
            version,
            resource: resource.to_owned(),
            namespace,
            name: name.clone(),
            metric: metric.clone(),
            objects: selector("labelSelector")?,
            series: selector("metricLabelSelector")?,
        })
    }
}

fn unknown_resource(wanted: &Wanted) -> Status {
    let Wanted { metric, resource, .. } = wanted;
    let what = format!("metric {metric:?}: the API server knows no resource {resource:?}");
    Status::new(404, "NotFound", what)
}

fn nothing_selected(wanted: &Wanted) -> String {
    let Wanted { metric, resource, objects, .. } = wanted;
    let within =
        wanted.namespace.as_ref().map_or(String::new(), |n| format!(" in namespace {n:?}"));
    format!("metric {metric:?}: no {resource}{within} match the selector {:?}", objects.to_string())
}

impl Group for Custom {
    fn name(&self) -> &'static str {
        GROUP
    }

    fn versions(&self) -> &'static [&'static str] {
        &["v1beta2", "v1beta1"]
    }

    fn resources(&self, _version: &str) -> Vec<Resource> {
        let known = self.metrics.listed();
        let resources = self.world.resources();
        let mut all: Vec<Resource> = known
            .map_or_else(Vec::new, |known| known.custom(&resources))
            .into_iter()
            .map(|m| entry(format!("{}/{}", m.resource, m.metric), m.namespaced))
            .collect();
        if let Some(forward) = &self.forward {
            all.extend(forward.resources().into_iter().map(|(name, ns)| entry(name, ns)));
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all.dedup_by(|a, b| a.name == b.name);
        all
    }

    fn answer<'a>(&'a self, request: &'a Request) -> Answering<'a> {
        Box::pin(self.respond(request))
    }

    fn schemas(&self, _version: &str) -> &'static str {
        ""
    }
}

fn entry(name: String, namespaced: bool) -> Resource {
    Resource { name, kind: "MetricValueList", namespaced, verbs: &["get"] }
}

/// `MetricValueList`
struct List {
    version: &'static str,
    resource: ApiResource,
    namespace: String,
    metric: String,
    selector: Selector,
    values: Vec<ObjectValue>,
}

impl List {
    fn value_json(&self, value: &ObjectValue, out: &mut Vec<u8>) {
        let mut field = |name: &str, text: &str| {
            out.extend_from_slice(name.as_bytes());
            json::string(out, text);
        };
        field("{\"describedObject\":{\"kind\":", &self.resource.kind);
        if !self.namespace.is_empty() {
            field(",\"namespace\":", &self.namespace);
        }
        field(",\"name\":", &value.name);
        field(",\"apiVersion\":", &self.resource.api_version());
        if self.version == "v1beta1" {
            field("},\"metricName\":", &self.metric);
        } else {
            field("},\"metric\":{\"name\":", &self.metric);
            out.extend_from_slice(b",\"selector\":");
            selector_json(&self.selector, out);
            out.push(b'}');
        }
        out.extend_from_slice(b",\"timestamp\":");
        timestamp(out, value.time_ms.saturating_mul(1_000_000));
        if let Some(seconds) = value.window_seconds {
            let name = if self.version == "v1beta1" { "window" } else { "windowSeconds" };
            out.extend_from_slice(format!(",\"{name}\":{seconds}").as_bytes());
        }
        out.extend_from_slice(b",\"value\":");
        json::string(out, &value.value);
        if self.version == "v1beta1" {
            out.extend_from_slice(b",\"selector\":");
            selector_json(&self.selector, out);
        }
        out.push(b'}');
    }

    fn value_protobuf(&self, value: &ObjectValue, out: &mut Vec<u8>) {
        protobuf::message(out, 1, |out| {
            protobuf::string(out, 1, &self.resource.kind);
            protobuf::string(out, 2, &self.namespace);
            protobuf::string(out, 3, &value.name);
            protobuf::string(out, 4, "");
            protobuf::string(out, 5, &self.resource.api_version());
            protobuf::string(out, 6, "");
            protobuf::string(out, 7, "");
        });
        if self.version == "v1beta1" {
            protobuf::string(out, 2, &self.metric);
        } else {
            protobuf::message(out, 2, |out| {
                protobuf::string(out, 1, &self.metric);
                selector_protobuf(&self.selector, 2, out);
            });
        }
        protobuf::time(out, 3, value.time_ms.saturating_mul(1_000_000));
        if let Some(seconds) = value.window_seconds {
            protobuf::integer(out, 4, seconds);
        }
        protobuf::quantity(out, 5, &value.value);
        if self.version == "v1beta1" {
            selector_protobuf(&self.selector, 6, out);
        }
    }
}

impl Object for List {
    fn api_version(&self) -> &str {
        match self.version {
            "v1beta1" => "custom.metrics.k8s.io/v1beta1",
            _ => "custom.metrics.k8s.io/v1beta2",
        }
    }

    fn kind(&self) -> &str {
        "MetricValueList"
    }

    fn json(&self, out: &mut Vec<u8>) {
        let head = format!(
            "{{\"kind\":\"MetricValueList\",\"apiVersion\":\"{}\",\"metadata\":{{}},\"items\":[",
            self.api_version()
        );
        out.extend_from_slice(head.as_bytes());
        for (i, value) in self.values.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            self.value_json(value, out);
        }
        out.extend_from_slice(b"]}");
    }

    fn protobuf(&self, out: &mut Vec<u8>) {
        protobuf::message(out, 1, list_meta);
        for value in &self.values {
            protobuf::message(out, 2, |out| self.value_protobuf(value, out));
        }
    }
}

/// An empty `ListMeta`.
pub(super) fn list_meta(out: &mut Vec<u8>) {
    for field in 1..=3 {
        protobuf::string(out, field, "");
    }
}

/// A selector as a `LabelSelector`, `null` for an empty one.
fn selector_json(selector: &Selector, out: &mut Vec<u8>) {
    if selector.is_empty() {
        return out.extend_from_slice(b"null");
    }
    let (labels, expressions) = parts(selector);
    out.push(b'{');
    if !labels.is_empty() {
        out.extend_from_slice(b"\"matchLabels\":{");
        for (i, (key, value)) in labels.iter().enumerate() {
            out.extend_from_slice(if i > 0 { b"," } else { b"" });
            json::string(out, key);
            out.push(b':');
            json::string(out, value);
        }
        out.push(b'}');
    }
    if !expressions.is_empty() {
        out.extend_from_slice(if labels.is_empty() { b"" } else { b"," });
        out.extend_from_slice(b"\"matchExpressions\":[");
        for (i, (key, operator, values)) in expressions.iter().enumerate() {
            out.extend_from_slice(if i > 0 { b"," } else { b"" });
            out.extend_from_slice(b"{\"key\":");
            json::string(out, key);
            out.extend_from_slice(b",\"operator\":");
            json::string(out, operator);
            if !values.is_empty() {
                out.extend_from_slice(b",\"values\":");
                json::strings(out, values.iter().map(String::as_str));
            }
            out.push(b'}');
        }
        out.push(b']');
    }
    out.push(b'}');
}

fn selector_protobuf(selector: &Selector, field: u32, out: &mut Vec<u8>) {
    if selector.is_empty() {
        return;
    }
    let (labels, expressions) = parts(selector);
    protobuf::message(out, field, |out| {
        for (key, value) in labels {
            protobuf::entry(out, 1, key, value);
        }
        for (key, operator, values) in expressions {
            protobuf::message(out, 2, |out| {
                protobuf::string(out, 1, key);
                protobuf::string(out, 2, operator);
                for value in values {
                    protobuf::string(out, 3, value);
                }
            });
        }
    });
}

type Expression<'a> = (&'a str, &'static str, &'a [String]);

/// Equalities, which go into `matchLabels`, and the rest.
fn parts(selector: &Selector) -> (Vec<(&str, &str)>, Vec<Expression<'_>>) {
    let (mut labels, mut expressions) = (Vec::new(), Vec::new());
    for requirement in selector.requirements() {
        let key = requirement.key.as_str();
        match &requirement.test {
            Test::In(values) if values.len() == 1 => labels.push((key, values[0].as_str())),
            Test::In(values) => expressions.push((key, "In", values.as_slice())),
            Test::NotIn(values) => expressions.push((key, "NotIn", values.as_slice())),
            Test::Exists => expressions.push((key, "Exists", &[][..])),
            Test::Absent => expressions.push((key, "DoesNotExist", &[][..])),
            // No LabelSelector can say it; nor does any metric answer to it.
            Test::Above(_) | Test::Below(_) => {}
        }
    }
    (labels, expressions)
}
