//! What a tail tells of the log equals what the store took in, over flushes, restarts and pauses.

use super::exemplars::{self, CAPACITY};
use super::naive::{self, Bits, Content, Naive, bits};
use super::open;
use super::rounds::{loose, options, round};
use crate::{Db, Follow, Group, Metadata, Options, Position};
use disk::faulty::Faulty;
use disk::seed::Seed;
use model::{Labels, Sample};
use std::collections::HashMap;

/// Keeps everything that a tail tells.
#[derive(Default)]
pub struct Told {
    series: HashMap<u32, Labels>,
    pub samples: Vec<(Position, Labels, i64, Bits)>,
    pub exemplars: Vec<(Position, Labels, crate::Exemplar)>,
    /// The samples that were told with exemplars.
    with_exemplars: Vec<(Labels, i64, Bits)>,
    lost: usize,
}

impl Follow for Told {
    fn epoch(&mut self, _epoch: u32) {
        self.series.clear();
    }

    fn series(&mut self, _position: Position, number: u32, labels: Labels) {
        self.series.insert(number, labels);
    }

    fn family(&mut self, _family: Metadata) {}

    fn sample(&mut self, position: Position, series: u32, sample: Sample) {
        let labels = self.series.get(&series).expect("was told").clone();
        self.samples.push((position, labels, sample.time_ms, bits(&sample)));
    }

    fn exemplar(
        &mut self,
        position: Position,
        series: u32,
        exemplar: crate::Exemplar,
        sample: Option<Sample>,
    ) {
        let labels = self.series.get(&series).expect("was told").clone();
        if let Some(sample) = sample {
            self.with_exemplars.push((labels.clone(), sample.time_ms, bits(&sample)));
        }
        self.exemplars.push((position, labels, exemplar));
    }

    fn lost(&mut self) {
        self.lost += 1;
    }
}

impl Told {
    /// Of samples at one time the first counts.
    fn content(&self) -> Content {
        let mut content = Content::new();
        for (_, labels, time, bits) in &self.samples {
            content.entry(labels.clone()).or_default().entry(*time).or_insert(bits.clone());
        }
        content
    }
}

/// Everything from a position on.
pub fn all(db: &Db, from: Position) -> Told {
    let (mut told, mut tail) = (Told::default(), db.tail(from));
    while tail.read(&mut told).expect("reads") {}
    told
}

fn run(seed: u64, steps: usize) {
    let mut random = Seed::new(seed);
    let mut files = Faulty::new(seed);
    let options = Options { keep_log: true, exemplars: CAPACITY, ..options() };
    let mut db = open(&files, &options);
    let mut named = exemplars::Naive::default();
    let mut naive = Naive::default();
    let mut groups: Vec<Group> = (0..4).map(|_| db.group(&Labels::empty())).collect();
    let (mut clock, mut floor) = (1_000_000, i64::MIN);
    let (mut told, mut tail) = (Told::default(), db.tail(Position::default()));
    for _ in 0..steps {
        match random.below(100) {
            0..75 => {
                let (writer, time, rows) = round(&mut random, &mut clock, floor);
                let given = exemplars::some(&mut random, rows.len(), time);
                exemplars::write(&mut groups[writer], time, &rows, &given).expect("commits");
                naive.round(writer, time, &rows);
                named.round(&rows, &given);
            }
            75..85 => {
                let samples = loose(&mut random, clock);
                db.append(&samples).expect("appends");
                naive.append(&samples);
            }
            85..87 => {
                db.flush().expect("flushes");
                floor = clock + 21;
            }
            87..89 => {
                db.tick(clock).expect("ticks");
                floor = clock + 21;
            }
            89 => {
                groups.clear();
                let at = tail.position();
                drop((tail, db));
                files = files.kill();
                db = open(&files, &options);
                assert_eq!(exemplars::kept(&db), named.list, "seed {seed}, opened");
                groups = (0..4).map(|_| db.group(&Labels::empty())).collect();
                tail = db.tail(at);
                naive.restart(naive.content.clone());
                floor = clock + 21;
            }
            _ => while tail.read(&mut told).expect("reads") {},
        }
    }
    while tail.read(&mut told).expect("reads") {}
    assert_eq!(told.lost, 0, "seed {seed}");
    let wrong = naive::difference(&told.content(), &naive.content);
    assert!(wrong.is_none(), "seed {seed}: {wrong:?}");
    let exemplars: Vec<_> = told.exemplars.iter().map(|(_, l, e)| (l, e)).collect();
    let taken: Vec<_> = named.taken.iter().map(|(l, e)| (l, &e.exemplar)).collect();
    let differ = exemplars.iter().zip(&taken).position(|(a, b)| a != b);
    let differ = differ.map(|at| (exemplars[at], taken[at]));
    assert_eq!(differ, None, "seed {seed}: exemplars are told as they came");
    assert_eq!(exemplars.len(), taken.len(), "seed {seed}: exemplars are told, each once");
    let content = told.content();
    for (labels, time, bits) in &told.with_exemplars {
        let known = content.get(labels).and_then(|s| s.get(time));
        assert!(known.is_some(), "seed {seed}: {labels} at {time}: {bits:?} with an exemplar");
    }
    assert!(told.with_exemplars.len() * 2 > told.exemplars.len(), "seed {seed}");
    assert!(told.exemplars.is_sorted_by(|a, b| a.0 < b.0), "seed {seed}");
    assert!(told.samples.is_sorted_by(|a, b| a.0 < b.0), "seed {seed}: positions go on");
    // From any place on the same samples come.
    let at = random.below(told.samples.len() as u64) as usize;
    let later = all(&db, told.samples[at].0);
    assert!(later.samples == told.samples[at..], "seed {seed}: from {at}");
    let from = told.exemplars.partition_point(|e| e.0 < told.samples[at].0);
    assert!(later.exemplars == told.exemplars[from..], "seed {seed}: from {at}");
    assert!(all(&db, db.position()).samples.is_empty(), "seed {seed}");
    // What is kept goes when nobody needs it.
    let left = db.forget_log(db.position().epoch).expect("removes");
    assert_eq!(left, 0, "seed {seed}");
}

#[test]
fn a_tail_tells_what_was_taken_in() {
    (0..100).for_each(|seed| run(seed, 300));
}

#[test]
fn a_position_of_another_folder_is_the_beginning() {
    let files = Faulty::new(1);
    let db = open(&files, &Options { keep_log: true, ..options() });
    let samples = loose(&mut Seed::new(5), 1_000_000);
    db.append(&samples).expect("appends");
    let far = Position { epoch: 900, record: 7, sample: 0 };
    let told = all(&db, far);
    assert!(!told.samples.is_empty());
    assert!(told.samples == all(&db, Position::default()).samples);
}
