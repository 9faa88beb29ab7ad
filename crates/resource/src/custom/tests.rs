//! Custom and external metrics over a store in memory: what is listed, found, refused, and used again.

use super::*;
use model::Sample;
use promql::promqltest::MemoryStore;

const RULES: &str = r#"
rules:
- seriesQuery: http_requests_total
  resources: {template: <<.Resource>>}
  name: {matches: "^(.*)_total$"}
  metricsQuery: sum(rate(<<.Series>>{<<.LabelMatchers>>}[2m])) by (<<.GroupBy>>)
externalRules:
- seriesQuery: queue_length
  resources: {template: <<.Resource>>}
  metricsQuery: <<.Series>>{<<.LabelMatchers>>}
metrics:
- name: requests_per_second
  query: sum by (namespace, pod) (rate(http_requests_total[2m]))
- name: requests_by_code
  query: sum by (namespace, pod, code) (rate(http_requests_total[2m]))
- name: load
  object: nodes
  label: instance
  query: node_load1
- name: jobs_waiting
  external: true
  query: queue_length
- name: answer
  external: true
  query: 40 + 2.5
"#;

/// Two pods in namespace `shop`, one in `other`: 3, 5 and 7 requests a second, 1 a second with code 500.
fn store() -> MemoryStore {
    let mut store = MemoryStore::default();
    let mut add = |pairs: &[(&str, &str)], slope: f64, offset_ms: i64| {
        let labels = Labels::from_pairs(pairs.iter().copied());
        for i in 0..41 {
            let value = Value::Float(slope * 15.0 * f64::from(i));
            store.append(
                &labels,
                Sample { time_ms: i64::from(i) * 15_000 - offset_ms, start_ms: 0, value },
            );
        }
    };
    let request = |ns, pod, code| {
        [("__name__", "http_requests_total"), ("namespace", ns), ("pod", pod), ("code", code)]
    };
    add(&request("shop", "web-1", "200"), 2.0, 1000);
    add(&request("shop", "web-1", "500"), 1.0, 1000);
    add(&request("shop", "web-2", "200"), 4.0, 3000);
    add(&request("shop", "web-2", "500"), 1.0, 3000);
    add(&request("other", "web-1", "200"), 7.0, 1000);
    add(&[("__name__", "node_load1"), ("instance", "n1")], 0.01, 0);
    add(&[("__name__", "queue_length"), ("namespace", "shop"), ("queue", "mail")], 0.1, 2000);
    add(&[("__name__", "queue_length"), ("namespace", "other"), ("queue", "mail")], 0.2, 2000);
    store
}

struct World {
    store: MemoryStore,
    engine: Engine,
    resources: ApiResources,
    query: QueryOptions,
    metrics: Metrics,
    now_ms: i64,
}

impl World {
    fn new() -> World {
        World {
            store: store(),
            engine: Engine::default(),
            resources: ApiResources::well_known(),
            query: QueryOptions::default(),
            metrics: Metrics::new(Rules::parse(RULES, "r.yml").expect("reads"), Options::default()),
            now_ms: 600_000,
        }
    }

    fn view(&self) -> View<'_> {
        View {
            storage: &self.store,
            engine: &self.engine,
            resources: &self.resources,
            now_ms: self.now_ms,
            query: &self.query,
        }
    }

    /// `name value @seconds/window`, for each object.
    fn objects(
        &self,
        resource: &str,
        namespace: &str,
        names: &[&str],
        metric: &str,
        selector: &str,
    ) -> Result<Vec<String>, String> {
        let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
        let selector = Selector::parse(selector).expect("a selector");
        let question = ObjectQuestion {
            resource: self.resources.by_path(resource).expect("a resource"),
            namespace: Some(namespace).filter(|n| !n.is_empty()),
            names: &names,
            metric,
            selector: &selector,
        };
        let values = self.metrics.objects(&self.view(), &question).map_err(|e| e.to_string())?;
        let show = |v: &ObjectValue| {
            format!("{} {} @{}/{:?}", v.name, v.value, v.time_ms / 1000, v.window_seconds)
        };
        Ok(values.iter().map(show).collect())
    }

    fn external(
        &self,
        namespace: &str,
        metric: &str,
        selector: &str,
    ) -> Result<Vec<String>, String> {
        let selector = Selector::parse(selector).expect("a selector");
        let question = ExternalQuestion { namespace, metric, selector: &selector };
        let values =
            self.metrics.external_values(&self.view(), &question).map_err(|e| e.to_string())?;
        Ok(values
            .iter()
            .map(|v| format!("{:?} {} @{}", v.labels.get("queue"), v.value, v.time_ms / 1000))
            .collect())
    }
}

#[test]
fn values_times_and_windows_are_those_of_the_samples() {
    let world = World::new();
    let both = world.objects("pods", "shop", &["web-1", "web-2", "web-3"], "http_requests", "");
    assert_eq!(both.expect("values"), ["web-1 3 @599/Some(120)", "web-2 5 @597/Some(120)"]);
    let errors = world.objects("pods", "shop", &["web-1"], "http_requests", "code=500");
    assert_eq!(errors.expect("values"), ["web-1 1 @599/Some(120)"]);
    let namespace = world.objects("namespaces", "", &["shop"], "http_requests", "");
    assert_eq!(namespace.expect("values"), ["shop 8 @599/Some(120)"]);
}

#[test]
fn bare_queries_answer_for_objects() {
    let world = World::new();
    let both = world.objects("pods", "shop", &["web-1", "web-2"], "requests_per_second", "");
    assert_eq!(both.expect("values"), ["web-1 3 @599/Some(120)", "web-2 5 @597/Some(120)"]);
    let other = world.objects("pods", "other", &["web-1"], "requests_per_second", "");
    assert_eq!(other.expect("values"), ["web-1 7 @599/Some(120)"]);
    let load = world.objects("nodes", "", &["n1"], "load", "");
    assert_eq!(load.expect("values"), ["n1 6 @600/None"]);
    let by_code = world.objects("pods", "shop", &["web-1"], "requests_by_code", "code=500");
    assert_eq!(by_code.expect("values"), ["web-1 1 @599/Some(120)"]);
    let several =
        world.objects("pods", "shop", &["web-1"], "requests_by_code", "").expect_err("two");
    assert!(
        several.contains("returned 2 series for \"web-1\"; aggregate by the label \"pod\""),
        "{several}"
    );
}

#[test]
fn external_metrics_stay_in_their_namespace() {
    let world = World::new();
    let by_rule = world.external("shop", "queue_length", "queue=mail");
    assert_eq!(by_rule.expect("values"), ["Some(\"mail\") 60 @598"]);
    assert_eq!(
        world.external("other", "jobs_waiting", "").expect("values"),
        ["Some(\"mail\") 120 @598"]
    );
    assert_eq!(world.external("any", "answer", "").expect("values"), ["None 42500m @600"]);
    let error = world.external("shop", "jobs_waiting", "queue=none").expect_err("nothing");
    assert_eq!(
        error,
        "metric \"jobs_waiting\": the query \"queue_length\" returned 2 series, none of them for namespace \"shop\" and selector \"queue=none\""
    );
}

#[test]
fn errors_say_which_query_returned_nothing() {
    let world = World::new();
    let error = world
        .objects("pods", "shop", &["a", "b", "c", "d"], "http_requests", "")
        .expect_err("nothing");
    assert_eq!(
        error,
        "metric \"http_requests\": the query \"sum(rate(http_requests_total{namespace=\\\"shop\\\",pod=~\\\"a|b|c|d\\\"}[2m])) by (pod)\" \
         returned nothing for pods \"a\", \"b\", \"c\" and 1 more in namespace \"shop\""
    );
    let error =
        world.objects("services", "shop", &["a"], "http_requests", "").expect_err("unknown");
    assert_eq!(error, "no rule gives metric \"http_requests\" for services");
    let error =
        world.objects("pods", "shop", &["a"], "http_requests", "x>1").expect_err("no matcher");
    assert!(error.contains("metric selectors know no >"), "{error}");
    assert!(
        world.external("shop", "none", "").expect_err("unknown").contains("for external metrics")
    );
}

#[test]
fn an_idle_metric_stays_and_says_so() {
    let mut world = World::new();
    world.now_ms += 3_600_000;
    let view = world.view();
    let listed = world.metrics.custom(&view).expect("lists");
    assert!(listed.iter().any(|m| m.metric == "http_requests"), "{listed:?}");
    let error = world.objects("pods", "shop", &["web-1"], "http_requests", "").expect_err("idle");
    assert!(error.contains("returned nothing"), "{error}");
    // Long after, the rule's metric is gone; the bare query's is in the file, so it stays.
    world.now_ms += 48 * 3_600_000;
    world.store = MemoryStore::default();
    let listed = world.metrics.custom(&world.view()).expect("lists");
    assert!(!listed.iter().any(|m| m.metric == "http_requests"), "{listed:?}");
    assert!(listed.iter().any(|m| m.metric == "requests_per_second"), "{listed:?}");
}

#[test]
fn new_series_and_new_rules_are_found_at_once() {
    let mut world = World::new();
    world.store = MemoryStore::default();
    assert!(world.objects("pods", "shop", &["web-1"], "http_requests", "").is_err());
    world.store = store();
    world.now_ms += 6000;
    assert!(world.objects("pods", "shop", &["web-1"], "http_requests", "").is_ok());
    world.metrics.replace(Rules::parse("", "r.yml").expect("reads"));
    let error = world.objects("pods", "shop", &["web-1"], "http_requests", "").expect_err("gone");
    assert!(error.contains("no rule gives"), "{error}");
}
