//! Of when a value is: the newest sample behind it, and the time over which it was computed.

use super::View;
use model::Value;
use promql::ast::Expr;
use promql::{QueryValue, VectorSample};
use std::collections::HashMap;

/// A query has at most so many selectors of which the times are looked up.
const SELECTORS: usize = 8;

/// The times of a query's samples.
#[derive(Debug, Default)]
pub(super) struct Times {
    /// By the value of the label that names the object, in milliseconds since the Unix epoch.
    by_name: HashMap<String, i64>,
    newest: Option<i64>,
}

impl Times {
    /// The newest sample of an object, or of all where its own are not told apart.
    pub fn of(&self, name: &str) -> Option<i64> {
        self.by_name.get(name).copied().or(self.newest)
    }
}

/// Looks up the times of the samples that `query` reads, by the label `label` (empty: all in one).
///
/// What cannot be looked up is left out: a value without a time of its own is still a value.
pub(super) fn newest(view: &View<'_>, query: &str, label: &str) -> Times {
    let mut times = Times::default();
    let Ok(expr) = promql::parse(query) else { return times };
    let mut selectors = Vec::new();
    expr.selectors(&mut |selector| {
        let mut plain = selector.clone();
        (plain.anchored, plain.smoothed) = (false, false);
        let text = Expr::Vector(plain).to_string();
        if selectors.len() < SELECTORS && !selectors.contains(&text) {
            selectors.push(text);
        }
    });
    let by = if model::labels::is_label_name(label) { label } else { "" };
    for selector in selectors {
        let query = format!("max by ({by}) (timestamp({selector}))");
        let result = view.engine.instant(view.storage, &query, view.now_ms, view.query);
        let Ok(QueryValue::Vector(samples)) = result.map(|r| r.value) else { continue };
        for VectorSample { labels, value, .. } in samples {
            let Value::Float(seconds) = value else { continue };
            let time_ms = (seconds * 1000.0).round() as i64;
            times.newest = times.newest.max(Some(time_ms));
            if let Some(name) = labels.get(by) {
                let newest = times.by_name.entry(name.to_owned()).or_insert(time_ms);
                *newest = time_ms.max(*newest);
            }
        }
    }
    times
}

/// The longest range of a query in seconds; `None` where it has none.
pub(super) fn window_seconds(query: &str) -> Option<i64> {
    fn longest_ms(expr: &Expr) -> i64 {
        let own = match expr {
            Expr::Matrix(m) => m.range_ms,
            Expr::Subquery(s) => s.range_ms,
            _ => 0,
        };
        expr.children().into_iter().map(longest_ms).fold(own, i64::max)
    }
    let range_ms = longest_ms(&promql::parse(query).ok()?);
    (range_ms > 0).then(|| (range_ms + 999) / 1000)
}
