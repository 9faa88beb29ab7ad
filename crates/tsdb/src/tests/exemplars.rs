//! Exemplars in the log: they survive what samples survive, followers are told each once, and any
//! interleaving equals a naive list.

use super::naive::write_round;
use super::open;
use super::rounds::{labels, options};
use crate::exemplars::Entry;
use crate::{Committed, Db, Error, Exemplar, ExemplarRefusal, Group, Options, Position};
use disk::faulty::Faulty;
use disk::seed::Seed;
use model::{Labels, Matcher, Sample, Sink, Value};

/// Exemplars in the order in which they came, each with its series.
pub type List = Vec<(Labels, Entry)>;

/// A list that is right by being simple.
#[derive(Clone, Default)]
pub struct Naive {
    pub list: List,
    /// Everything that was ever handed in: nothing else may ever be read.
    pub submitted: List,
    /// Everything that was taken.
    pub taken: List,
}

/// So many are kept in tests over seeds.
pub const CAPACITY: usize = 12;

impl Naive {
    /// Takes those of a batch that are newer than those of their series.
    fn add(&mut self, batch: List) {
        let mut all = self.list.clone();
        let before = all.len();
        for (series, entry) in &batch {
            let newest = all.iter().rfind(|e| e.0 == *series).map(|e| &e.1);
            let text = |e: &Entry| (e.exemplar.value.to_bits(), e.exemplar.labels.clone());
            let repeated = |n: &Entry| !n.stated && !entry.stated && text(n) == text(entry);
            if !newest.is_some_and(|n| repeated(n) || entry.compare(n).is_le()) {
                all.push((series.clone(), entry.clone()));
            }
        }
        self.submitted.extend(batch);
        self.taken.extend_from_slice(&all[before..]);
        self.list = all.split_off(all.len().saturating_sub(CAPACITY));
    }

    /// A round with these exemplars, each of a row.
    pub fn round(&mut self, rows: &[(Labels, Sample)], given: &[(usize, Entry)]) {
        let mut given = given.to_vec();
        given.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.compare(&b.1)));
        given.retain(|(row, e)| e.stated || matches!(rows[*row].1.value, Value::Float(_)));
        self.add(given.into_iter().map(|(row, entry)| (rows[row].0.clone(), entry)).collect());
    }
}

/// What the store keeps.
pub fn kept(db: &Db) -> List {
    let state = db.store.read();
    state.head.exemplars.in_order().map(|(l, e)| (l.clone(), e.clone())).collect()
}

/// Exemplars of some of the rows of a round.
pub fn some(random: &mut Seed, rows: usize, time_ms: i64) -> Vec<(usize, Entry)> {
    let mut given = Vec::new();
    for row in 0..rows {
        for _ in 0..if random.percent(20) { random.below(3) } else { 0 } {
            let stated = random.percent(50);
            let time_ms = time_ms - if stated { random.below(60) as i64 } else { 0 };
            let trace = random.below(3).to_string();
            let labels = Labels::from_pairs([("trace_id", trace.as_str())]);
            let exemplar = Exemplar { labels, value: random.below(4) as f64, time_ms };
            given.push((row, Entry { exemplar, stated }));
        }
    }
    given
}

/// Writes a round with exemplars of its rows, whose own times are the round's.
pub fn write(
    group: &mut Group,
    time_ms: i64,
    rows: &[(Labels, Sample)],
    given: &[(usize, Entry)],
) -> Result<Committed, Error> {
    let mut batch = group.begin(time_ms);
    for (at, (labels, sample)) in rows.iter().enumerate() {
        batch.push(labels, sample.clone());
        for (_, Entry { exemplar, stated }) in given.iter().filter(|g| g.0 == at) {
            let labels: Vec<(&str, &str)> = exemplar.labels.iter().collect();
            batch.exemplar(&labels, exemplar.value, stated.then_some(exemplar.time_ms));
        }
    }
    batch.commit()
}

fn at(n: u64, time_ms: i64, value: f64) -> (Labels, Sample) {
    (labels(n), Sample { time_ms, start_ms: 0, value: Value::Float(value) })
}

fn stated(trace: &str, value: f64, time_ms: i64) -> Entry {
    let labels = Labels::from_pairs([("trace_id", trace)]);
    Entry::stated(Exemplar { labels, value, time_ms })
}

#[test]
fn a_round_brings_exemplars_whole_or_not_at_all() {
    let files = Faulty::new(1);
    let db = open(&files, &options());
    let target = Labels::from_pairs([("job", "a")]);
    let mut group = db.group(&target);
    let mut batch = group.begin(1000);
    batch.exemplar(&[("trace_id", "none")], 1.0, None);
    batch.sample("m", &[("le", "1")], 1.0, None);
    batch.exemplar(&[("trace_id", "z"), ("span_id", "y")], 0.5, None);
    drop(batch);
    assert_eq!(kept(&db), [], "dropped");
    let long = "é".repeat(121);
    let mut batch = group.begin(2000);
    batch.sample("m", &[("le", "1")], 1.0, None);
    batch.exemplar(&[("trace_id", "z"), ("span_id", "y")], 0.5, None);
    batch.sample("m", &[("le", "2")], 1.0, Some(1900));
    batch.exemplar(&[], 1.5, None);
    batch.sample("m", &[("le", "3")], 1.0, None);
    batch.exemplar(&[("trace_id", &long)], 1.5, None);
    batch.exemplar(&[("trace_id", "b")], 1.5, Some(1600));
    batch.exemplar(&[("trace_id", "a")], 1.5, Some(1500));
    let done = batch.commit().expect("commits");
    assert_eq!((done.samples, done.exemplars), (3, 4));
    assert_eq!((done.exemplars_too_long, done.exemplars_out_of_order), (1, 0));
    let all = [vec![Matcher::equal("job", "a")]];
    let found = db.exemplars(&all, 0, 3000);
    let told: Vec<String> = found
        .iter()
        .flat_map(|(series, list)| {
            list.iter().map(move |e| format!("{series} {} {} {}", e.labels, e.value, e.time_ms))
        })
        .collect();
    let expected = [
        "m{job=\"a\", le=\"1\"} {span_id=\"y\", trace_id=\"z\"} 0.5 2000",
        "m{job=\"a\", le=\"2\"} {} 1.5 1900",
        "m{job=\"a\", le=\"3\"} {trace_id=\"a\"} 1.5 1500",
        "m{job=\"a\", le=\"3\"} {trace_id=\"b\"} 1.5 1600",
    ];
    assert_eq!(told, expected);
    // The next round has the same again, and one that is late.
    let mut batch = group.begin(3000);
    batch.sample("m", &[("le", "1")], 1.0, None);
    batch.exemplar(&[("trace_id", "z"), ("span_id", "y")], 0.5, None);
    batch.sample("m", &[("le", "3")], 1.0, None);
    batch.exemplar(&[("trace_id", "a")], 1.5, Some(1500));
    let done = batch.commit().expect("commits");
    assert_eq!((done.exemplars, done.exemplars_out_of_order), (0, 1));
    let stats = db.stats().exemplars;
    assert_eq!((stats.kept, stats.series, stats.newest_ms), (4, 3, Some(2000)));
    assert_eq!((stats.appended, stats.out_of_order, stats.too_long), (4, 1, 1));
    let again = open(&files.kill(), &options());
    assert_eq!(again.exemplars(&all, 0, 3000), found);
}

#[test]
fn they_outlive_the_logs_they_came_with() {
    let mut files = Faulty::new(2);
    let options = Options { exemplars: 3, keep_log: true, ..options() };
    let mut before = List::new();
    for round in 0..8i64 {
        let db = open(&files, &options);
        assert_eq!(kept(&db), before, "round {round}");
        let mut group = db.group(&Labels::empty());
        let time = 1000 * (round + 1);
        let given = [(0, stated("a", 1.0, time)), (1, stated("b", 2.0, time))];
        let rows = [at(1, time, 1.0), at(round as u64 + 2, time, 2.0)];
        write(&mut group, time, &rows, &given).expect("commits");
        match round % 4 {
            0 => db.flush().expect("flushes"),
            1 => db.compact().expect("compacts"),
            2 => super::seal::seal_some(&db, &mut Seed::new(1), 1_600_000_000_000),
            _ => {}
        }
        before = kept(&db);
        assert_eq!(before.len(), if round == 0 { 2 } else { 3 });
        // Each was news once, whatever epochs of the log begin with.
        let told = super::tail::all(&db, Position::default()).exemplars;
        assert_eq!(told.len() as i64, 2 * (round + 1));
        drop((group, db));
        files = files.kill();
    }
    let fewer = open(&files, &Options { exemplars: 1, ..options });
    assert_eq!(kept(&fewer), before[2..]);
    fewer.set_exemplar_capacity(0);
    assert_eq!(kept(&fewer), []);
    let rows = [at(1, 90_000, 1.0)];
    let mut group = fewer.group(&Labels::empty());
    let done = write(&mut group, 90_000, &rows, &[(0, stated("a", 1.0, 90_000))]);
    assert_eq!((done.expect("commits").exemplars, kept(&fewer).len()), (0, 0));
}

#[test]
fn those_of_long_ago_are_kept_and_no_news() {
    let files = Faulty::new(3);
    let db = open(&files, &Options { keep_log: true, ..options() });
    let mut group = db.group(&Labels::empty());
    let given = [(0, stated("a", 1.0, 5000))];
    write(&mut group, 5000, &[at(1, 5000, 1.0)], &given).expect("commits");
    let one = |n, time_ms| (labels(n), stated("old", 1.0, time_ms).exemplar);
    let old = [one(2, 1000), one(1, 2000), one(2, 3000), (Labels::empty(), one(1, 1).1)];
    assert_eq!(db.import_exemplars(&old).expect("imports"), 2);
    assert_eq!(db.import_exemplars(&old).expect("imports"), 0);
    assert_eq!(super::tail::all(&db, Position::default()).exemplars.len(), 1);
    let before = kept(&db);
    assert_eq!(before.len(), 3);
    assert_eq!(db.stats().series, 1, "an exemplar of long ago makes no series");
    assert_eq!(kept(&open(&files.kill(), &options())), before);
}

#[test]
fn files_of_an_earlier_form_go() {
    let dir = tempfile::tempdir().expect("a folder");
    let old = dir.path().join("exemplars-0000000003");
    std::fs::write(&old, b"anything").expect("writes");
    let other = dir.path().join("exemplars-mine");
    std::fs::write(&other, b"anything").expect("writes");
    let db = Db::open(dir.path(), Options { background: false, ..options() }).expect("opens");
    assert!(!old.exists() && other.exists());
    assert_eq!(kept(&db), []);
}

#[test]
fn a_sender_without_samples_fills_no_log() {
    let files = Faulty::new(4);
    let db = open(&files, &Options { head_log_bytes: 2000, exemplars: 5, ..options() });
    let mut group = db.group(&Labels::empty());
    write_round(&mut group, 1000, &[at(1, 1000, 1.0)]).expect("commits");
    db.flush().expect("flushes");
    for n in 0..200i64 {
        db.import_exemplars(&[(labels(1), stated("x", 1.0, n).exemplar)]).expect("imports");
        db.tick(100_000 + n).expect("ticks");
    }
    assert!(db.stats().log_bytes < 4000, "{}", db.stats().log_bytes);
    assert_eq!(kept(&db).len(), 5);
    assert_eq!(kept(&open(&files.kill(), &Options { exemplars: 5, ..options() })).len(), 5);
}

#[test]
fn words_of_refusals() {
    let told = [ExemplarRefusal::OutOfOrder, ExemplarRefusal::Length].map(|r| r.to_string());
    assert_eq!(
        told,
        [
            "out of order exemplar",
            "label length for exemplar exceeds maximum of 128 UTF-8 characters"
        ]
    );
}
