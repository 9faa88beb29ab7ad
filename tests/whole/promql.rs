//! PromQL against its original: upstream's own scripts, the rules and dashboards that people run, and
//! thousands of generated questions to both engines over the same samples.

use anyhow::{Context, Result, bail, ensure};
use model::{Sample, Value};
use promql::ast::AggregateOp;
use promql::promqltest::MemoryStore;
use promql::{Engine, EngineOptions, Expr, QueryOptions, QueryResult, QueryValue};
use serde_json::json;
use stage::mixins::{fill, is_duration};
use stage::require;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Upstream's scripts and how many `eval` commands of each pass. The counts may only grow.
const SCRIPTS: [(&str, usize); 21] = [
    ("aggregators", 160),
    ("at_modifier", 78),
    ("collision", 2),
    ("duration_expression", 59),
    ("extended_vectors", 174),
    ("fill-modifier", 46),
    ("functions", 438),
    ("histograms", 185),
    ("info", 70),
    ("limit", 37),
    ("literals", 25),
    ("name_label_dropping", 30),
    ("native_histograms", 522),
    ("operators", 214),
    ("range_queries", 18),
    ("selectors", 31),
    ("staleness", 17),
    ("start_timestamps", 26),
    ("subquery", 34),
    ("trig_functions", 19),
    ("type_and_unit", 58),
];

/// The folder of the pinned Prometheus module, which holds the scripts.
fn prometheus_module() -> Result<PathBuf> {
    let output = Command::new("go")
        .args(["mod", "download", "-json", "github.com/prometheus/prometheus"])
        .current_dir(stage::program::repository().join("tests/peers/promql"))
        .output()
        .context("cannot run go")?;
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    let dir = answer["Dir"].as_str().with_context(|| format!("no folder in {answer}"))?;
    Ok(dir.into())
}

#[test]
fn upstreams_scripts_pass_whole() -> Result<()> {
    if !require::present("upstream's PromQL scripts", require::program("go")) {
        return Ok(());
    }
    let folder = prometheus_module()?.join("promql/promqltest/testdata");
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(&folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        found.extend(name.strip_suffix(".test").map(String::from));
    }
    let known: BTreeSet<String> = SCRIPTS.iter().map(|s| s.0.to_string()).collect();
    assert_eq!(found, known, "the scripts of the module are not those known");
    let (mut passed, mut failures) = (0, Vec::new());
    for (name, least) in SCRIPTS {
        let text = std::fs::read_to_string(folder.join(format!("{name}.test")))?;
        let report = promql::promqltest::run(&text, name);
        let evals = text.lines().filter(|l| l.trim_start().starts_with("eval")).count();
        assert_eq!(report.passed + report.failures.len(), evals, "{name}: commands were lost");
        assert!(report.passed >= least, "{name}: {} pass, {least} passed before", report.passed);
        passed += report.passed;
        failures.extend(report.failures);
    }
    for f in &failures {
        eprintln!("{}:{}: {}", f.name, f.line, f.message);
    }
    println!("{passed} passed, {} failed", failures.len());
    assert!(failures.is_empty(), "{} of upstream's evals fail", failures.len());
    Ok(())
}

/// The folder of rules and dashboards beside the checkout; `None` where it is missing and may be.
fn mixins(test: &str) -> Option<PathBuf> {
    let folder = stage::mixins::folder();
    let lack = (!folder.is_dir()).then(|| format!("there is no {}", folder.display()));
    require::present(test, lack).then_some(folder)
}

#[test]
fn rules_and_dashboards_of_today_parse() -> Result<()> {
    let Some(folder) = mixins("rules and dashboards of today") else { return Ok(()) };
    let value = |name: &str| if is_duration(name) { "5m" } else { "1" }.to_owned();
    let dashboards = stage::mixins::dashboard_queries(&folder)?;
    let mut queries: Vec<String> = dashboards.iter().map(|q| fill(&q.text, value)).collect();
    let dashboards = queries.len();
    queries.extend(stage::mixins::rules(&folder)?);
    for query in &queries {
        let expr = promql::parse(query).with_context(|| query.clone())?;
        let printed = expr.to_string();
        let again = promql::parse(&printed).with_context(|| printed.clone())?;
        assert_eq!(again.to_string(), printed);
    }
    println!("{dashboards} dashboard queries and {} rules parse", queries.len() - dashboards);
    assert!(dashboards >= 581, "only {dashboards} dashboard queries were found");
    assert!(queries.len() - dashboards >= 223, "only {} rules", queries.len() - dashboards);
    Ok(())
}

/// Prometheus's own engine over our samples.
struct Original {
    child: Child,
    answers: BufReader<std::process::ChildStdout>,
}

impl Original {
    fn start(samples: &[(model::Labels, Sample)]) -> Result<Original> {
        let program = stage::peer::build("promql")?;
        let mut file = tempfile::NamedTempFile::new()?;
        for (labels, sample) in samples {
            let labels: BTreeMap<&str, &str> = labels.iter().collect();
            let mut line =
                json!({"labels": labels, "time": sample.time_ms, "start": sample.start_ms});
            match &sample.value {
                Value::Float(f) => line["bits"] = f.to_bits().into(),
                Value::Histogram(h) => line["histogram"] = histogram_json(h),
            }
            writeln!(file, "{line}")?;
        }
        let mut child = Command::new(program)
            .arg(file.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let answers = BufReader::new(child.stdout.take().context("no output")?);
        let mut original = Original { child, answers };
        // The first answer tells that the samples are in; the file may go then.
        original.ask(&json!({"parse": "1"}))?;
        Ok(original)
    }

    fn ask(&mut self, question: &serde_json::Value) -> Result<serde_json::Value> {
        writeln!(self.child.stdin.as_mut().context("no input")?, "{question}")?;
        let mut line = String::new();
        ensure!(self.answers.read_line(&mut line)? > 0, "the original ended at {question}");
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Original {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn histogram_json(h: &model::Histogram) -> serde_json::Value {
    let spans = |spans: &[model::histogram::Span]| -> Vec<serde_json::Value> {
        spans.iter().map(|s| json!({"offset": s.offset, "length": s.length})).collect()
    };
    let hint = match h.reset_hint {
        model::histogram::ResetHint::Unknown => 0,
        model::histogram::ResetHint::Reset => 1,
        model::histogram::ResetHint::NotReset => 2,
        model::histogram::ResetHint::Gauge => 3,
    };
    let bounds = (!h.custom_bounds.is_empty()).then(|| h.custom_bounds.to_vec());
    json!({
        "hint": hint, "schema": h.schema, "zero_threshold": h.zero_threshold, "zero_count": h.zero_count,
        "count": h.count, "sum": h.sum, "positive_spans": spans(&h.positive_spans),
        "positive": h.positive_buckets, "negative_spans": spans(&h.negative_spans),
        "negative": h.negative_buckets, "bounds": bounds,
    })
}

/// One answer, in a form that compares: for each series its points as texts.
type Answer = BTreeMap<String, Vec<(i64, String)>>;

fn ours(result: &QueryResult) -> Answer {
    let mut out = Answer::new();
    match &result.value {
        QueryValue::Scalar(t, v) => {
            out.insert("{}".into(), vec![(*t, v.to_string())]);
        }
        QueryValue::String(..) => {}
        QueryValue::Vector(all) => {
            for s in all {
                let text = match &s.value {
                    Value::Float(f) => f.to_string(),
                    Value::Histogram(h) => h.to_string(),
                };
                out.entry(key(s.labels.iter())).or_default().push((s.time_ms, text));
            }
        }
        QueryValue::Matrix(all) => {
            for s in all {
                let points = out.entry(key(s.labels.iter())).or_default();
                points.extend(s.floats.iter().map(|(t, f)| (*t, f.to_string())));
                points.extend(s.histograms.iter().map(|(t, h)| (*t, h.to_string())));
                points.sort();
            }
        }
    }
    out
}

fn key<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let parts: Vec<String> = labels.map(|(n, v)| format!("{n}={v:?}")).collect();
    format!("{{{}}}", parts.join(", "))
}

fn theirs(answer: &serde_json::Value) -> Result<Answer> {
    let mut out = Answer::new();
    for s in answer["series"].as_array().map_or(&[][..], Vec::as_slice) {
        let labels = s["labels"].as_object().context("no labels")?;
        let sorted: BTreeMap<&str, &str> =
            labels.iter().map(|(n, v)| (n.as_str(), v.as_str().unwrap_or(""))).collect();
        let points = out.entry(key(sorted.into_iter())).or_default();
        for p in s["points"].as_array().context("no points")? {
            let text = |i: usize| p[i].as_str().unwrap_or("");
            points.push((text(0).parse()?, text(1).to_string()));
        }
        points.sort();
    }
    Ok(out)
}

/// Equal errors; which of several duplicates the original names depends on the order of a Go map.
fn same_error(got: &str, expected: &str) -> bool {
    const BY_CHANCE: &str = "found duplicate series for the match group";
    got == expected || got.starts_with(BY_CHANCE) && expected.starts_with(BY_CHANCE)
}

/// Equal texts but for the last digits of the numbers in them.
fn same_text(a: &str, b: &str) -> bool {
    if a == b {
        return true;
    }
    let split = |s: &str| -> Vec<String> {
        s.split(|c: char| "{}[](), :".contains(c)).map(str::to_ascii_lowercase).collect()
    };
    let (a, b) = (split(a), split(b));
    a.len() == b.len()
        && a.iter().zip(&b).all(|(a, b)| match (a.parse::<f64>(), b.parse::<f64>()) {
            (Ok(a), Ok(b)) => {
                let near = (a - b).abs() <= 1e-9 * (a.abs() + b.abs());
                // What cancels out to nearly nothing has no digits that count.
                a == b || a.is_nan() && b.is_nan() || near || a.abs() + b.abs() < 1e-9
            }
            _ => a == b,
        })
}

fn same_answer(a: &Answer, b: &Answer) -> bool {
    a.len() == b.len()
        && a.iter().zip(b).all(|((ka, pa), (kb, pb))| {
            // count_values makes labels of numbers.
            same_text(ka, kb)
                && pa.len() == pb.len()
                && pa.iter().zip(pb).all(|(x, y)| x.0 == y.0 && same_text(&x.1, &y.1))
        })
}

/// The functions, operators and aggregations of an expression.
fn parts(expr: &Expr, out: &mut BTreeSet<String>) {
    match expr {
        Expr::Call(c) => out.insert(c.func.name.into()),
        Expr::Aggregate(a) => out.insert(a.op.as_str().into()),
        Expr::Binary(b) => out.insert(format!("operator {}", b.op.as_str())),
        Expr::Subquery(_) => out.insert("subquery".into()),
        Expr::Matrix(m) if m.selector.anchored => out.insert("anchored".into()),
        Expr::Matrix(m) if m.selector.smoothed => out.insert("smoothed".into()),
        _ => false,
    };
    expr.children().into_iter().for_each(|c| parts(c, out));
}

/// Whether a last digit that differs decides about all digits: what Go and this machine's C library
/// give for a power may differ there, and the sine of a large number asks for it.
fn amplifies(expr: &Expr) -> bool {
    let is = |expr: &Expr, names: &[&str]| match expr {
        Expr::Call(c) => names.contains(&c.func.name),
        Expr::Binary(b) => names.contains(&b.op.as_str()),
        _ => false,
    };
    let below = |expr: &Expr, names: &[&str]| {
        let mut open = expr.children();
        while let Some(next) = open.pop() {
            if is(next, names) {
                return true;
            }
            open.extend(next.children());
        }
        false
    };
    let periodic = is(expr, &["sin", "cos", "tan", "%"]);
    let counts_values = matches!(expr, Expr::Aggregate(a) if a.op == AggregateOp::CountValues);
    fn inexact(expr: &Expr) -> bool {
        matches!(expr, Expr::Call(_) | Expr::Aggregate(_))
            || expr.children().into_iter().any(inexact)
    }
    periodic && below(expr, &["^", "exp", "sinh", "cosh"])
        || counts_values && expr.children().into_iter().any(inexact)
        || expr.children().into_iter().any(amplifies)
}

/// How many questions are asked, and how many answers with something in them each function and
/// operator must have had compared.
const QUESTIONS: usize = 30_000;
const LEAST: usize = 20;

#[test]
fn answers_are_the_originals() -> Result<()> {
    if !require::present("PromQL beside the original", require::program("go")) {
        return Ok(());
    }
    let mut random = stage::seed::Seed::of_run("PromQL beside the original");
    let mut samples = promql::fuzz::samples();
    // The original's store gives series in the order in which they came, ours sorted.
    samples.sort_by(|a, b| (&a.0, a.1.time_ms).cmp(&(&b.0, b.1.time_ms)));
    let mut store = MemoryStore::default();
    samples.iter().for_each(|(labels, sample)| store.append(labels, sample.clone()));
    let mut original = Original::start(&samples)?;
    let engines = [false, true].map(|delayed_name_removal| {
        let defaults = EngineOptions::default();
        Engine::new(EngineOptions { delayed_name_removal, start_timestamps: true, ..defaults })
    });
    let mut compared: BTreeMap<String, usize> = BTreeMap::new();
    let (mut empty, mut errors, mut wrong) = (0, 0, Vec::new());
    for _ in 0..QUESTIONS {
        let data: Vec<u8> = (0..64).map(|_| random.bits() as u8).collect();
        let query = promql::fuzz::generate(&data);
        if promql::parse(&query).is_ok_and(|expr| amplifies(&expr)) || looks_elsewhere(&query) {
            continue;
        }
        let delayed = random.bits() % 2 == 1;
        let instant = random.bits().is_multiple_of(3);
        // Late enough that no window reaches back before 1970.
        let start = random.within(300_000..=700_000) as i64;
        let (end, step) = if instant { (start, 0) } else { (start + 300_000, 37_000) };
        let question = json!({
            "query": query, "start": start, "end": end, "step": step, "delayed": delayed
        });
        let answer = original.ask(&question)?;
        let engine = &engines[usize::from(delayed)];
        let options = QueryOptions::default();
        let result = if instant {
            engine.instant(&store, &query, start, &options)
        } else {
            engine.range(&store, &query, start, end, step, &options)
        };
        let expected = answer["error"].as_str();
        match (result, expected) {
            (Err(got), Some(expected)) => {
                errors += 1;
                if !same_error(&got.to_string(), expected) {
                    wrong.push(format!("{question}\n   error: {got}\n   original: {expected}"));
                }
            }
            (Err(got), None) => wrong.push(format!("{question}\n   only ours fails: {got}")),
            (Ok(_), Some(e)) => wrong.push(format!("{question}\n   only the original fails: {e}")),
            (Ok(result), None) => {
                let (got, expected) = (ours(&result), theirs(&answer)?);
                if !same_answer(&got, &expected) {
                    wrong
                        .push(format!("{question}\n   got      {got:?}\n   original {expected:?}"));
                    continue;
                }
                for (kind, got) in [("warnings", &result.warnings), ("infos", &result.infos)] {
                    let expected = texts(&answer[kind]);
                    let got: Vec<String> = got.iter().map(|t| without_count(t)).collect();
                    if !same_notes(&got, &expected) {
                        wrong.push(format!(
                            "{question}\n   {kind} {got:?}\n   original {expected:?}"
                        ));
                    }
                }
                let looked = (result.stats.total_samples, result.stats.read_samples);
                let theirs = (answer["samples"].as_u64(), answer["read"].as_u64());
                if theirs != (Some(looked.0), Some(looked.1)) {
                    wrong
                        .push(format!("{question}\n   samples {looked:?}\n   original {theirs:?}"));
                }
                if expected.is_empty() {
                    empty += 1;
                    continue;
                }
                let mut all = BTreeSet::new();
                parts(&promql::parse(&query)?, &mut all);
                for part in all {
                    *compared.entry(part).or_default() += 1;
                }
            }
        }
    }
    let shown: Vec<String> = compared.iter().map(|(part, n)| format!("{part} {n}")).collect();
    println!(
        "{QUESTIONS} questions, {errors} errors alike, {empty} empty; not empty: {}",
        shown.join(", ")
    );
    for w in wrong.iter().take(40) {
        eprintln!("{w}");
    }
    ensure!(wrong.is_empty(), "{} of {QUESTIONS} answers differ", wrong.len());
    let folded = ["start", "end", "range", "step"];
    let functions = promql::function::FUNCTIONS.iter().map(|f| f.name.to_string());
    let missing: Vec<String> = functions
        .filter(|f| !folded.contains(&f.as_str()))
        .filter(|f| compared.get(f).is_none_or(|n| *n < LEAST))
        .collect();
    if !missing.is_empty() {
        bail!("fewer than {LEAST} answers compared for {missing:?}");
    }
    Ok(())
}

fn texts(list: &serde_json::Value) -> Vec<String> {
    let list = list.as_array().map_or(&[][..], Vec::as_slice);
    list.iter().filter_map(|t| t.as_str().map(without_count)).collect()
}

/// The same notes in any order, but for the last digits of the numbers in them.
fn same_notes(a: &[String], b: &[String]) -> bool {
    let sorted = |notes: &[String]| notes.iter().cloned().collect::<BTreeSet<_>>();
    let (a, b) = (sorted(a), sorted(b));
    a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| same_text(a, b))
}

/// A note without how many samples it speaks of: the original counts some of them once for each quantile.
fn without_count(note: &str) -> String {
    match note.split_once(", over ") {
        Some((before, after)) => format!("{before}{}", after.trim_start_matches(char::is_numeric)),
        None => note.into(),
    }
}

/// Whether the original evaluates a subquery that `@` fixes at other times than its windows ask for: it
/// does where another argument may depend on the step, tells what it met there, and may stop at it.
fn looks_elsewhere(query: &str) -> bool {
    let with_arguments = ["predict_linear", "quantile_over_time", "double_exponential_smoothing"];
    with_arguments.iter().any(|f| query.contains(f)) && query.contains('@') && query.contains(':')
}
