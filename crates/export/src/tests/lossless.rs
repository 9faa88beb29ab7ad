//! Nothing that the store took in is lost or comes in a wrong order, whatever the receiver does, over
//! restarts of ours.

use super::receiver::{Do, Receiver};
use super::{World, quick, sample, series, until};
use model::histogram::Span;
use model::{Family, Histogram, Kind, Labels, Sample, Sink, Value};
use scrape::config::Message;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

type Wanted = BTreeMap<String, BTreeMap<i64, String>>;

fn key(labels: &Labels) -> String {
    labels.iter().map(|(n, v)| format!("{n}={v:?},")).collect()
}

fn text(value: &Value) -> String {
    match value {
        Value::Float(v) => v.to_bits().to_string(),
        Value::Histogram(h) => format!("{{{h:?}}}"),
    }
}

fn arrived(receiver: &Receiver, wanted: &Wanted, world: &World) {
    let count: usize = wanted.values().map(BTreeMap::len).sum();
    let deadline = Instant::now() + Duration::from_secs(40);
    while receiver.count() < count {
        if Instant::now() > deadline {
            let mut seen = super::Seen(Vec::new());
            world.exporter.write(&mut seen);
            let told: Vec<_> =
                seen.0.iter().filter(|s| s.1 != 0.0 && !s.0.contains("bucket")).collect();
            let got = receiver.got.lock().expect("locks");
            let here = |s: &String, t: &i64| got.samples.get(s).is_some_and(|g| g.contains_key(t));
            let times = |s: &(&String, &BTreeMap<i64, String>)| {
                let missing: Vec<i64> = s.1.keys().filter(|t| !here(s.0, t)).copied().collect();
                (!missing.is_empty()).then(|| (s.0.clone(), missing))
            };
            let missing: Vec<_> = wanted.iter().filter_map(|s| times(&s)).collect();
            let troubles = world.exporter.troubles();
            panic!("of {count} are missing {missing:?}; {troubles:?}; {told:?}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let got = receiver.got.lock().expect("locks");
    assert!(got.samples == *wanted, "{} series and {}", got.samples.len(), wanted.len());
}

fn histogram(n: u64) -> Value {
    Value::Histogram(Arc::new(Histogram {
        count: 3.0 + n as f64,
        sum: n as f64 / 2.0,
        schema: 1,
        positive_spans: vec![Span { offset: 2, length: 2 }],
        positive_buckets: vec![1.0, 2.0 + n as f64],
        ..Histogram::default()
    }))
}

fn run(seed: u64, message: Message) {
    let mut random = disk::seed::Seed::new(seed);
    // What the receiver does is drawn from a seed, too; it takes in order, as Prometheus does.
    let receiver = Receiver::start(move |n| {
        let mut random = disk::seed::Seed::new(seed << 20 | n as u64);
        match random.below(20) {
            0 => Do::Answer(500, ""),
            1 => Do::Answer(503, "Retry-After: 0\r\n"),
            2 => Do::CloseMidBody,
            3 => Do::TakeAndClose,
            4 => Do::Slow(Duration::from_millis(30)),
            _ if message == Message::V1 => Do::TakeInOrder,
            _ => Do::Take,
        }
    });
    let mut world = World::new();
    let mut endpoint = quick(&receiver.url());
    endpoint.message = message;
    endpoint.native_histograms = true;
    endpoint.exemplars = true;
    let endpoints = [endpoint];
    world.set(&endpoints);
    let mut wanted = Wanted::new();
    let mut exemplars: BTreeMap<String, Vec<(i64, String)>> = BTreeMap::new();
    let mut group = Some(world.db.group(&Labels::from_pairs([("job", "j")])));
    for step in 1..150i64 {
        let time_ms = 1_000_000 + step * 1000;
        match random.below(100) {
            0..3 => {
                drop(group.take());
                world.restart(&endpoints);
                group = Some(world.db.group(&Labels::from_pairs([("job", "j")])));
            }
            3..6 => world.db.flush().expect("flushes"),
            6..40 => {
                let batch: Vec<(Labels, Sample)> = (0..random.below(12))
                    .map(|n| sample(n, time_ms, random.below(4) as f64))
                    .collect();
                world.append(&batch);
                for (labels, sample) in &batch {
                    let series = wanted.entry(key(labels)).or_default();
                    series.insert(time_ms, text(&sample.value));
                }
            }
            _ => {
                let group = group.as_mut().expect("is open");
                let mut batch = group.begin(time_ms);
                // All of them each time: absent ones would become stale.
                for n in 0..9 {
                    let value = match n {
                        8 => histogram(random.below(3)),
                        _ => Value::Float(random.below(3) as f64),
                    };
                    let labels = Labels::from_pairs([("__name__", "g"), ("n", &n.to_string())]);
                    wanted.entry(key(&labels)).or_default().insert(time_ms, text(&value));
                    batch.push(&labels, Sample { time_ms, start_ms: 0, value });
                    if random.percent(40) {
                        let trace = random.below(1000).to_string();
                        // A text that series have as well, and one that they have not.
                        let pairs = [("n", trace.as_str()), ("trace_id", "x")];
                        batch.exemplar(&pairs, n as f64, Some(time_ms - 5));
                        let text =
                            format!("{} {}", key(&Labels::from_pairs(pairs)), (n as f64).to_bits());
                        exemplars.entry(key(&labels)).or_default().push((time_ms - 5, text));
                    }
                }
                batch.commit().expect("commits");
            }
        }
        if random.percent(10) {
            std::thread::sleep(Duration::from_millis(random.below(40)));
        }
    }
    arrived(&receiver, &wanted, &world);
    until("the exemplars come", || receiver.got.lock().expect("locks").exemplars == exemplars);
    for kind in ["samples", "exemplars"] {
        let failed = world.metric(&format!("prometheus_remote_storage_{kind}_failed_total"));
        assert_eq!(failed, 0.0, "seed {seed}");
    }
    let read = world.metric("prometheus_remote_storage_exemplars_in_total");
    assert!(read > 0.0 && read <= exemplars.values().map(Vec::len).sum::<usize>() as f64);
    assert_eq!(world.metric("kubevigil_export_log_gaps_total"), 0.0);
    until("nothing is pending", || {
        world.metric("prometheus_remote_storage_samples_pending") == 0.0
            && world.metric("prometheus_remote_storage_exemplars_pending") == 0.0
    });
}

#[test]
fn exemplars_go_where_they_are_asked_for() {
    for message in [Message::V1, Message::V2] {
        let (with, without) = (Receiver::start(|_| Do::Take), Receiver::start(|_| Do::Take));
        let world = World::new();
        let [mut first, mut second] = [quick(&with.url()), quick(&without.url())];
        (first.message, second.message) = (message, message);
        first.exemplars = true;
        world.set(&[first, second]);
        let mut group = world.db.group(&Labels::from_pairs([("job", "j")]));
        let now = crate::now_ms();
        let mut batch = group.begin(now);
        batch.sample("seen_total", &[], 1.0, None);
        batch.exemplar(&[("trace_id", "x"), ("job", "j")], 0.25, None);
        batch.sample("other_total", &[], 1.0, None);
        batch.commit().expect("commits");
        until("the samples come", || with.count() == 2 && without.count() == 2);
        let got = |receiver: &Receiver| receiver.got.lock().expect("locks").exemplars.clone();
        until("the exemplar comes", || !got(&with).is_empty());
        let text = format!("job=\"j\",trace_id=\"x\", {}", 0.25f64.to_bits());
        let series = "__name__=\"seen_total\",job=\"j\",".to_owned();
        assert_eq!(got(&with), [(series, vec![(now, text)])].into());
        assert_eq!(got(&without), BTreeMap::new());
        let name = |end: &str| format!("prometheus_remote_storage_exemplars_{end}");
        until("all is told", || world.metric(&name("pending")) == 0.0);
        assert_eq!((world.metric(&name("total")), world.metric(&name("in_total"))), (1.0, 1.0));
    }
}

#[test]
fn a_queue_that_has_nothing_to_send_does_not_lag() {
    let receiver = Receiver::start(|_| Do::TakeInOrder);
    let mut world = World::new();
    world.append(&[sample(1, 1_000_000, 1.0)]);
    let endpoints = [quick(&receiver.url())];
    world.set(&endpoints);
    let times = |world: &World| {
        let name = |what| format!("prometheus_remote_storage_{what}");
        let sent = world.metric(&name("queue_highest_sent_timestamp_seconds"));
        (world.metric(&name("highest_timestamp_in_seconds")), sent)
    };
    assert_eq!(times(&world), (1000.0, 1000.0));
    world.append(&[sample(1, 1_010_000, 1.0)]);
    until("it comes", || receiver.count() == 1);
    until("it is told", || times(&world) == (1010.0, 1010.0));
    world.restart(&endpoints);
    until("it lags no more", || times(&world) == (1010.0, 1010.0));
    // What is not sent is told as what lies between.
    receiver.now(|_| Do::Answer(500, ""));
    world.append(&[sample(1, 1_020_000, 1.0)]);
    world.append(&[sample(1, 1_030_000, 1.0)]);
    until("it is read", || times(&world).0 == 1030.0);
    world.restart(&endpoints);
    until("it is read again", || times(&world).0 == 1030.0);
    // The newest that was sent, or the oldest that was not.
    assert!([1010.0, 1020.0].contains(&times(&world).1), "{:?}", times(&world));
}

#[test]
fn all_samples_arrive_by_1_0() {
    (0..6).for_each(|seed| run(seed, Message::V1));
}

#[test]
fn all_samples_arrive_by_2_0() {
    (10..14).for_each(|seed| run(seed, Message::V2));
}

#[test]
fn a_queue_begins_with_now_and_goes_on_after_a_change() {
    let receiver = Receiver::start(|_| Do::TakeInOrder);
    let world = World::new();
    world.append(&[sample(1, 1000, 1.0)]);
    let mut endpoint = quick(&receiver.url());
    world.set(std::slice::from_ref(&endpoint));
    world.append(&[sample(1, 2000, 2.0)]);
    until("the first comes", || receiver.count() == 1);
    let name = "prometheus_remote_storage_queue_highest_sent_timestamp_seconds";
    // The receiver knows before the sender has its answer.
    until("its time is told", || world.metric(name) == 2.0);
    // Nobody is there while the endpoint changes; nothing is lost.
    receiver.now(|_| Do::Answer(500, ""));
    (3..60).for_each(|t| world.append(&[sample(t as u64 % 5, t * 1000, 0.5)]));
    endpoint.queue.min_shards = 1;
    endpoint.queue.max_shards = 1;
    world.set(std::slice::from_ref(&endpoint));
    world.db.flush().expect("flushes");
    (60..80).for_each(|t| world.append(&[sample(t as u64 % 5, t * 1000, 0.5)]));
    receiver.now(|_| Do::TakeInOrder);
    until("the others come", || receiver.count() == 78);
    // Removed, and back again: what was taken in meanwhile is not sent.
    world.set(&[]);
    assert_eq!(world.metric("prometheus_remote_storage_shards"), 0.0);
    world.append(&[sample(1, 100_000, 1.0)]);
    world.set(std::slice::from_ref(&endpoint));
    world.append(&[sample(1, 101_000, 1.0)]);
    until("the newest comes", || receiver.count() >= 79);
    let got = receiver.got.lock().expect("locks");
    let times: Vec<i64> = got.samples[&key(&series(1))].keys().copied().collect();
    assert!(!times.contains(&1000) && !times.contains(&100_000) && times.contains(&101_000));
    assert_eq!((got.twice, got.out_of_order), (0, 0));
}

#[test]
fn labels_families_and_limits() {
    for message in [Message::V1, Message::V2] {
        let receiver = Receiver::start(|_| Do::Take);
        let world = World::new();
        let mut endpoint = quick(&receiver.url());
        endpoint.message = message;
        endpoint.metadata = true;
        endpoint.metadata_interval_ms = 50;
        endpoint.headers.insert("x-scope-orgid".into(), "tenant".into());
        endpoint.queue.age_limit_ms = 3_600_000;
        endpoint.relabel = vec![model::relabel::Rule {
            action: model::relabel::Action::Drop,
            source_labels: vec!["__name__".into()],
            regex: Some(model::relabel::Expression::new("gone").expect("compiles")),
            ..model::relabel::Rule::default()
        }];
        let external = [("zone".to_owned(), "z".to_owned()), ("job".to_owned(), "x".to_owned())];
        assert!(world.exporter.set(&[endpoint], &external.into()).is_empty());
        let now = crate::now_ms();
        let mut group = world.db.group(&Labels::from_pairs([("job", "j")]));
        for (time, old) in [(now - 7_200_000, true), (now, false)] {
            let mut batch = group.begin(time);
            let (help, unit) = ("What happened.", "bytes");
            batch.family(&Family { name: "seen_bytes_total", help, kind: Kind::Counter, unit });
            batch.sample("seen_bytes_total", &[("a", "1")], if old { 0.0 } else { 5.0 }, None);
            batch.sample("gone", &[], 1.0, None);
            let custom = Value::Histogram(Arc::new(Histogram {
                schema: -53,
                count: 2.0,
                positive_spans: vec![Span { offset: 0, length: 1 }],
                positive_buckets: vec![2.0],
                custom_bounds: Arc::from([1.5]),
                ..Histogram::default()
            }));
            let labels = Labels::from_pairs([("__name__", "custom")]);
            batch.push(&labels, Sample { time_ms: time, start_ms: 0, value: custom });
            batch.commit().expect("commits");
        }
        let wanted = if message == Message::V1 { 1 } else { 2 };
        until("they come", || receiver.count() == wanted);
        until("the family comes", || {
            receiver.got.lock().expect("locks").families.contains_key("seen_bytes_total")
        });
        let dropped = |reason: &str| {
            let name = |kind| format!("prometheus_remote_storage_{kind}_dropped_total{{{reason}}}");
            world.metric(&name("samples")) + world.metric(&name("histograms"))
        };
        let custom = if message == Message::V1 { 1.0 } else { 0.0 };
        until("what is left out is counted", || {
            dropped("dropped_series") == 2.0
                && dropped("too_old") == 2.0
                && dropped("nhcb_in_rw1_not_supported") == custom
        });
        let got = receiver.got.lock().expect("locks");
        let labels = r#"__name__="seen_bytes_total",a="1",job="j",zone="z","#;
        assert_eq!(got.samples[labels].values().collect::<Vec<_>>(), [&5f64.to_bits().to_string()]);
        let family = (1, "What happened.".to_owned(), "bytes".to_owned());
        assert_eq!(got.families["seen_bytes_total"], family);
        assert!(got.headers.iter().all(|h| h["x-scope-orgid"] == "tenant"));
        assert!(got.headers.iter().all(|h| h["user-agent"].starts_with("kubevigil/")));
        let version = if message == Message::V1 { "0.1.0" } else { "2.0.0" };
        assert_eq!(got.headers[0]["x-prometheus-remote-write-version"], version);
    }
}
