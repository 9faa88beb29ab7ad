//! Queries over weeks: what companions answer is what the samples answer, for every function that may use them,
//! in every grid; and the answer says that they were read.

use anyhow::{Context, Result, ensure};
use model::{
    Columns, Hints, Labels, Matcher, ReadError, Sample, Selection, SeriesSet, Storage, Value,
};
use promql::{Engine, QueryOptions, QueryResult, QueryValue};
use tsdb::{Db, Options};

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;
/// A Monday at midnight.
const BEGIN: i64 = 1_750_032_000_000;
const DAYS: i64 = 9;
const SERIES: usize = 12;

/// The store as it is without companions.
struct Plain<'a>(&'a Db);

impl Storage for Plain<'_> {
    fn select<'a>(
        &'a self,
        selection: &Selection<'_>,
    ) -> Result<Box<dyn SeriesSet + 'a>, ReadError> {
        let hints = Hints { keep: None, ..selection.hints };
        self.0.select(&Selection { hints, ..selection.clone() })
    }

    fn label_names(&self, s: &[Vec<Matcher>], a: i64, b: i64) -> Result<Vec<String>, ReadError> {
        self.0.label_names(s, a, b)
    }

    fn label_values(
        &self,
        name: &str,
        s: &[Vec<Matcher>],
        a: i64,
        b: i64,
    ) -> Result<Vec<String>, ReadError> {
        self.0.label_values(name, s, a, b)
    }
}

/// Made-up series, one after the other.
struct Source {
    next: usize,
    from_ms: i64,
    to_ms: i64,
}

fn labels(n: usize) -> Labels {
    let name = if n < 6 { "work_total" } else { "level" };
    Labels::from_pairs([("__name__", name), ("job", "j"), ("n", format!("{n:02}").as_str())])
}

/// A number that looks like chance, and is the same each time.
fn chance(a: i64, b: usize) -> u64 {
    let x = (a as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        ^ (b as u64).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let x = (x ^ x >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^ x >> 32
}

/// The samples of a series, every 15 s and some jitter.
fn samples(n: usize, from_ms: i64, to_ms: i64) -> Vec<(i64, f64)> {
    let mut counter = 0.0;
    let mut out = Vec::new();
    for tick in BEGIN / 15_000..to_ms / 15_000 {
        let time = tick * 15_000 + (chance(tick, 0) % 40) as i64;
        let random = chance(tick, n + 1);
        counter += (random % 7) as f64 + if n % 2 == 1 { 0.3 } else { 0.0 };
        if random % 9000 == 1 {
            counter = 0.0;
        }
        // Gaps of hours, and a series that comes late.
        let gone = (n == 2 && (tick / 700) % 9 == 4) || (n == 3 && time < BEGIN + 2 * DAY);
        if time < from_ms || gone {
            continue;
        }
        let value = match n {
            0..6 if random % 5000 == 3 => model::value::STALE,
            0..6 => counter,
            6 => (random % 100_000) as f64 / 1000.0 - 30.0,
            7 => ((tick / 5000) % 2) as f64,
            8 if random % 40_000 == 5 => f64::NAN,
            8 => (random % 17) as f64,
            9 => 1.0,
            10 => (tick as f64 / 900.0).sin() * 1e6 + (random % 999) as f64 * 1e-3,
            _ => counter * 0.1,
        };
        out.push((time, value));
    }
    out
}

impl SeriesSet for Source {
    fn next(&mut self) -> Result<Option<Labels>, ReadError> {
        self.next += 1;
        // Sorted by name first.
        let order = |i: usize| if i < 6 { i + 6 } else { i - 6 };
        Ok((self.next <= SERIES).then(|| labels(order(self.next - 1))))
    }

    fn read(&mut self, columns: &mut Columns) -> Result<(), ReadError> {
        columns.clear();
        let n = if self.next <= 6 { self.next + 5 } else { self.next - 7 };
        for (time, value) in samples(n, self.from_ms, self.to_ms) {
            columns.times_ms.push(time);
            columns.floats.push(value);
        }
        Ok(())
    }
}

/// Two blocks of days, of which one has an entry that begins within a stretch, and some hours in memory.
fn store(dir: &std::path::Path) -> Result<Db> {
    let db = Db::open(dir, Options { background: false, retention_ms: 0, ..Options::default() })?;
    let middle = BEGIN + 4 * DAY + 7 * MINUTE + 1234;
    let end = BEGIN + DAYS * DAY;
    for (from_ms, to_ms) in [(BEGIN, middle), (middle, end - 3 * 60 * MINUTE)] {
        let mut source = Source { next: 0, from_ms, to_ms };
        db.seal(&mut source, from_ms, to_ms)?;
    }
    for n in 0..SERIES {
        let own = samples(n, end - 3 * 60 * MINUTE, end);
        let sample = |(time_ms, value): (i64, f64)| Sample {
            time_ms,
            start_ms: 0,
            value: Value::Float(value),
        };
        let own: Vec<_> = own.into_iter().map(|s| (labels(n), sample(s))).collect();
        db.append(&own)?;
    }
    ensure!(db.blocks().len() == 2, "{:?}", db.blocks());
    db.tick(end)?;
    let stats = db.stats();
    ensure!(stats.companion_bytes > 0, "no companions: {stats:?}");
    eprintln!("{} bytes of blocks, {} of companions", stats.block_bytes, stats.companion_bytes);
    Ok(db)
}

/// Series by time with the bits of their values.
fn points(result: &QueryResult) -> Vec<(String, i64, f64)> {
    let mut all = Vec::new();
    match &result.value {
        QueryValue::Vector(vector) => {
            for sample in vector {
                if let Value::Float(v) = sample.value {
                    all.push((sample.labels.to_string(), sample.time_ms, v));
                }
            }
        }
        QueryValue::Matrix(matrix) => {
            for series in matrix {
                let name = series.labels.to_string();
                all.extend(series.floats.iter().map(|(t, v)| (name.clone(), *t, *v)));
            }
        }
        _ => {}
    }
    all
}

const TEXT: &str = "were read in place of samples";

/// Compares; gives points compared, and whether companions were read.
fn compare(
    what: &str,
    ours: &QueryResult,
    plain: &QueryResult,
    exact: bool,
) -> Result<(usize, bool)> {
    let (a, b) = (points(ours), points(plain));
    ensure!(a.len() == b.len(), "{what}: {} points instead of {}", a.len(), b.len());
    for (a, b) in a.iter().zip(&b) {
        let close =
            (a.2 - b.2).abs() <= 1e-12 * b.2.abs().max(1e-3) || (a.2.is_nan() && b.2.is_nan());
        let same = a.2.to_bits() == b.2.to_bits() || (!exact && close);
        ensure!((&a.0, a.1) == (&b.0, b.1) && same, "{what}: {a:?} instead of {b:?}");
    }
    let used = ours.infos.iter().any(|i| i.contains(TEXT));
    let mut infos = ours.infos.clone();
    infos.retain(|i| !i.contains(TEXT));
    ensure!(infos == plain.infos && ours.warnings == plain.warnings, "{what}: {infos:?}");
    ensure!(!plain.infos.iter().any(|i| i.contains(TEXT)), "{what}: {:?}", plain.infos);
    Ok((a.len(), used))
}

/// Expressions with a range in place of `R`; whether their answers are the same to the last bit.
const QUERIES: &[(&str, bool)] = &[
    ("rate(work_total[R])", true),
    ("increase(work_total[R])", true),
    ("sum by (job) (rate(work_total[R]))", true),
    ("delta(level[R])", true),
    ("resets(work_total[R])", true),
    ("count_over_time({job=\"j\"}[R])", true),
    ("present_over_time({job=\"j\"}[R])", true),
    ("absent_over_time(work_total{n=\"02\"}[R])", true),
    ("first_over_time({job=\"j\"}[R])", true),
    ("last_over_time({job=\"j\"}[R])", true),
    ("ts_of_first_over_time({job=\"j\"}[R])", true),
    ("ts_of_last_over_time({job=\"j\"}[R])", true),
    ("min_over_time({job=\"j\"}[R])", true),
    ("max_over_time({job=\"j\"}[R])", true),
    ("sum_over_time(level[R])", false),
    ("avg_over_time(level[R])", false),
    ("rate(work_total[R] offset 2h)", true),
    ("max_over_time(rate(work_total[R])[6h:1h])", true),
    ("avg_over_time(level[R] @ end())", false),
];

/// Those without a range.
const INSTANT: &[&str] = &[
    "level",
    "sum(level)",
    "timestamp(work_total)",
    "work_total offset 1h",
    "absent(work_total{n=\"03\"})",
];

/// Functions that need all samples.
const RAW: &[&str] = &[
    "stddev_over_time(level[R])",
    "irate(work_total[R])",
    "changes(level[R])",
    "quantile_over_time(0.5, level[R])",
];

#[test]
fn companions_answer_as_samples_do() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let db = store(folder.path())?;
    let (engine, options) = (Engine::default(), QueryOptions::default());
    let (first, last) = (BEGIN + DAY, BEGIN + DAYS * DAY - 2 * 60 * MINUTE);
    // (start, end, step, range), and whether companions fit.
    let grids = [
        (first, last, 60 * MINUTE, "1h", true),
        (first, last, 60 * MINUTE, "1d", true),
        (first, last, 120 * MINUTE, "1h5m", true),
        (first + 5 * MINUTE, last, 15 * MINUTE, "10m", true),
        (first, last, 60 * MINUTE, "7m", false),
        (first + 17_000, last, 60 * MINUTE, "1h", false),
        (first + 17_001, first + 17_001, 1, "23h", true),
        (last + 17_001, last + 17_001, 1, "7d1h3s", true),
        (last, last, 1, "5d", true),
    ];
    let mut used_by = std::collections::BTreeMap::<&str, usize>::new();
    for (start, end, step, range, fits) in grids {
        for (query, exact) in QUERIES {
            let query = &*query.replace('R', range);
            let what = format!("{query} from {start} to {end} in steps of {step}");
            let ours =
                engine.range(&db, query, start, end, step, &options).context(what.clone())?;
            let plain = engine.range(&Plain(&db), query, start, end, step, &options)?;
            let (points, used) = compare(&what, &ours, &plain, *exact)?;
            ensure!(points > 0 || query.starts_with("absent"), "{what}: no answer");
            let plain_range =
                !query.contains("offset") && !query.contains('@') && !query.contains(':');
            ensure!(used == fits || !plain_range, "{what}: companions read: {used}");
            if used {
                *used_by
                    .entry(
                        QUERIES
                            .iter()
                            .find(|q| q.0.replace('R', range) == query)
                            .map_or("", |q| q.0),
                    )
                    .or_default() += points;
                let (few, many) = (ours.stats.peak_samples, plain.stats.peak_samples);
                ensure!(few <= many, "{what}: {few} samples held instead of {many}");
            }
        }
        for query in RAW {
            let query = &*query.replace('R', range);
            let ours = engine.range(&db, query, start, end, step, &options)?;
            ensure!(ours.infos.iter().all(|i| !i.contains(TEXT)), "{query}: {:?}", ours.infos);
        }
        for query in INSTANT {
            let what = format!("{query} from {start} to {end} in steps of {step}");
            let ours = engine.range(&db, query, start, end, step, &options)?;
            let plain = engine.range(&Plain(&db), query, start, end, step, &options)?;
            let (_, used) = compare(&what, &ours, &plain, true)?;
            let whole = |t: i64| t % (5 * MINUTE) == 0;
            let aligned = whole(start) && whole(step) && end > start;
            ensure!(used == aligned, "{what}: companions read: {used}");
        }
    }
    for (query, _) in QUERIES {
        let points = used_by.get(query).copied().unwrap_or(0);
        eprintln!("{points:>8} points of {query}");
        ensure!(
            points >= 20 || query.starts_with("absent"),
            "{query}: {points} points came from companions"
        );
    }
    ensure!(db.stats().companion_reads > 50, "{:?}", db.stats());
    Ok(())
}

#[test]
fn an_answer_says_that_companions_were_read() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let db = store(folder.path())?;
    let options = QueryOptions { explain: true, ..QueryOptions::default() };
    let end = BEGIN + 8 * DAY;
    let query = "sum(rate(work_total[1h])) / sum(level)";
    let result = Engine::default().range(&db, query, BEGIN + DAY, end, 60 * MINUTE, &options)?;
    let at = |metric: &str, at: &str| {
        let metric = format!("for metric name \"{metric}\"");
        format!("PromQL info: downsampled companions of 1h {TEXT} {metric} ({at})")
    };
    ensure!(result.infos == [at("level", "1:33"), at("work_total", "1:10")], "{:?}", result.infos);
    let told = format!("{:?}", result.explain);
    for what in ["work_total (companions of 1h)", "level (companions of 1h)"] {
        ensure!(told.contains(what), "{told}");
    }
    Ok(())
}
