//! Rules in both forms: prometheus-adapter's own examples, what is refused with its place, and any text.

use super::*;
use cluster::Selector;
use model::{Labels, Sample, Value};
use promql::promqltest::MemoryStore;
use proptest::prelude::*;
use std::sync::Arc;

/// prometheus-adapter's own sample configuration, shortened to one rule of each kind.
const UPSTREAM: &str = r#"
rules:
- seriesQuery: '{__name__=~"^container_.*",container!="POD",namespace!="",pod!=""}'
  seriesFilters: []
  resources:
    overrides:
      namespace: {resource: namespace}
      pod: {resource: pod}
  name: {matches: "^container_(.*)_seconds_total$"}
  metricsQuery: "sum(rate(<<.Series>>{<<.LabelMatchers>>,container!=\"POD\"}[5m])) by (<<.GroupBy>>)"
- seriesQuery: '{namespace!="",__name__!~"^container_.*"}'
  seriesFilters:
  - isNot: .*_seconds_total
  - is: _total$
  resources:
    template: <<.Resource>>
  name:
    matches: ^(.*)_total$
    as: ""
  metricsQuery: sum(rate(<<.Series>>{<<.LabelMatchers>>}[5m])) by (<<.GroupBy>>)
- seriesQuery: '{namespace!="",__name__=~"nginx_.*"}'
  resources:
    template: "kube_<<.Group>>_<<.Resource>>"
    overrides: {ns: {resource: namespaces}}
  name: {matches: "", as: "web_${0}"}
  metricsQuery: |
    sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)
externalRules:
- seriesQuery: '{__name__="queue_length"}'
  resources: {namespaced: false}
  metricsQuery: max(<<.Series>>{<<.LabelMatchers>>}) by (queue)
resourceRules:
  cpu:
    containerQuery: sum(rate(container_cpu_usage_seconds_total{<<.LabelMatchers>>}[3m])) by (<<.GroupBy>>)
    nodeQuery: sum(rate(container_cpu_usage_seconds_total{<<.LabelMatchers>>, id='/'}[3m])) by (<<.GroupBy>>)
    resources: {overrides: {instance: {resource: node}, namespace: {resource: namespace}, pod: {resource: pod}}}
    containerLabel: container
  memory:
    containerQuery: sum(container_memory_working_set_bytes{<<.LabelMatchers>>}) by (<<.GroupBy>>)
    nodeQuery: sum(container_memory_working_set_bytes{<<.LabelMatchers>>,id='/'}) by (<<.GroupBy>>)
    resources: {overrides: {instance: {resource: node}, namespace: {resource: namespace}, pod: {resource: pod}}}
    containerLabel: container
  window: 3m
"#;

fn store(series: &[&[(&str, &str)]]) -> MemoryStore {
    let mut store = MemoryStore::default();
    for pairs in series {
        let labels = Labels::from_pairs(pairs.iter().copied());
        store.append(&labels, Sample { time_ms: 1000, start_ms: 0, value: Value::Float(1.0) });
    }
    store
}

fn known(text: &str, store: &MemoryStore) -> (Known, ApiResources) {
    let rules = Rules::parse(text, "rules.yml").expect("reads");
    let resources = ApiResources::well_known();
    let known = Known::list(Arc::new(rules), &resources, store, 2000, 10_000).expect("lists");
    (known, resources)
}

fn query(
    known: &Known,
    resources: &ApiResources,
    resource: &str,
    namespace: Option<&str>,
    names: &[&str],
    metric: &str,
    selector: &str,
) -> Option<(String, String)> {
    let resource = resources.by_path(resource).expect("a resource").group_resource();
    let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
    let objects = Objects { resource: &resource, namespace, names: &names };
    let selector = Selector::parse(selector).expect("a selector");
    let query = known.object_query(resources, metric, &objects, &selector)?.expect("a query");
    Some((query.text, query.label))
}

#[test]
fn upstreams_file_is_read_and_applied() {
    let rules = Rules::parse(UPSTREAM, "rules.yml").expect("reads");
    assert_eq!((rules.custom.len(), rules.external.len(), rules.len()), (3, 1, 4));
    assert_eq!(rules.resource_rules.as_ref().map(|r| r.window.as_secs()), Some(180));
    assert!(rules.notices()[0].contains("resourceRules have no effect"));
    let store = store(&[
        &[("__name__", "container_cpu_usage_seconds_total"), ("namespace", "a"), ("pod", "p")],
        &[
            ("__name__", "container_cpu_usage_seconds_total"),
            ("namespace", "a"),
            ("pod", "x"),
            ("container", "POD"),
        ],
        &[
            ("__name__", "http_requests_total"),
            ("namespace", "a"),
            ("pod", "p"),
            ("service", "s"),
            ("code", "200"),
        ],
        &[("__name__", "lock_wait_seconds_total"), ("namespace", "a"), ("pod", "p")],
        &[
            ("__name__", "nginx_up"),
            ("namespace", "a"),
            ("ns", "a"),
            ("kube_networking_k8s_io_ingress", "i"),
        ],
        &[("__name__", "queue_length"), ("queue", "q")],
    ]);
    let (known, resources) = known(UPSTREAM, &store);
    let listed: Vec<String> = known
        .custom(&resources)
        .iter()
        .map(|m| format!("{}/{} {}", m.resource, m.metric, m.namespaced))
        .collect();
    let expected = [
        "ingresses.networking.k8s.io/web_nginx_up true",
        "namespaces/cpu_usage false",
        "namespaces/http_requests false",
        "namespaces/web_nginx_up false",
        "pods/cpu_usage true",
        "pods/http_requests true",
        "services/http_requests true",
    ];
    assert_eq!(listed, expected);
    assert_eq!(known.external(), ["queue_length"]);
    assert!(known.notices.is_empty(), "{:?}", known.notices);

    let ask = |resource, namespace, names: &[&str], metric, selector| {
        query(&known, &resources, resource, namespace, names, metric, selector)
    };
    assert_eq!(
        ask("pods", Some("a"), &["p", "q.1"], "http_requests", "code=200"),
        Some((
            "sum(rate(http_requests_total{code=\"200\",namespace=\"a\",pod=~\"p|q\\\\.1\"}[5m])) by (pod)".into(),
            "pod".into()
        ))
    );
    assert_eq!(
        ask("namespaces", None, &["a"], "cpu_usage", "").map(|q| q.0),
        Some("sum(rate(container_cpu_usage_seconds_total{namespace=\"a\",container!=\"POD\"}[5m])) by (namespace)".into())
    );
    assert_eq!(
        ask("ingresses.networking.k8s.io", Some("a"), &["i"], "web_nginx_up", ""),
        Some((
            "sum(nginx_up{ns=\"a\",kube_networking_k8s_io_ingress=\"i\"}) by (kube_networking_k8s_io_ingress)\n".into(),
            "kube_networking_k8s_io_ingress".into()
        ))
    );
    assert_eq!(ask("services", Some("a"), &["s"], "cpu_usage", ""), None);
    let external =
        known.external_query("queue_length", "b", &Selector::parse("queue=q").expect("reads"));
    let external = external.expect("known").expect("a query");
    assert_eq!(external.text, "max(queue_length{queue=\"q\"}) by (queue)");
}

#[test]
fn a_series_without_samples_for_long_is_not_known() {
    let store = store(&[&[("__name__", "queue_length"), ("queue", "q")]]);
    let rules = Arc::new(Rules::parse(UPSTREAM, "rules.yml").expect("reads"));
    let resources = ApiResources::well_known();
    let idle = Known::list(rules, &resources, &store, 9_000_000, 9_000_000).expect("lists");
    assert!(idle.has_external("queue_length"), "idle, but known");
}

#[test]
fn an_external_rule_keeps_to_its_namespace_unless_told() {
    let text = "externalRules:\n- seriesQuery: queue_length\n  resources: {overrides: {ns: {resource: namespace}}}\n  \
                name: {as: queue_depth}\n  metricsQuery: <<.Series>>{<<.LabelMatchers>>}\n";
    let store = store(&[&[("__name__", "queue_length"), ("ns", "a")]]);
    let (known, _) = known(text, &store);
    let query = known.external_query("queue_depth", "a", &Selector::default());
    assert_eq!(query.expect("known").expect("a query").text, "queue_length{ns=\"a\"}");
    assert!(known.external_query("queue_length", "a", &Selector::default()).is_none());
    let text = text.replace("{overrides: {ns: {resource: namespace}}}", "{}");
    let (known, _) = self::known(&text, &store);
    let error = known.external_query("queue_depth", "a", &Selector::default());
    let error = error.expect("known").expect_err("no label").to_string();
    assert_eq!(error, "the rule at line 2 names no label for namespaces");
}

#[test]
fn a_resource_that_the_server_does_not_know_is_a_notice() {
    let text = "rules:\n- seriesQuery: a\n  resources:\n    overrides:\n      rocket: {resource: rocket, group: space.io}\n      \
                pod: {resource: pod}\n  metricsQuery: a{<<.LabelMatchers>>}\nmetrics:\n- {name: m, query: a, object: rockets}\n";
    let (known, resources) =
        known(text, &store(&[&[("__name__", "a"), ("pod", "p"), ("rocket", "r")]]));
    assert_eq!(known.custom(&resources).len(), 1);
    assert_eq!(known.notices.len(), 2);
    assert!(
        known.notices[0]
            .starts_with("line 5: the API server knows no resource \"rocket\" in space.io")
    );
}

#[test]
fn every_mistake_is_named_with_its_place() {
    let text = r#"rules:
- seriesQuery: 'a{b="c"'
  resources: {overrides: {pod: {resource: pod}}}
  metricsQuery: <<.Series>>{<<.LabelMatchers>>}
- seriesQuery: '{}'
  seriesFilters: [{is: "("}, {is: a, isNot: b}, {}]
  resources: {template: "pod", overrides: {"a-b": {resource: x}, pod: {group: y}}, namespaced: false}
  name: {matches: "(a)(b)"}
  metricsQuery: 'sum(<<.Sries>>)'
- metricsQuery: 'sum(<<.Series>>'
  resource: {}
- seriesQuery: ok
  metricsQuery: 'x <<if>>'
externalRule: []
externalRules: {}
resourceRules:
  window: soon
metrics:
- name: a/b
  query: rate(x[5m]
- name: ok
  query: x[5m]
  external: true
  object: pods
- {}
"#;
    let error = Rules::parse(text, "rules.yml").expect_err("mistakes").to_string();
    for expected in [
        "rules.yml:2:16: seriesQuery \"a{b=\\\"c\\\"\" is no selector:",
        "rules.yml:5:16: seriesQuery \"{}\" selects every series",
        "rules.yml:6:24: is \"(\" is no regular expression",
        "rules.yml:6:30: an item of seriesFilters needs one of is and isNot",
        "rules.yml:6:49: an item of seriesFilters needs one of is and isNot",
        "rules.yml:7:25: resources.template gives \"pod\" for every resource: it needs <<.Resource>>",
        "rules.yml:7:44: \"a-b\" is no name of a label",
        "rules.yml:7:71: the override of \"pod\" needs resource",
        "rules.yml:7:84: namespaced: false is for externalRules alone",
        "rules.yml:8:9: name.matches has 2 groups, so name needs as",
        "rules.yml:9:17: metricsQuery: there is no field .Sries; there are .GroupBy, .GroupBySlice",
        "rules.yml:10:3: a rule needs seriesQuery",
        "rules.yml:10:17: metricsQuery gives what is not PromQL, for instance \"sum(some_series\"",
        "rules.yml:11:3: unknown field \"resource\" in a rule; there are seriesQuery, seriesFilters",
        "rules.yml:12:3: a rule needs resources",
        "rules.yml:13:17: metricsQuery: a value is missing at character 3 of the template",
        "rules.yml:14:1: unknown field \"externalRule\" in the rule file",
        "rules.yml:15:16: externalRules must be a list",
        "rules.yml:17:11: window: not a valid duration string",
        "rules.yml:19:9: \"a/b\" cannot be a metric's name",
        "rules.yml:20:10: query is not PromQL: 1:",
        "rules.yml:22:10: query gives a range vector, not a vector",
        "rules.yml:21:3: an external metric describes no object",
        "rules.yml:25:3: a metric needs a name",
    ] {
        assert!(error.contains(expected), "{expected} is not in\n{error}");
    }
    for (text, expected) in [
        ("rules: [", "rules.yml:"),
        ("- a", "must be a mapping"),
        (
            "metrics:\n- {name: a, query: b}\n- {name: a, query: c}\n",
            "rules.yml:3:1: metric \"a\" was defined for the same at line 2",
        ),
    ] {
        let error = Rules::parse(text, "rules.yml").expect_err(text).to_string();
        assert!(error.contains(expected), "{error}");
    }
    assert!(Rules::parse("", "rules.yml").expect("nothing is a file too").is_empty());
}

const RULE_PARTS: [&str; 28] = [
    "rules:",
    "externalRules:",
    "metrics:",
    "\n",
    "  ",
    "- ",
    "seriesQuery: a",
    "metricsQuery: b",
    "resources:",
    "template: <<.Resource>>",
    "overrides:",
    "pod: {resource: pod}",
    "name:",
    "matches: (a)",
    "as: $1",
    "seriesFilters:",
    "is: a",
    "{",
    "}",
    "[",
    "]",
    ", ",
    "'",
    "\"",
    "&a ",
    "*a",
    "query: a",
    "external: true",
];
const TEMPLATE_PARTS: [&str; 40] = [
    "<<",
    ">>",
    "<<- ",
    " ->>",
    ".Series",
    ".GroupBySlice",
    ".LabelValuesByName",
    ".namespace",
    "if ",
    "else",
    "end",
    "range ",
    "with ",
    "break",
    "continue",
    "$x",
    " := ",
    " = ",
    ", ",
    "$",
    "(",
    ")",
    "|",
    " ",
    "index ",
    "printf ",
    "print ",
    "len ",
    "eq ",
    "and ",
    "not ",
    "slice ",
    "\"%9d\"",
    "\"a\"",
    "`b`",
    "0",
    "-1",
    "1.5",
    "/*",
    "*/",
];

proptest! {
    #[test]
    fn no_bytes_break_them(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        crate::fuzz::rules(&bytes);
        crate::fuzz::template(&bytes);
    }

    #[test]
    fn no_almost_right_text_breaks_them(
        yaml in prop::collection::vec(prop::sample::select(RULE_PARTS.to_vec()), 0..30),
        template in prop::collection::vec(prop::sample::select(TEMPLATE_PARTS.to_vec()), 0..24),
    ) {
        crate::fuzz::rules(yaml.concat().as_bytes());
        crate::fuzz::template(template.concat().as_bytes());
    }

    /// What stands in an action of its own is more often a whole one.
    #[test]
    fn no_almost_right_actions_break_them(
        actions in prop::collection::vec(prop::collection::vec(prop::sample::select(TEMPLATE_PARTS[4..].to_vec()), 1..5), 0..8),
    ) {
        let text: String = actions.iter().map(|a| format!("x<<{}>>", a.concat())).collect();
        crate::fuzz::template(text.as_bytes());
    }
}
