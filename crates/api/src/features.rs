//! `features` and `status/self_metrics`: what a client may ask about the server itself.

use crate::answer::{self, Failure};
use crate::parameters::Parameters;
use crate::{Families, Shared, run};
use axum::response::Response;
use model::matcher::anchored_regex;
use model::{Family, Kind, Sink};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// `GET /api/v1/features`: what is there, by part; the names are Prometheus's where it has them.
pub async fn features(api: Shared) -> Result<Response, Failure> {
    let receive = &api.receiver.options;
    let all = |names: &[&'static str]| -> BTreeMap<_, _> {
        names.iter().map(|name| (*name, true)).collect()
    };
    let functions: Vec<_> = promql::function::FUNCTIONS.iter().map(|f| f.name).collect();
    let mut language = all(&LANGUAGE);
    language.insert("type_and_unit_labels", api.engine.options().type_and_unit_labels);
    language.insert("delayed_name_removal", api.engine.options().delayed_name_removal);
    let deltas = receive.otlp.as_ref().is_some_and(|o| o.deltas);
    answer::success_data(&json!({
        "api": {
            "admin": api.admin,
            "label_values_match": true,
            "lifecycle": api.lifecycle.is_some(),
            "otlp_write_receiver": receive.otlp.is_some(),
            "query_stats": true,
            "query_warnings": true,
            "remote_write_receiver": receive.remote_write,
            "search": true,
            "search_fuzz_alg_jarowinkler": true,
            "search_fuzz_alg_subsequence": true,
            "time_range_labels": true,
            "time_range_series": true,
        },
        "otlp_receiver": { "delta_conversion": false, "native_delta_ingestion": deltas },
        "prometheus": { "agent_mode": false, "auto_reload_config": false, "server_mode": true },
        "promql": language,
        "promql_functions": all(&functions),
        "promql_operators": all(&OPERATORS),
        "tsdb": { "exemplar_storage": true, "native_histograms": true, "st_storage": true },
    }))
}

/// What the language has beside functions and operators.
const LANGUAGE: [&str; 19] = [
    "anchored",
    "at_modifier",
    "bool",
    "by",
    "duration_expr",
    "fill",
    "fill_left",
    "fill_right",
    "group_left",
    "group_right",
    "ignoring",
    "negative_offset",
    "offset",
    "on",
    "per_query_lookback_delta",
    "per_step_stats",
    "smoothed",
    "subqueries",
    "without",
];

/// Its operators and aggregations.
const OPERATORS: [&str; 35] = [
    "!=",
    "!~",
    "%",
    "*",
    "+",
    "-",
    "/",
    "<",
    "</",
    "<=",
    "==",
    "=~",
    ">",
    ">/",
    ">=",
    "@",
    "^",
    "and",
    "atan2",
    "avg",
    "bottomk",
    "count",
    "count_values",
    "group",
    "limit_ratio",
    "limitk",
    "max",
    "min",
    "or",
    "quantile",
    "stddev",
    "stdvar",
    "sum",
    "topk",
    "unless",
];

/// `GET /api/v1/status/self_metrics`: our own metrics as JSON.
pub async fn self_metrics(api: Shared, parameters: Parameters) -> Result<Response, Failure> {
    let wanted = match parameters.get("metric_name_pattern") {
        "" => None,
        pattern => Some(
            anchored_regex(pattern)
                .map_err(|e| Failure::BadData(format!("invalid metric_name_pattern: {e}")))?,
        ),
    };
    let families = run::ask(&api, move |api| {
        let mut list = FamilyList::default();
        api.backend.write_families(Families::Ourselves, &mut list);
        list.0.retain(|f| {
            let name = f["name"].as_str().unwrap_or("");
            wanted.as_ref().is_none_or(|w| w.is_match(name))
        });
        list.0
    });
    answer::success_data(&families.await?)
}

/// Families as protobuf's JSON of `io.prometheus.client.MetricFamily`.
#[derive(Default)]
struct FamilyList(Vec<Value>);

impl Sink for FamilyList {
    fn family(&mut self, family: &Family<'_>) {
        let kind = match family.kind {
            Kind::Counter => "COUNTER",
            Kind::Gauge | Kind::Info | Kind::StateSet => "GAUGE",
            // Each of its samples stands for itself.
            _ => "UNTYPED",
        };
        let (name, help) = (family.name, family.help);
        self.0.push(json!({ "name": name, "help": help, "type": kind, "metric": [] }));
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64, _: Option<i64>) {
        if self.0.last().is_none_or(|f| f["name"] != name) {
            self.family(&Family { name, help: "", kind: Kind::Untyped, unit: "" });
        }
        let Some(family) = self.0.last_mut() else { return };
        let field = family["type"].as_str().unwrap_or("").to_lowercase();
        let label: Vec<Value> =
            labels.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
        // Protobuf's JSON has words for what JSON has no numbers for.
        let value = match value {
            v if v.is_nan() => json!("NaN"),
            f64::INFINITY => json!("Infinity"),
            f64::NEG_INFINITY => json!("-Infinity"),
            v => json!(v),
        };
        let mut metric = json!({ field: { "value": value } });
        if !label.is_empty() {
            metric["label"] = label.into();
        }
        if let Some(list) = family["metric"].as_array_mut() {
            list.push(metric);
        }
    }
}
