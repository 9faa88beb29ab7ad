//! Fuzz bodies: each takes any bytes and panics only where something is wrong. Property tests drive
//! them on stable; a fuzzer can as well.

use crate::ast::Expr;
use crate::promqltest::MemoryStore;
use crate::{Engine, EngineOptions, QueryOptions, QueryResult, QueryValue, RangeCache};
use model::histogram::{CUSTOM_BOUNDS_SCHEMA, ResetHint, Span};
use model::value::STALE;
use model::{Histogram, Labels, Matcher, ReadError, Sample, Selection, SeriesSet, Storage, Value};
use std::sync::Arc;

/// Any text: parses or says why not, and what parses prints to what parses to the same.
pub fn parse(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(expr) = crate::parse(&text) {
        round_trip(&expr);
    }
    let _ = crate::parse_selector(&text);
}

/// A generated expression: as `parse`.
pub fn parse_generated(data: &[u8]) {
    let text = generate(data);
    if let Ok(expr) = crate::parse(&text) {
        round_trip(&expr);
    }
}

fn round_trip(expr: &crate::Expr) {
    let printed = expr.to_string();
    // Prometheus prints Inf with its sign, which binds less than ^ when it is read again.
    if printed.contains("Inf ^") {
        return;
    }
    let again = match crate::parse(&printed) {
        Ok(again) => again,
        Err(error) => panic!("{printed} does not parse: {error}"),
    };
    assert_eq!(again.to_string(), printed);
    let pretty = expr.pretty();
    match crate::parse(&pretty) {
        Ok(again) => assert_eq!(again.to_string(), printed, "{pretty}"),
        Err(error) => panic!("{pretty} does not parse: {error}"),
    }
}

/// A script of any text.
pub fn script(data: &[u8]) {
    crate::promqltest::run(&String::from_utf8_lossy(data), "fuzz");
}

/// A generated expression over a store with all kinds of samples: a range query gives at each step
/// what an instant query gives at that time.
pub fn evaluate(data: &[u8]) {
    let query = generate(data);
    if crate::parse(&query).is_ok_and(|expr| has_moving_parameter(&expr)) {
        return;
    }
    let store = store();
    for delayed_name_removal in [false, true] {
        let engine = Engine::new(EngineOptions {
            delayed_name_removal,
            start_timestamps: true,
            max_samples: 100_000,
            ..EngineOptions::default()
        });
        let options = QueryOptions::default();
        let (start, end, step) = (-60_000, 540_000, 60_000);
        let range = engine.range(&store, &query, start, end, step, &options);
        let mut failed = false;
        for time in (start..=end).step_by(step as usize) {
            let instant = engine.instant(&store, &query, time, &options);
            failed |= instant.is_err();
            let (Ok(range), Ok(instant)) = (&range, instant) else { continue };
            // They differ by their meaning.
            let differ = ["start()", "end()", "range()", "step()", "sort"];
            // One side has dropped its names and the other has not: what is one series over a range, and is
            // named as it was at its first time, may be either at one time.
            let by_names = delayed_name_removal && query.contains(" or ");
            if by_names || differ.iter().any(|f| query.contains(f)) {
                continue;
            }
            let QueryValue::Matrix(matrix) = &range.value else {
                panic!("{query}: a range query gave no matrix");
            };
            let mut from_range: Vec<Element> = Vec::new();
            for s in matrix {
                let floats = s.floats.iter().filter(|f| f.0 == time);
                from_range.extend(floats.map(|f| Element::float(&s.labels, f.1)));
                let histograms = s.histograms.iter().filter(|h| h.0 == time);
                from_range.extend(histograms.map(|h| Element::histogram(&s.labels, &h.1)));
            }
            let mut from_instant: Vec<Element> = match &instant.value {
                QueryValue::Scalar(_, v) => vec![Element::float(&Labels::empty(), *v)],
                QueryValue::Vector(all) => all
                    .iter()
                    .map(|s| match &s.value {
                        Value::Float(f) => Element::float(&s.labels, *f),
                        Value::Histogram(h) => Element::histogram(&s.labels, h),
                    })
                    .collect(),
                _ => continue,
            };
            from_range.sort_by(|a, b| a.text.cmp(&b.text));
            from_instant.sort_by(|a, b| a.text.cmp(&b.text));
            assert_eq!(from_range, from_instant, "{query} at {time} ms");
        }
        // What fails at no time fails in no range.
        if let Err(error) = range {
            let text = error.to_string();
            // Series that are alike may be there at different times.
            let by_its_length = ["range query", "too many samples", "same labelset"];
            // What is computed from the range itself is something else for one time.
            let of_range = ["range()", "step()", "start()", "end()"];
            let only_range = by_its_length.iter().any(|t| text.contains(t))
                || of_range.iter().any(|f| query.contains(f));
            assert!(failed || only_range, "{query}: only the range query fails: {error}");
        }
    }
}

/// An element of an answer: its labels, with its histogram, and its float.
#[derive(Debug)]
struct Element {
    text: String,
    float: f64,
}

impl Element {
    fn float(labels: &Labels, float: f64) -> Element {
        Element { text: labels.to_string(), float }
    }

    fn histogram(labels: &Labels, histogram: &model::Histogram) -> Element {
        Element { text: format!("{labels} {histogram:?}"), float: 0.0 }
    }
}

/// Floats may differ in their last digits: elements are added up in the order in which they are found.
impl PartialEq for Element {
    fn eq(&self, other: &Element) -> bool {
        let (a, b) = (self.float, other.float);
        let near = a == b
            || a.is_nan() && b.is_nan()
            || (a - b).abs() <= 1e-12 * a.abs().max(b.abs()).max(1.0);
        self.text == other.text && near
    }
}

/// A generated expression over samples of which some come late: what goes on from a kept answer is what is
/// computed anew. Gives how many answers went on.
pub fn resume(data: &[u8]) -> u64 {
    let query = generate(data);
    let engine = Engine::new(EngineOptions { max_samples: 100_000, ..EngineOptions::default() });
    let cache = Arc::new(RangeCache::of_everything(1 << 20));
    let cached = QueryOptions { cache: Some(cache.clone()), ..QueryOptions::default() };
    let late = |i: usize| data.get(i % data.len().max(1)).is_some_and(|b| b % 16 == 1);
    let step = 30_000;
    for (round, now) in (200_000..700_000).step_by(45_000).enumerate() {
        let store = Growing::at(now, late);
        let end = now - now % step;
        let start = end - [12, 10, 11][round % 3] * step;
        let ask = |options| engine.range(&store, &query, start, end, step, options);
        let (Ok(anew), Ok(resumed)) = (ask(&QueryOptions::default()), ask(&cached)) else {
            continue;
        };
        let shown = |result: &QueryResult| format!("{:?}", result.value);
        assert_eq!(shown(&resumed), shown(&anew), "{query} up to {end} ms");
    }
    cache.stats().hits
}

/// A store to which samples come as time goes on.
struct Growing {
    store: MemoryStore,
    now: i64,
    /// When samples come, and their own times.
    coming: Vec<(i64, i64)>,
}

impl Growing {
    /// With what is there by now, where some samples come 90 seconds after their time.
    fn at(now: i64, late: impl Fn(usize) -> bool) -> Growing {
        let (mut store, mut coming) = (MemoryStore::default(), Vec::new());
        for (i, (labels, sample)) in samples().into_iter().enumerate() {
            let comes = sample.time_ms + if late(i) { 90_000 } else { 0 };
            coming.push((comes, sample.time_ms));
            if comes <= now {
                store.append(&labels, sample);
            }
        }
        Growing { store, now, coming }
    }
}

impl Storage for Growing {
    fn select<'a>(
        &'a self,
        selection: &Selection<'_>,
    ) -> Result<Box<dyn SeriesSet + 'a>, ReadError> {
        self.store.select(selection)
    }

    fn label_names(
        &self,
        sets: &[Vec<Matcher>],
        start_ms: i64,
        end_ms: i64,
    ) -> Result<Vec<String>, ReadError> {
        self.store.label_names(sets, start_ms, end_ms)
    }

    fn label_values(
        &self,
        name: &str,
        sets: &[Vec<Matcher>],
        start_ms: i64,
        end_ms: i64,
    ) -> Result<Vec<String>, ReadError> {
        self.store.label_values(name, sets, start_ms, end_ms)
    }

    fn mark(&self) -> Option<u64> {
        Some(self.now.unsigned_abs())
    }

    fn oldest_change_since(&self, mark: u64) -> i64 {
        let since = mark.cast_signed();
        let new = self.coming.iter().filter(|(comes, _)| *comes > since && *comes <= self.now);
        new.map(|(_, time_ms)| *time_ms).min().unwrap_or(i64::MAX)
    }
}

/// Whether an aggregation has a parameter that may be another at each step: where its operand is the
/// same at all steps, a range query takes the first step's parameter for all, as Prometheus does.
fn has_moving_parameter(expr: &Expr) -> bool {
    let moving = |p: &Expr| !matches!(p.unwrap_parens(), Expr::Number(_) | Expr::String(_));
    let here = matches!(expr, Expr::Aggregate(a) if a.param.as_deref().is_some_and(moving));
    here || expr.children().into_iter().any(has_moving_parameter)
}

fn store() -> MemoryStore {
    let mut store = MemoryStore::default();
    samples().into_iter().for_each(|(labels, sample)| store.append(&labels, sample));
    store
}

/// Floats with gaps, stale marks, resets and start times; native, custom and classic histograms.
pub fn samples() -> Vec<(Labels, Sample)> {
    let mut all = Vec::new();
    let labels = |name: &str, a: &str, b: &str| {
        Labels::from_pairs([("__name__", name), ("a", a), ("b", b), ("job", "j"), ("instance", a)])
    };
    let mut add = |labels: Labels, sample: Sample| all.push((labels, sample));
    for i in 0..30i64 {
        let time_ms = i * 20_000 + i % 3;
        let float = |value: f64| Sample { time_ms, start_ms: 0, value: Value::Float(value) };
        add(labels("m", "1", "x"), float(i as f64 * 1.5));
        add(labels("m", "2", "x"), float((i % 7) as f64));
        add(labels("m", "2", "y"), float(if i == 12 { f64::NAN } else { -i as f64 }));
        add(labels("n_total", "1", ""), float(if i % 10 == 9 { STALE } else { i as f64 }));
        let begun = Sample { start_ms: time_ms - 5_000, ..float(i as f64) };
        add(labels("n_total", "2", ""), begun);
        if i % 4 != 1 {
            add(labels("target_info", "1", "x").builder().set("v", "7").build(), float(1.0));
        }
        for (le, part) in [("1", 1.0), ("2", 3.0), ("+Inf", 4.0)] {
            let series = labels("c_bucket", "1", "x").builder().set("le", le).build();
            add(series, float(part * i as f64));
        }
        let count = (i % 20) as f64;
        let mut h = Histogram {
            schema: (i / 12) as i32,
            count: 3.0 * count,
            sum: count,
            zero_count: count,
            zero_threshold: 0.001,
            positive_spans: vec![Span { offset: 0, length: 2 }],
            positive_buckets: vec![count, count],
            ..Histogram::default()
        };
        let histogram = |h: &Histogram| Sample {
            time_ms,
            start_ms: 0,
            value: Value::Histogram(Arc::new(h.clone())),
        };
        add(labels("h", "1", "x"), histogram(&h));
        h.reset_hint = ResetHint::Gauge;
        add(labels("h", "2", "x"), histogram(&h));
        let custom = Histogram {
            schema: CUSTOM_BOUNDS_SCHEMA,
            zero_count: 0.0,
            zero_threshold: 0.0,
            custom_bounds: if i < 15 { [1.0, 2.0].into() } else { [1.0, 3.0].into() },
            ..h
        };
        add(labels("h", "3", "x"), histogram(&custom));
        if i % 2 == 0 {
            add(labels("mixed", "1", "x"), float(count));
        } else {
            add(labels("mixed", "1", "x"), histogram(&custom));
        }
    }
    all
}

/// Bytes as a source of choices.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn next(&mut self, of: usize) -> usize {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first as usize % of.max(1)
    }

    fn pick<'s>(&mut self, from: &[&'s str]) -> &'s str {
        from[self.next(from.len())]
    }
}

/// An expression that the bytes choose; most are well typed.
pub fn generate(data: &[u8]) -> String {
    vector(&mut Choices(data), 4)
}

fn selector(c: &mut Choices<'_>) -> String {
    let name = c.pick(&["m", "n_total", "h", "mixed", "c_bucket", "none", "target_info"]);
    let matchers =
        c.pick(&["", "", "{a=\"1\"}", "{a!=\"1\"}", "{b=~\"x|y\"}", "{b!~\"x.*\",a=\"2\"}"]);
    match c.next(12) {
        0 => "{__name__=~\"m|n.*\"}".into(),
        1 => "{__name__=~\"m|n_total\",b=\"\"}".into(),
        _ => format!("{name}{matchers}"),
    }
}

fn modifiers(c: &mut Choices<'_>) -> &'static str {
    c.pick(&[
        "",
        "",
        "",
        "",
        "",
        " offset 1m",
        " offset -30s",
        " @ 100",
        " @ start()",
        " @ end()",
        " @ 200 offset 20s",
        " offset (step() * 2)",
        " offset -(range() / 3)",
    ])
}

fn range(c: &mut Choices<'_>, depth: usize) -> String {
    let length = c.pick(&["1m", "90s", "5m", "20s", "1m + 30s", "max_of(1m, step())", "300"]);
    let extended = c.pick(&["", "", "", "", " anchored", " smoothed"]);
    if depth > 0 && c.next(4) == 0 {
        let step = c.pick(&["", "15s", "40s", "1m"]);
        return format!("({})[{length}:{step}]{}", vector(c, depth - 1), modifiers(c));
    }
    format!("{}[{length}]{extended}{}", selector(c), modifiers(c))
}

fn scalar(c: &mut Choices<'_>, depth: usize) -> String {
    match c.next(9) {
        0 => "time()".into(),
        1 if depth > 0 => format!("scalar({})", vector(c, depth - 1)),
        2 => c.pick(&["-1", "NaN", "Inf", "-Inf", "0", "1e300"]).into(),
        3 if depth > 0 => format!("({} * {})", scalar(c, depth - 1), scalar(c, depth - 1)),
        4 => format!("min_of({}, 2)", c.pick(&["1", "step()", "3"])),
        _ => c.pick(&["0.5", "1", "2", "0.9", "3", "5m"]).into(),
    }
}

/// What is likely to hold histograms.
fn histogram(c: &mut Choices<'_>, depth: usize) -> String {
    match c.next(5) {
        0 => "h".into(),
        1 => "c_bucket".into(),
        2 => "rate(h[5m])".into(),
        3 => "sum by (le) (c_bucket)".into(),
        _ => vector(c, depth),
    }
}

fn vector(c: &mut Choices<'_>, depth: usize) -> String {
    if depth == 0 {
        return format!("{}{}", selector(c), modifiers(c));
    }
    let d = depth - 1;
    match c.next(18) {
        0 | 1 => format!("{}{}", selector(c), modifiers(c)),
        2..=4 => {
            let functions = [
                "rate",
                "increase",
                "delta",
                "irate",
                "idelta",
                "resets",
                "changes",
                "sum_over_time",
                "avg_over_time",
                "count_over_time",
                "min_over_time",
                "max_over_time",
                "last_over_time",
                "first_over_time",
                "stddev_over_time",
                "stdvar_over_time",
                "present_over_time",
                "absent_over_time",
                "mad_over_time",
                "deriv",
                "ts_of_min_over_time",
                "ts_of_max_over_time",
                "ts_of_first_over_time",
                "ts_of_last_over_time",
            ];
            format!("{}({})", c.pick(&functions), range(c, d))
        }
        5 => match c.next(3) {
            0 => format!("quantile_over_time({}, {})", scalar(c, d), range(c, d)),
            1 => format!("predict_linear({}, {})", range(c, d), scalar(c, d)),
            _ => format!("double_exponential_smoothing({}, 0.3, 0.6)", range(c, d)),
        },
        6 | 7 => {
            let op = c.pick(&["sum", "avg", "count", "min", "max", "group", "stddev", "stdvar"]);
            let by = c.pick(&["", " by (a)", " without (b)", " by (a, __name__)", " by (le, b)"]);
            format!("{op}{by} ({})", vector(c, d))
        }
        8 => {
            let op = c.pick(&["topk", "bottomk", "limitk", "quantile", "limit_ratio"]);
            let by = c.pick(&["", " by (a)", " without (a)"]);
            // Prometheus forgets an @ within a parameter after the first step.
            let parameter =
                c.pick(&["0.5", "1", "2", "3", "0.9", "-0.5", "step()", "time() / 1000", "NaN"]);
            // What it picks of equals depends on their order, which Prometheus leaves to chance after
            // most operations.
            let arg = match c.next(3) {
                0 => format!("{}{}", selector(c), modifiers(c)),
                1 => format!("rate({})", range(c, 0)),
                _ => format!("max_over_time({})", range(c, 0)),
            };
            format!("{op}{by} ({parameter}, {arg})")
        }
        9 | 10 => {
            let op = c.pick(&[
                "+", "-", "*", "/", "%", "^", "atan2", "==", "!=", ">", "<", ">=", "<=", "> bool",
                "== bool", "</", ">/",
            ]);
            let matching = c.pick(&[
                "",
                "",
                " on (a, b)",
                " ignoring (b)",
                " on (a) group_left ()",
                " ignoring (le) group_right (v)",
                " on (a) fill (0)",
                " fill_left (1)",
                " on (a) group_left (v) fill_right (2)",
            ]);
            let text = format!("({}) {op}{matching} ({})", vector(c, d), vector(c, d));
            if matches!(op, "^" | "atan2") { format!("round({text}, 0.001)") } else { text }
        }
        11 => {
            let op = c.pick(&["and", "or", "unless"]);
            let matching = c.pick(&["", " on (a)", " ignoring (a)"]);
            format!("({}) {op}{matching} ({})", vector(c, d), vector(c, d))
        }
        12 => {
            let op = c.pick(&["+", "-", "*", "/", "> ", "< bool ", "==", "^", "</", ">/"]);
            let text = if c.next(2) == 0 {
                format!("({}) {op} {}", vector(c, d), scalar(c, d))
            } else {
                format!("{} {op} ({})", scalar(c, d), vector(c, d))
            };
            if op == "^" { format!("round({text}, 0.001)") } else { text }
        }
        13 | 16 | 17 => {
            if c.next(4) > 0 {
                // Any function of one vector.
                let all: Vec<&str> = crate::function::FUNCTIONS
                    .iter()
                    .filter(|f| f.args == [crate::ast::ValueType::Vector])
                    .map(|f| f.name)
                    .collect();
                let function = c.pick(&all);
                // The last digits of these are the library's own.
                let rounded = ["exp", "ln", "log2", "log10", "sqrt"].contains(&function)
                    || function.trim_start_matches('a').trim_end_matches('h').len() == 3
                        && function != "absent";
                return if rounded {
                    format!("round({function}({}), 0.001)", vector(c, d.min(1)))
                } else {
                    format!("{function}({})", vector(c, d.min(1)))
                };
            }
            let function = c.pick(&[
                "abs",
                "ceil",
                "exp",
                "ln",
                "sgn",
                "sqrt",
                "round",
                "timestamp",
                "start_timestamp",
                "histogram_count",
                "histogram_sum",
                "histogram_avg",
                "histogram_stddev",
                "hour",
                "day_of_year",
                "absent",
                "cos",
                "-",
                "info",
                "sort",
                "sort_desc",
            ]);
            format!("{function}({})", vector(c, d))
        }
        14 => match c.next(11) {
            6 => format!("clamp_min({}, {})", vector(c, d), scalar(c, d)),
            7 => format!("clamp_max({}, {})", vector(c, d), scalar(c, d)),
            8 => format!("round({}, {})", vector(c, d), scalar(c, d)),
            9 => format!(
                "{}({}, \"a\", \"job\")",
                c.pick(&["sort_by_label", "sort_by_label_desc"]),
                vector(c, d)
            ),
            10 => format!(
                "{}({})",
                c.pick(&["histogram_count", "histogram_stdvar", "histogram_avg"]),
                histogram(c, d)
            ),
            0 => format!("round(histogram_quantile({}, {}), 0.001)", scalar(c, d), histogram(c, d)),
            1 => {
                format!(
                    "histogram_fraction({}, {}, {})",
                    scalar(c, d),
                    scalar(c, d),
                    histogram(c, d)
                )
            }
            2 => format!("clamp({}, {}, {})", vector(c, d), scalar(c, d), scalar(c, d)),
            3 => format!("label_replace({}, \"a\", \"$1z\", \"b\", \"(.).*\")", vector(c, d)),
            4 => format!("label_join({}, \"b\", \"-\", \"a\", \"b\")", vector(c, d)),
            _ => format!(
                "round(histogram_quantiles({}, \"q\", 0.5, {}), 0.001)",
                histogram(c, d),
                scalar(c, d)
            ),
        },
        _ => match c.next(3) {
            0 => format!("vector({} + {})", scalar(c, d), c.pick(&["pi()", "max_of(1, 2)", "0"])),
            1 => format!("count_values(\"v\", {})", vector(c, d)),
            _ => format!("-({})", vector(c, d)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

        #[test]
        fn any_text_parses_or_is_refused(text in r#"[a-z0-9 \[\](){}"'`=~!+*/<>@:,.#\\-]{0,40}"#) {
            parse(text.as_bytes());
        }

        #[test]
        fn any_bytes_parse_or_are_refused(data in prop::collection::vec(any::<u8>(), 0..60)) {
            parse(&data);
            script(&data);
        }

        #[test]
        fn generated_expressions_print_to_themselves(data in prop::collection::vec(any::<u8>(), 0..60)) {
            parse_generated(&data);
        }

        #[test]
        fn scripts_of_likely_words(words in prop::collection::vec(prop::sample::select(vec![
            "load 1m\n", "eval instant at 1m m\n", "m 1 2 3\n", "{} 1\n", "\n", "clear\n", "{{schema:0 ",
            "}}x3\n", "expect fail\n", "m{a=\"b\"}@st -1m\n", "eval range from 0 to 1m step 10s rate(m[1m])\n",
        ]), 0..12)) {
            script(words.concat().as_bytes());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

        #[test]
        fn what_goes_on_is_what_is_computed_anew(data in prop::collection::vec(any::<u8>(), 4..60)) {
            resume(&data);
        }

        #[test]
        fn ranges_are_instants_in_a_row(data in prop::collection::vec(any::<u8>(), 4..60)) {
            evaluate(&data);
        }
    }

    #[test]
    fn most_answers_go_on() {
        let all = (0..200u8).map(|seed| resume(&[seed, 3, seed / 2, 1, 7, seed, 2, 9]));
        let hits = all.sum::<u64>();
        assert!(hits > 400, "{hits} answers went on");
    }

    #[test]
    fn most_generated_expressions_are_valid() {
        let mut valid = 0;
        for seed in 0..500u32 {
            let data: Vec<u8> = (0..60u32)
                .map(|i| (seed.wrapping_mul(31).wrapping_add(i * i * 7 + seed) >> 2) as u8)
                .collect();
            valid += usize::from(crate::parse(&generate(&data)).is_ok());
        }
        assert!(valid > 350, "{valid} of 500");
    }
}
