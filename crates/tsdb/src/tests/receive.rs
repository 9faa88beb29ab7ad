//! What a sender is told of its samples, and what is kept of its words about families.

use super::naive::read;
use super::open;
use super::rounds::labels;
use crate::{
    Committed, Db, Error, Exemplar, ExemplarRefusal, Metadata, Named, Options, Refusal, Refused,
    SeriesRef,
};
use disk::faulty::Faulty;
use model::{Histogram, Kind, Labels, Sample, Value};
use std::sync::Arc;

fn at(time_ms: i64, value: f64) -> Sample {
    Sample { time_ms, start_ms: 0, value: Value::Float(value) }
}

/// Hands in samples, each with its labels.
fn receive(
    db: &Db,
    samples: &[(Labels, Sample)],
    families: &[Metadata],
    series_limit: u64,
) -> Result<(Committed, Vec<Refused>), Error> {
    let named: Vec<Named> = samples.iter().map(|s| Named::Labels(s.0.clone())).collect();
    let samples: Vec<(u32, Sample)> = (0..).zip(samples.iter().map(|s| s.1.clone())).collect();
    let received = db.receive(&named, &samples, &[], families, series_limit)?;
    Ok((received.committed, received.refused))
}

#[test]
fn samples_left_out_are_named() {
    let files = Faulty::new(1);
    let db = open(&files, &Options { out_of_order_ms: 1000, ..Options::default() });
    let batch = [
        (labels(1), at(10_000, 1.0)),
        (labels(1), at(10_000, 1.0)),
        (labels(1), at(10_000, 2.0)),
        (labels(2), at(10_000, 5.0)),
        (labels(1), at(9_500, 3.0)),
        (labels(1), at(8_999, 4.0)),
        (labels(2), at(10_000, f64::NAN)),
        (labels(3), at(1, 4.0)),
    ];
    let (done, refused) = receive(&db, &batch, &[], u64::MAX).unwrap();
    let left_out = |index, why| Refused { index, why };
    let wanted = [
        left_out(2, Refusal::Duplicate),
        left_out(5, Refusal::TooOld),
        left_out(6, Refusal::Duplicate),
    ];
    assert_eq!(refused, wanted);
    assert_eq!((done.samples, done.duplicates, done.too_old, done.out_of_order), (4, 2, 1, 1));
    // Sent again, as a sender does that did not hear the answer: nothing new to tell.
    let (again, refused) = receive(&db, &batch, &[], u64::MAX).unwrap();
    assert_eq!(refused, wanted);
    assert_eq!(again.samples, 0);
}

#[test]
fn a_target_and_a_sender_meet() {
    let files = Faulty::new(2);
    let db = open(&files, &Options::default());
    let mut group = db.group(&model::Labels::empty());
    let mut round = group.begin(10_000);
    round.push(&labels(1), at(10_000, 1.0));
    let histogram = Arc::new(Histogram { count: 2.0, ..Histogram::default() });
    let value = Value::Histogram(histogram.clone());
    round.push(&labels(2), Sample { time_ms: 10_000, start_ms: 0, value: value.clone() });
    round.commit().unwrap();
    let other = Value::Histogram(Arc::new(Histogram { count: 3.0, ..Histogram::default() }));
    let of = |value| Sample { time_ms: 10_000, start_ms: 0, value };
    let batch = [
        (labels(1), at(10_000, 1.0)),
        (labels(1), at(10_000, 1.5)),
        (labels(2), of(value)),
        (labels(2), of(other)),
        (labels(2), at(10_000, 0.0)),
    ];
    let (_, refused) = receive(&db, &batch, &[], u64::MAX).unwrap();
    let places: Vec<usize> = refused.iter().map(|r| r.index).collect();
    assert_eq!(places, [1, 3, 4]);
}

#[test]
fn families_survive_the_logs_they_were_told_to() {
    let files = Faulty::new(3);
    let about = |help: &str| Metadata {
        name: "m".into(),
        kind: Kind::Counter,
        help: help.into(),
        unit: "bytes".into(),
    };
    let db = open(&files, &Options::default());
    receive(&db, &[(labels(1), at(1, 1.0))], &[about("old")], u64::MAX).unwrap();
    receive(&db, &[], &[about("new")], u64::MAX).unwrap();
    assert_eq!(db.metadata(), [about("new")]);
    db.flush().unwrap();
    receive(&db, &[(labels(1), at(2, 1.0))], &[about("new")], u64::MAX).unwrap();
    db.close().unwrap();
    drop(db);
    assert_eq!(open(&files, &Options::default()).metadata(), [about("new")]);
}

#[test]
fn no_more_series_than_allowed() {
    let files = Faulty::new(4);
    let db = open(&files, &Options::default());
    let of = |n| (labels(n), at(1_000, n as f64));
    let (_, refused) = receive(&db, &[of(1), of(2), of(3), of(1), of(3)], &[], 2).unwrap();
    let no_room = |index| Refused { index, why: Refusal::NoRoom };
    assert_eq!(refused, [no_room(2), no_room(4)]);
    // Those that are known go on.
    let (done, refused) = receive(&db, &[(labels(2), at(2_000, 1.0)), of(4)], &[], 2).unwrap();
    assert_eq!((done.samples, refused), (1, vec![no_room(1)]));
    assert_eq!(db.stats().series, 2);
}

/// The references of series that were named.
fn references(received: &crate::Received) -> Vec<SeriesRef> {
    received.references.iter().map(|r| r.expect("is known")).collect()
}

#[test]
fn series_are_named_by_reference() {
    let files = Faulty::new(5);
    let db = open(&files, &Options { out_of_order_ms: 1000, ..Options::default() });
    let named = [Named::Labels(labels(1)), Named::Labels(labels(2)), Named::Labels(labels(3))];
    let samples = [(0, at(10_000, 1.0)), (1, at(10_000, 1.0)), (2, at(10_000, 1.0))];
    let first = db.receive(&named, &samples, &[], &[], 2).unwrap();
    assert_eq!(first.refused, [Refused { index: 2, why: Refusal::NoRoom }]);
    assert_eq!((first.references[2], first.committed.new_series), (None, 2));
    let (one, two) = (first.references[0].unwrap(), first.references[1].unwrap());
    assert_eq!(db.labels_of(two), Some(labels(2)));

    // One series under two names: of a time only the first counts, and late is late.
    let named = [Named::Known(one), Named::Labels(labels(1)), Named::Known(two)];
    let samples = [
        (0, at(11_000, 2.0)),
        (1, at(11_000, 2.0)),
        (1, at(11_000, 3.0)),
        (2, at(9_500, 4.0)),
        (0, at(9_000, 5.0)),
        (7, at(20_000, 6.0)),
        (1, at(12_000, 7.0)),
        (0, at(12_000, 8.0)),
    ];
    let second = db.receive(&named, &samples, &[], &[], u64::MAX).unwrap();
    let left_out = |index, why| Refused { index, why };
    let wanted = [
        left_out(2, Refusal::Duplicate),
        left_out(4, Refusal::TooOld),
        left_out(7, Refusal::Duplicate),
    ];
    assert_eq!(second.refused, wanted);
    assert_eq!((second.committed.samples, second.committed.out_of_order), (3, 1));
    assert_eq!(references(&second), [one, one, two]);
    let (content, _) = read(&db, 0, i64::MAX);
    let times = |n| content[&labels(n)].keys().copied().collect::<Vec<_>>();
    assert_eq!((times(1), times(2)), (vec![10_000, 11_000, 12_000], vec![9_500, 10_000]));
}

#[test]
fn a_series_that_is_forgotten_is_not_taken_for_another() {
    let files = Faulty::new(6);
    let db = open(&files, &Options::default());
    let send = |named: &[Named], time_ms| {
        let samples: Vec<_> = (0..named.len() as u32).map(|n| (n, at(time_ms, 1.0))).collect();
        db.receive(named, &samples, &[], &[], u64::MAX)
    };
    let named = [Named::Labels(labels(1)), Named::Labels(labels(2))];
    let old = references(&send(&named, 1000).unwrap());
    db.flush().unwrap();
    // Both ended: the numbers are free, and the next that comes gets one of them.
    assert_eq!((db.labels_of(old[0]), db.stats().series), (None, 0));
    let new = references(&send(&[Named::Labels(labels(3))], 2000).unwrap());
    assert!(old.iter().any(|o| o.number == new[0].number));
    for (n, old) in old.iter().enumerate() {
        let named = [Named::Known(new[0]), Named::Known(*old)];
        assert!(matches!(send(&named, 3000), Err(Error::Forgotten)), "{n}");
        assert_eq!(db.labels_of(*old), None);
    }
    assert_eq!(db.labels_of(new[0]), Some(labels(3)));
    let (content, _) = read(&db, 0, i64::MAX);
    let times: Vec<Vec<i64>> = content.values().map(|s| s.keys().copied().collect()).collect();
    assert_eq!(times, [[1000], [1000], [2000]]);
}

#[test]
fn each_epoch_of_the_log_explains_the_references() {
    let files = Faulty::new(7);
    let db = open(&files, &Options::default());
    let mut named = Named::Labels(labels(1));
    for round in 0..4 {
        let samples = [(0, at(1000 * round, round as f64))];
        let received = db.receive(std::slice::from_ref(&named), &samples, &[], &[], 10).unwrap();
        named = Named::Known(references(&received)[0]);
        // Half of it goes to a block, and half of the log is what the next start reads.
        if round % 2 == 1 {
            db.store.rotate().unwrap();
        }
        if round == 2 {
            crate::compact::flush(&db.store, 1, &crate::pace::Pace::none()).unwrap();
        }
    }
    db.close().unwrap();
    drop(db);
    let (content, warnings) = read(&open(&files, &Options::default()), 0, i64::MAX);
    let times: Vec<_> = content[&labels(1)].keys().copied().collect();
    assert_eq!((times, warnings), (vec![0, 1000, 2000, 3000], Vec::new()));
}

#[test]
fn exemplars_come_with_their_series() {
    let files = Faulty::new(8);
    let db = open(&files, &Options::default());
    let of = |trace: &str, time_ms| Exemplar {
        labels: Labels::from_pairs([("trace_id", trace)]),
        value: 1.0,
        time_ms,
    };
    let named = [1, 2, 3].map(|n| Named::Labels(labels(n)));
    let long = "x".repeat(121);
    let exemplars = [
        (0, of("a", 1000)),
        (0, of("a", 1000)),
        (0, of("b", 900)),
        (1, of(&long, 1000)),
        (1, of("c", 1000)),
        (2, of("d", 1000)),
        (9, of("e", 1000)),
    ];
    let samples = [(0, at(1000, 1.0))];
    let received = db.receive(&named, &samples, &exemplars, &[], 2).unwrap();
    let refused = [
        (2, ExemplarRefusal::OutOfOrder),
        (3, ExemplarRefusal::Length),
        (5, ExemplarRefusal::NoRoom),
    ];
    assert_eq!(received.refused_exemplars, refused);
    assert_eq!((received.committed.exemplars, received.committed.new_series), (2, 2));
    assert_eq!(
        received.references.iter().map(Option::is_some).collect::<Vec<_>>(),
        [true, true, false]
    );
    let all = [vec![]];
    let kept = |db: &Db| -> Vec<(Labels, usize)> {
        db.exemplars(&all, 0, 2000).into_iter().map(|(l, e)| (l, e.len())).collect()
    };
    assert_eq!(kept(&db), [(labels(1), 1), (labels(2), 1)]);
    // By reference; and of a series of which nothing is taken nothing is known.
    let known = [Named::Known(received.references[1].unwrap()), Named::Labels(labels(7))];
    let exemplars = [(0, of("f", 1500)), (1, of(&long, 1500))];
    let received = db.receive(&known, &[], &exemplars, &[], 9).unwrap();
    assert_eq!(received.refused_exemplars, [(1, ExemplarRefusal::Length)]);
    assert_eq!((received.references[1], db.stats().series), (None, 2));
    assert_eq!(kept(&db), [(labels(1), 1), (labels(2), 2)]);
    assert_eq!(kept(&open(&files.kill(), &Options::default())), kept(&db));
    // A series without samples is told to nobody, and goes with the log it came in.
    let (content, warnings) = read(&db, 0, i64::MAX);
    assert_eq!((content.len(), warnings), (1, Vec::new()));
    db.flush().unwrap();
    assert_eq!(db.stats().series, 0);
    db.flush().unwrap();
    assert_eq!(kept(&open(&files.kill(), &Options::default())), kept(&db));
}
