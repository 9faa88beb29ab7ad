//! The same metrics by text and by protobuf, and what becomes of histograms.

use super::*;
use crate::config::Exposition;
use crate::round;
use model::exposition::protobuf::Choice;
use model::exposition::{Format, Writer};
use model::protobuf::{put_bytes, put_double, put_integer, put_message, put_text, put_varint};
use model::series::Columns;
use model::{Matcher, Selection, Storage};
use proptest::prelude::*;
use std::time::Duration;
use tsdb::{Db, Group};

const TIME_MS: i64 = 1_700_000_000_000;

/// A family of classic metrics, as a client library has them.
#[derive(Clone, Debug)]
struct Classic {
    kind: Kind,
    /// The value of the label `l`, a sum or a value, counts.
    metrics: Vec<(String, f64, Vec<u32>)>,
}

const BOUNDS: [f64; 4] = [-1.0, 0.25, 1e6, f64::INFINITY];
const QUANTILES: [f64; 4] = [0.0, 0.5, 0.99, 1.0];

fn family() -> impl Strategy<Value = Classic> {
    let kind = prop::sample::select(vec![
        Kind::Counter,
        Kind::Gauge,
        Kind::Untyped,
        Kind::Summary,
        Kind::Histogram,
    ]);
    let metric = (-99i32..99, prop::collection::vec(0u32..9, 4));
    let metrics = prop::collection::btree_map("[a-cé\"\\\\]{0,2}", metric, 1..4);
    (kind, metrics).prop_map(|(kind, metrics)| Classic {
        kind,
        metrics: metrics.into_iter().map(|(l, (v, c))| (l, f64::from(v) / 4.0, c)).collect(),
    })
}

fn cumulative(counts: &[u32]) -> Vec<f64> {
    let mut all = 0.0;
    let each = counts.iter().map(|c| {
        all += f64::from(*c);
        all
    });
    each.collect()
}

fn as_text(families: &[Classic], syntax: Syntax) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out, Format { syntax, ..Format::default() });
    for (i, family) in families.iter().enumerate() {
        let total = if family.kind == Kind::Counter { "_total" } else { "" };
        let name = format!("f{i}{total}");
        writer.family(&Family { name: &name, help: "Help.", kind: family.kind, unit: "" });
        for (l, value, counts) in &family.metrics {
            let l = ("l", l.as_str());
            let all = cumulative(counts);
            let mut put = |suffix: &str, labels: &[(&str, &str)], value: f64| {
                writer.sample(&format!("{name}{suffix}"), labels, value, None);
            };
            match family.kind {
                Kind::Summary => {
                    for (quantile, count) in QUANTILES.iter().zip(&all) {
                        // Without a point, as many a library prints it.
                        put("", &[l, ("quantile", &quantile.to_string())], *count);
                    }
                }
                Kind::Histogram => {
                    for (bound, count) in ["-1", "0.25", "1e6", "+Inf"].iter().zip(&all) {
                        put("_bucket", &[("le", bound), l], *count);
                    }
                }
                _ => {
                    put("", &[l], *value);
                    continue;
                }
            }
            put("_sum", &[l], *value);
            put("_count", &[l], all[3]);
        }
    }
    writer.finish();
    out
}

fn as_protobuf(families: &[Classic]) -> Vec<u8> {
    let mut body = Vec::new();
    for (i, family) in families.iter().enumerate() {
        let (number, field, total) = match family.kind {
            Kind::Counter => (0, 3, "_total"),
            Kind::Gauge => (1, 2, ""),
            Kind::Summary => (2, 4, ""),
            Kind::Histogram => (4, 7, ""),
            _ => (3, 5, ""),
        };
        let mut out = Vec::new();
        put_text(&mut out, 1, &format!("f{i}{total}"));
        put_text(&mut out, 2, "Help.");
        put_integer(&mut out, 3, number);
        for (l, value, counts) in &family.metrics {
            put_message(&mut out, 4, |out| {
                put_message(out, 1, |out| {
                    put_text(out, 1, "l");
                    put_bytes(out, 2, l.as_bytes());
                });
                put_message(out, field, |out| {
                    if number != 2 && number != 4 {
                        return put_double(out, 1, *value);
                    }
                    let all = cumulative(counts);
                    put_integer(out, 1, all[3] as i64);
                    put_double(out, 2, *value);
                    for (at, count) in all.iter().enumerate() {
                        put_message(out, 3, |out| match number {
                            2 => {
                                put_double(out, 1, QUANTILES[at]);
                                put_double(out, 2, *count);
                            }
                            _ => {
                                put_integer(out, 1, *count as i64);
                                put_double(out, 2, BOUNDS[at]);
                            }
                        });
                    }
                });
            });
        }
        put_varint(&mut body, out.len() as u64);
        body.append(&mut out);
    }
    body
}

struct Store {
    _dir: tempfile::TempDir,
    db: Db,
    group: Group,
    target: Labels,
    job: Job,
}

impl Store {
    fn new(exposition: Exposition) -> Store {
        let dir = tempfile::tempdir().expect("a folder");
        let db = Db::open(dir.path(), tsdb::Options::default()).expect("opens");
        let target = Labels::from_pairs([("job", "j"), ("instance", "i")]);
        let group = db.group(&target);
        Store { _dir: dir, db, group, target, job: Job { exposition, ..Job::default() } }
    }

    fn scrape(&mut self, round: i64, body: &[u8], kind: Body) -> round::Done {
        let Store { group, target, job, .. } = self;
        let (time, took) = (TIME_MS + round * 1000, Duration::from_millis(1));
        round::write(group, job, target, time, took, Ok((body, kind))).expect("keeps")
    }

    /// Each series with its samples.
    fn all(&self) -> Vec<String> {
        let matchers = [Matcher::equal("job", "j")];
        let selection = Selection { matchers: &matchers, end_ms: i64::MAX, ..Selection::default() };
        let mut set = self.db.select(&selection).expect("reads");
        let (mut all, mut columns) = (Vec::new(), Columns::default());
        while let Some(labels) = set.next().expect("reads") {
            set.read(&mut columns).expect("reads");
            let Columns { times_ms, floats, histograms, starts_ms, .. } = &columns;
            let floats: Vec<u64> = floats.iter().map(|f| f.to_bits()).collect();
            all.push(format!("{labels} {times_ms:?} {floats:?} {histograms:?} {starts_ms:?}"));
        }
        all.sort();
        all
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 1 } else { 24 }))]

    #[test]
    fn text_and_protobuf_give_the_same_series(
        rounds in prop::collection::vec(prop::collection::vec(family(), 0..4), 1..4),
        custom: bool, classic_too: bool, same: bool,
    ) {
        let histograms = Choice { native: true, classic_too, custom };
        let exposition = Exposition { histograms, ..Exposition::default() };
        let mut stores = [(); 3].map(|()| Store::new(exposition.clone()));
        for (round, families) in rounds.iter().enumerate() {
            // Rounds of the same series take the way of what is known.
            let families = if same { &rounds[0] } else { families };
            let bodies = [
                (as_text(families, Syntax::Text), Body::Text(Syntax::Text)),
                (as_text(families, Syntax::OpenMetrics), Body::Text(Syntax::OpenMetrics)),
                (as_protobuf(families), Body::Protobuf),
            ];
            let mut counts = Vec::new();
            for (store, (body, kind)) in stores.iter_mut().zip(&bodies) {
                let done = store.scrape(round as i64, body, *kind);
                prop_assert!(done.error.is_none(), "{:?}", done.error);
                counts.push((done.ingested, done.committed.samples, done.committed.new_series));
                let names = family_names(body, *kind);
                prop_assert_eq!(names.len(), families.len());
            }
            prop_assert!(counts.iter().all(|c| *c == counts[0]), "{:?}", counts);
        }
        let [text, open, protobuf] = stores.map(|s| s.all());
        prop_assert_eq!(&text, &protobuf);
        prop_assert_eq!(&text, &open);
    }

    #[test]
    fn no_bytes_break_a_scrape(bytes in prop::collection::vec(any::<u8>(), 0..200), custom: bool) {
        let histograms = Choice { native: true, classic_too: false, custom };
        let mut store = Store::new(Exposition { histograms, ..Exposition::default() });
        let done = store.scrape(0, &bytes, Body::Protobuf);
        // Whole or not at all.
        prop_assert!(done.error.is_none() || done.committed.samples == 5, "{:?}", done.committed);
    }
}

#[test]
fn classic_histograms_of_text_become_native_ones() {
    let text = b"# TYPE h histogram\n\
                 h_bucket{x=\"a\",le=\"1\"} 1 1700000000500\nh_bucket{x=\"a\",le=\"+Inf\"} 3 1700000000500\n\
                 h_sum{x=\"a\"} 7 1700000000500\nh_count{x=\"a\"} 3 1700000000500\n\
                 h_bucket{x=\"b\",le=\"1\"} 2\nh_bucket{x=\"b\",le=\"+Inf\"} 1\n\
                 # TYPE other gauge\nother_bucket{le=\"1\"} 5\n";
    let histograms = Choice { custom: true, ..Choice::default() };
    let mut store = Store::new(Exposition { histograms, ..Exposition::default() });
    let done = store.scrape(0, text, Body::Text(Syntax::Text));
    assert!(done.error.is_none(), "{:?}", done.error);
    // What falls makes no histogram, and nothing else is lost.
    assert_eq!(done.ingested.samples, 2);
    let all = store.all();
    let h = all.iter().find(|s| s.starts_with("h{")).expect("a histogram");
    assert!(h.starts_with(r#"h{instance="i", job="j", x="a"} [1700000000500]"#), "{h}");
    assert!(h.contains("schema: -53") && h.contains("positive_buckets: [1.0, 2.0]"), "{h}");
    let gauge = r#"other_bucket{instance="i", job="j", le="1"}"#;
    assert!(all.iter().any(|s| s.starts_with(gauge)), "{all:?}");
    assert!(!all.iter().any(|s| s.starts_with("h_") || s.contains("x=\"b\"")), "{all:?}");
}

/// One metric with a start time.
fn started(kind: i64, field: u32, seconds: i64, fill: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    put_text(&mut out, 1, "m");
    put_integer(&mut out, 3, kind);
    put_message(&mut out, 4, |out| {
        put_message(out, field, |out| {
            put_message(out, if kind == 0 { 3 } else { 15 }, |out| put_integer(out, 1, seconds));
            fill(out);
        });
    });
    let mut body = Vec::new();
    put_varint(&mut body, out.len() as u64);
    body.append(&mut out);
    body
}

#[test]
fn created_timestamps_are_start_times() {
    for (seconds, start) in [(1_600_000_000, 1_600_000_000_000i64), (1_900_000_000, 0), (-5, 0)] {
        let mut store = Store::new(Exposition::default());
        let body = started(0, 3, seconds, |out| put_double(out, 1, 5.0));
        let done = store.scrape(0, &body, Body::Protobuf);
        assert!(done.error.is_none(), "{:?}", done.error);
        let m = store.all().into_iter().find(|s| s.starts_with("m{")).expect("a counter");
        let starts = if start == 0 { "[]".to_owned() } else { format!("[{start}]") };
        assert!(m.ends_with(&starts), "{m}");
    }
}

#[test]
fn exemplars_of_protobuf_and_of_converted_text_are_kept() {
    let histograms = Choice { native: true, classic_too: false, custom: true };
    let mut store = Store::new(Exposition { histograms, ..Exposition::default() });
    let counter = started(0, 3, 1_600_000_000, |out| {
        put_double(out, 1, 5.0);
        put_message(out, 2, |out| {
            put_message(out, 1, |out| {
                put_text(out, 1, "trace");
                put_text(out, 2, "x");
            });
            put_double(out, 2, 2.5);
        });
    });
    assert!(store.scrape(0, &counter, Body::Protobuf).error.is_none());
    let text = format!(
        "# TYPE h histogram\n{}# EOF\n",
        "h_bucket{le=\"+Inf\"} 3 # {trace=\"y\"} 7 1700000000.25\nh_count 3\n"
    );
    let done = store.scrape(1, text.as_bytes(), Body::Text(Syntax::OpenMetrics));
    assert!(done.error.is_none(), "{:?}", done.error);
    let matchers = [Matcher::equal("job", "j")];
    let found = store.db.exemplars(&[matchers.to_vec()], TIME_MS - 10_000, TIME_MS + 10_000);
    let found: Vec<String> = found
        .iter()
        .flat_map(|s| s.1.iter().map(move |e| (s.0.metric(), e)))
        .map(|(name, e)| format!("{name} {} {} {}", e.labels, e.value, e.time_ms - TIME_MS))
        .collect();
    assert_eq!(found, [r#"h {trace="y"} 7 250"#, r#"m {trace="x"} 2.5 0"#]);
}

#[test]
fn what_is_wrong_is_told_with_its_place_and_nothing_is_kept() {
    let native = Exposition {
        histograms: Choice { native: true, ..Choice::default() },
        bucket_limit: 1,
        ..Exposition::default()
    };
    let histogram = |count: i64| {
        started(4, 7, 0, |out| {
            put_integer(out, 1, count);
            put_double(out, 6, 0.5);
            put_message(out, 12, |out| put_integer(out, 2, 1));
            put_bytes(out, 13, &[2]);
        })
    };
    let twice = {
        let mut out = Vec::new();
        put_text(&mut out, 1, "m");
        put_message(&mut out, 4, |out| {
            for value in ["1", "2"] {
                put_message(out, 1, |out| {
                    put_text(out, 1, "x");
                    put_text(out, 2, value);
                });
            }
        });
        let mut body = Vec::new();
        put_varint(&mut body, out.len() as u64);
        body.append(&mut out);
        body
    };
    let mut store = Store::new(native);
    assert!(store.scrape(0, &histogram(1), Body::Protobuf).error.is_none());
    for (body, why) in [
        (histogram(2), "1 observations found in buckets, but the Count field is 2"),
        (twice, "metric family \"m\" at byte"),
    ] {
        let done = store.scrape(1, &body, Body::Protobuf);
        let told = done.error.expect(why).to_string();
        assert!(told.contains(why), "{told}");
        assert!(told.starts_with("metric family \"m\" at byte"), "{told}");
        assert_eq!(done.ingested, Ingested::default());
    }
}
