//! What a sender is told of its samples, and what is kept of its words about families.

use super::open;
use super::rounds::labels;
use crate::{Metadata, Options, Refusal, Refused};
use disk::faulty::Faulty;
use model::{Histogram, Kind, Sample, Value};
use std::sync::Arc;

fn at(time_ms: i64, value: f64) -> Sample {
    Sample { time_ms, start_ms: 0, value: Value::Float(value) }
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
    let (done, refused) = db.receive(&batch, &[], u64::MAX).unwrap();
    let left_out = |index, why| Refused { index, why };
    let wanted = [
        left_out(2, Refusal::Duplicate),
        left_out(5, Refusal::TooOld),
        left_out(6, Refusal::Duplicate),
    ];
    assert_eq!(refused, wanted);
    assert_eq!((done.samples, done.duplicates, done.too_old, done.out_of_order), (4, 2, 1, 1));
    // Sent again, as a sender does that did not hear the answer: nothing new to tell.
    let (again, refused) = db.receive(&batch, &[], u64::MAX).unwrap();
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
    let (_, refused) = db.receive(&batch, &[], u64::MAX).unwrap();
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
    db.receive(&[(labels(1), at(1, 1.0))], &[about("old")], u64::MAX).unwrap();
    db.receive(&[], &[about("new")], u64::MAX).unwrap();
    assert_eq!(db.metadata(), [about("new")]);
    db.flush().unwrap();
    db.receive(&[(labels(1), at(2, 1.0))], &[about("new")], u64::MAX).unwrap();
    db.close().unwrap();
    drop(db);
    assert_eq!(open(&files, &Options::default()).metadata(), [about("new")]);
}

#[test]
fn no_more_series_than_allowed() {
    let files = Faulty::new(4);
    let db = open(&files, &Options::default());
    let of = |n| (labels(n), at(1_000, n as f64));
    let (_, refused) = db.receive(&[of(1), of(2), of(3), of(1), of(3)], &[], 2).unwrap();
    let no_room = |index| Refused { index, why: Refusal::NoRoom };
    assert_eq!(refused, [no_room(2), no_room(4)]);
    // Those that are known go on.
    let (done, refused) = db.receive(&[(labels(2), at(2_000, 1.0)), of(4)], &[], 2).unwrap();
    assert_eq!((done.samples, refused), (1, vec![no_room(1)]));
    assert_eq!(db.stats().series, 2);
}
