//! external.metrics.k8s.io/v1beta1: metrics of nothing in the cluster, as the autoscaler asks for them.
//!
//! The one path is `namespaces/NS/METRIC`. Never here: what the metrics are; that is
//! `resource::custom`'s. Follows `k8s.io/metrics/pkg/apis/external_metrics`.

use super::custom::list_meta;
use super::forward::Forward;
use super::metric_world::{MetricWorld, failure, run};
use super::{Answer, Answering, Group, Object, Request, Resource, Status, protobuf, timestamp};
use crate::json;
use cluster::Selector;
use promql::{Engine, QueryOptions};
use resource::custom::{self, ExternalQuestion, ExternalValue, Metrics, View};
use std::sync::Arc;

/// The group.
pub const GROUP: &str = "external.metrics.k8s.io";

/// The group's answers.
pub struct External {
    metrics: Arc<Metrics>,
    world: Arc<dyn MetricWorld>,
    engine: Engine,
    forward: Option<Arc<Forward>>,
}

impl External {
    /// The metrics that rules define; what they do not know is asked of `forward`.
    pub fn new(
        metrics: Arc<Metrics>,
        world: Arc<dyn MetricWorld>,
        engine: Engine,
        forward: Option<Arc<Forward>>,
    ) -> External {
        External { metrics, world, engine, forward }
    }

    async fn respond(&self, request: &Request) -> Result<Answer, Status> {
        let a = &request.attributes;
        if !matches!(&*a.verb, "get" | "list") {
            return Err(Status::method_not_supported(a));
        }
        if a.namespace.is_empty() || a.resource.is_empty() || !a.name.is_empty() {
            return Err(Status::no_such_path());
        }
        let text = request.parameter("labelSelector");
        let wrong = |e| Status::bad_request(format!("labelSelector {text:?}: {e}"));
        let selector = Selector::parse(text).map_err(wrong)?;
        let (namespace, metric) = (a.namespace.clone(), a.resource.clone());
        let (metrics, world, engine) =
            (self.metrics.clone(), self.world.clone(), self.engine.clone());
        let storage = world.storage()?;
        let values = run(move |interrupt| {
            let query = QueryOptions { interrupt, ..QueryOptions::default() };
            let resources = world.resources();
            let view = View {
                storage: &*storage,
                engine: &engine,
                resources: &resources,
                now_ms: world.now_ms(),
                query: &query,
            };
            let (namespace, metric, selector) = (&*namespace, &*metric, &selector);
            metrics.external_values(&view, &ExternalQuestion { namespace, metric, selector })
        })
        .await?;
        match (values, &self.forward) {
            (Ok(values), _) => Ok(Answer::object(List { metric: a.resource.clone(), values })),
            (Err(custom::Error::Unknown { .. }), Some(forward)) => forward.ask(request).await,
            (Err(error), _) => Err(failure(&error)),
        }
    }
}

impl Group for External {
    fn name(&self) -> &'static str {
        GROUP
    }

    fn versions(&self) -> &'static [&'static str] {
        &["v1beta1"]
    }

    fn resources(&self, _version: &str) -> Vec<Resource> {
        let known = self.metrics.listed();
        let mut names = known.map_or_else(Vec::new, |known| known.external());
        if let Some(forward) = &self.forward {
            names.extend(forward.resources().into_iter().map(|r| r.0));
        }
        names.sort();
        names.dedup();
        let kind = "ExternalMetricValueList";
        let entry = |name| Resource { name, kind, namespaced: true, verbs: &["get"] };
        names.into_iter().map(entry).collect()
    }

    fn answer<'a>(&'a self, request: &'a Request) -> Answering<'a> {
        Box::pin(self.respond(request))
    }

    fn schemas(&self, _version: &str) -> &'static str {
        ""
    }
}

/// `ExternalMetricValueList`
struct List {
    metric: String,
    values: Vec<ExternalValue>,
}

impl Object for List {
    fn api_version(&self) -> &str {
        "external.metrics.k8s.io/v1beta1"
    }

    fn kind(&self) -> &str {
        "ExternalMetricValueList"
    }

    fn json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(
            b"{\"kind\":\"ExternalMetricValueList\",\
              \"apiVersion\":\"external.metrics.k8s.io/v1beta1\",\"metadata\":{},\"items\":[",
        );
        for (i, value) in self.values.iter().enumerate() {
            out.extend_from_slice(if i > 0 { b"," } else { b"" });
            out.extend_from_slice(b"{\"metricName\":");
            json::string(out, &self.metric);
            out.extend_from_slice(b",\"metricLabels\":{");
            for (i, (name, text)) in value.labels.iter().enumerate() {
                out.extend_from_slice(if i > 0 { b"," } else { b"" });
                json::string(out, name);
                out.push(b':');
                json::string(out, text);
            }
            out.extend_from_slice(b"},\"timestamp\":");
            timestamp(out, value.time_ms.saturating_mul(1_000_000));
            if let Some(seconds) = value.window_seconds {
                out.extend_from_slice(format!(",\"window\":{seconds}").as_bytes());
            }
            out.extend_from_slice(b",\"value\":");
            json::string(out, &value.value);
            out.push(b'}');
        }
        out.extend_from_slice(b"]}");
    }

    fn protobuf(&self, out: &mut Vec<u8>) {
        protobuf::message(out, 1, list_meta);
        for value in &self.values {
            protobuf::message(out, 2, |out| {
                protobuf::string(out, 1, &self.metric);
                for (name, text) in &value.labels {
                    protobuf::entry(out, 2, name, text);
                }
                protobuf::time(out, 3, value.time_ms.saturating_mul(1_000_000));
                if let Some(seconds) = value.window_seconds {
                    protobuf::integer(out, 4, seconds);
                }
                protobuf::quantity(out, 5, &value.value);
            });
        }
    }
}
