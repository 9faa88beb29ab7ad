//! Crashes, bad disks and damage from seeds, judged with two watermarks: what was seen (the
//! kernel has it) survives a kill, what a finished fsync covers survives a power cut, and nothing
//! is ever read that was not written; where bits flipped, what is missing is said.
//!
//! `KUBEVIGIL_SEEDS=10000 cargo test -p kubevigil-tsdb over_seeds` runs more seeds.

use super::exemplars::{self, List};
use super::naive::{self, Content, Naive, write_round};
use super::rounds::{self, loose, round};
use super::{open, try_open};
use crate::{Db, Error, Group, Options};
use disk::Files;
use disk::canary::{self, Canary};
use disk::faulty::{Faults, Faulty};
use disk::seed::{Seed, try_seeds};
use model::{Labels, Sample, Value};

/// A run until a crash, and what must hold afterwards.
struct Run {
    random: Seed,
    files: Faulty,
    naive: Naive,
    /// What the last finished fsync covers.
    durable: Content,
    exemplars: exemplars::Naive,
    /// What of them the last finished fsync covers.
    durable_exemplars: List,
    clock: i64,
    seed: u64,
}

fn options() -> Options {
    Options { exemplars: exemplars::CAPACITY, ..rounds::options() }
}

impl Run {
    fn new(seed: u64) -> Run {
        Run {
            random: Seed::new(seed),
            files: Faulty::new(seed),
            naive: Naive::default(),
            durable: Content::new(),
            exemplars: exemplars::Naive::default(),
            durable_exemplars: List::new(),
            clock: 1_000_000,
            seed,
        }
    }

    fn faults(&mut self, skip_syncs: bool) -> Faults {
        let r = &mut self.random;
        Faults {
            crash_after: Some(r.below(600)),
            short_appends: if r.percent(50) { r.below(30) } else { 0 },
            failed_appends: if r.percent(30) { r.below(10) } else { 0 },
            failed_syncs: if r.percent(30) { r.below(40) } else { 0 },
            capacity: r.percent(20).then(|| 2000 + r.below(100_000)),
            skip_syncs,
        }
    }

    /// Writes until the crash comes, or enough was written.
    fn write(&mut self, db: &Db) -> Result<(), String> {
        let target = Labels::empty();
        let mut groups: Vec<Group> = (0..4).map(|_| db.group(&target)).collect();
        for _ in 0..300 {
            if self.files.crashed() {
                break;
            }
            match self.random.below(100) {
                0..70 => self.write_one(&mut groups),
                70..80 => {
                    let samples = loose(&mut self.random, self.clock);
                    let written = db.append_acknowledged(&samples);
                    // Refused before it was written, or written and not known to be safe.
                    if !matches!(written, Err(Error::ReadOnly(_) | Error::Closed)) {
                        self.naive.append(&samples);
                    }
                    if written.is_ok() {
                        self.is_durable();
                    }
                }
                80..90 => {
                    if db.sync().is_ok() {
                        self.is_durable();
                    }
                }
                90..92 => drop(db.flush()),
                92..94 => drop(db.tick(self.clock)),
                _ => self.write_one(&mut groups),
            }
        }
        if self.files.crashed() {
            return Ok(());
        }
        // Faults come and go; what is refused is not seen, what is seen stays.
        self.expect_exemplars(db, "while running")?;
        self.expect(&naive::read(db, i64::MIN, i64::MAX).0, &self.naive.content, "while running")
    }

    fn is_durable(&mut self) {
        self.durable = self.naive.content.clone();
        self.durable_exemplars = self.exemplars.list.clone();
    }

    /// Those that are durable are there, but for the oldest, where newer ones took their place.
    fn expect_durable_exemplars(&self, found: &List) -> Result<(), String> {
        let durable = &self.durable_exemplars;
        let missing = durable.iter().take_while(|e| !found.contains(e)).count();
        let replaced = found.iter().filter(|e| !durable.contains(e)).count();
        let room = exemplars::CAPACITY - durable.len();
        let whole = durable[missing..].iter().all(|e| found.contains(e))
            && missing <= replaced.saturating_sub(room);
        match whole && found.iter().all(|e| self.exemplars.submitted.contains(e)) {
            true => Ok(()),
            false => Err(format!(
                "seed {}, after the power cut: exemplars\n{found:?}, durable were\n{durable:?}",
                self.seed
            )),
        }
    }

    fn expect_exemplars(&self, db: &Db, when: &str) -> Result<(), String> {
        let (found, expected) = (exemplars::kept(db), &self.exemplars.list);
        match found == *expected {
            true => Ok(()),
            false => Err(format!(
                "seed {}, {when}: exemplars\n{found:?}, expected\n{expected:?}",
                self.seed
            )),
        }
    }

    fn write_one(&mut self, groups: &mut [Group]) {
        // Late rounds are judged in `rounds`; here time goes on.
        let floor = self.clock + 21;
        let (writer, time, rows) = round(&mut self.random, &mut self.clock, floor);
        self.clock = self.clock.max(time);
        let given = exemplars::some(&mut self.random, rows.len(), time);
        if exemplars::write(&mut groups[writer], time, &rows, &given).is_ok() {
            self.naive.round(writer, time, &rows);
            self.exemplars.round(&rows, &given);
        } else {
            let given = given.into_iter().map(|(row, entry)| (rows[row].0.clone(), entry));
            self.exemplars.submitted.extend(given);
            for (labels, sample) in &rows {
                let key = (labels.clone(), sample.time_ms);
                self.naive.submitted.entry(key).or_default().insert(naive::bits(sample));
            }
        }
    }

    fn expect(&self, found: &Content, expected: &Content, when: &str) -> Result<(), String> {
        let wrong = naive::difference(found, expected);
        wrong.map_or(Ok(()), |w| Err(format!("seed {}, {when}: {w}", self.seed)))
    }

    /// Nothing was found that was never written.
    fn expect_written(&self, found: &Content, when: &str) -> Result<(), String> {
        for (labels, series) in found {
            for (time, value) in series {
                let submitted = self.naive.submitted.get(&(labels.clone(), *time));
                if !submitted.is_some_and(|s| s.contains(value)) {
                    return Err(format!(
                        "seed {}, {when}: {labels} at {time} is {value:?}, which was never written",
                        self.seed
                    ));
                }
            }
        }
        Ok(())
    }

    /// Flips some bits of what a kill leaves: the store opens, shows nothing that was not written, says
    /// so where something is missing, and says the same after the next start.
    fn expect_flips_noticed(&mut self) -> Result<(), String> {
        let files = self.files.kill();
        let all = files.paths().into_iter();
        let paths: Vec<String> =
            all.filter(|p| p.starts_with("log/") || p.starts_with("blocks/")).collect();
        let mut when = String::from("after flips of");
        for _ in 0..1 + self.random.below(3) {
            let Some(path) = paths.get(self.random.below(paths.len() as u64) as usize) else {
                break;
            };
            let len = files.read(path).map_err(|e| e.to_string())?.len() as u64;
            let (byte, bit) = (self.random.below(len) as usize, self.random.below(8) as u8);
            files.flip(path, byte, bit);
            when.push_str(&format!(" {path} byte {byte} bit {bit},"));
        }
        let opened = try_open(&files, &options());
        let db =
            opened.map_err(|e| format!("seed {}, {when} it does not start: {e}", self.seed))?;
        let (content, warnings) = naive::read(&db, i64::MIN, i64::MAX);
        self.expect_written(&content, &when)?;
        let kept = exemplars::kept(&db);
        if let Some(one) = kept.iter().find(|e| !self.exemplars.submitted.contains(e)) {
            return Err(format!("seed {}, {when}: {one:?} was never written", self.seed));
        }
        let is_whole = naive::difference(&content, &self.naive.content).is_none()
            && kept == self.exemplars.list;
        if !is_whole && warnings.is_empty() && db.stats().quarantined.is_empty() {
            self.expect_exemplars(&db, &when)?;
            return self.expect(&content, &self.naive.content, &when);
        }
        drop(db);
        let db = open(&files.kill(), &options());
        if exemplars::kept(&db) != kept {
            return Err(format!("seed {}, {when}: other exemplars at the second start", self.seed));
        }
        let again = naive::read(&db, i64::MIN, i64::MAX).0;
        self.expect(&again, &content, &format!("{when} at the second start"))
    }

    /// Everything durable is there, and nothing that was never written.
    fn expect_durable(&self, found: &Content) -> Result<(), String> {
        for (labels, series) in &self.durable {
            for (time, value) in series {
                let there = found.get(labels).and_then(|s| s.get(time));
                if there != Some(value) {
                    return Err(format!(
                        "seed {}, after the power cut: {labels} at {time} was durable as {value:?}, found {there:?}",
                        self.seed
                    ));
                }
            }
        }
        self.expect_written(found, "after the power cut")
    }
}

fn crash(seed: u64, skip_syncs: bool) -> Result<(), String> {
    let mut run = Run::new(seed);
    let faults = run.faults(skip_syncs);
    // The folder is made without faults: a crash then leaves nothing to judge.
    let db = open(&run.files, &options());
    run.files.set(faults);
    run.write(&db)?;
    drop(db);
    let killed = open(&run.files.kill(), &options());
    let (content, warnings) = naive::read(&killed, i64::MIN, i64::MAX);
    run.expect(&content, &run.naive.content, "after the kill")?;
    run.expect_exemplars(&killed, "after the kill")?;
    if !warnings.is_empty() {
        return Err(format!("seed {seed}, after the kill: {warnings:?}"));
    }
    drop(killed);
    run.expect_flips_noticed()?;
    let files = run.files.power_cut();
    let cut = open(&files, &options());
    let (content, _) = naive::read(&cut, i64::MIN, i64::MAX);
    run.expect_durable(&content)?;
    let kept = exemplars::kept(&cut);
    run.expect_durable_exemplars(&kept)?;
    // It goes on from there, and what it says now is what it says after the next start.
    drop(cut);
    let mut again = Run { files, ..Run::new(seed ^ 0x5eed) };
    again.clock = run.clock + 1000;
    again.naive.restart(content);
    again.exemplars.list = kept;
    again.exemplars.submitted = run.exemplars.submitted;
    let db = open(&again.files, &options());
    again.write(&db)?;
    drop(db);
    let db = open(&again.files.kill(), &options());
    again.expect_exemplars(&db, "after going on")?;
    let (content, _) = naive::read(&db, i64::MIN, i64::MAX);
    again.expect(&content, &again.naive.content, "after going on")
}

#[test]
fn over_seeds_nothing_seen_is_lost_to_a_kill_and_nothing_durable_to_a_power_cut() {
    let found = try_seeds("a store that crashes", 200, |seed| crash(seed, false));
    assert!(found.is_empty(), "{} seeds: {}", found.len(), found[0]);
}

#[test]
fn checksums_that_are_ignored_are_caught() {
    canary::set(Canary::IgnoreChecksums);
    let whole = |seed| std::panic::catch_unwind(|| crash(seed, false)).is_ok_and(|c| c.is_ok());
    let caught = !(0..50).all(whole);
    canary::set(Canary::None);
    assert!(caught, "50 seeds did not see that checksums were ignored");
}

#[test]
fn a_disk_that_skips_fsyncs_is_caught() {
    let caught = (0..50).find_map(|seed| crash(seed, true).err());
    assert!(caught.is_some(), "50 seeds did not see that fsyncs were skipped");
}

#[test]
fn a_dropped_run_is_caught() {
    canary::set(Canary::DropRun);
    let caught = (0..50).find_map(|seed| crash(seed, false).err());
    canary::set(Canary::None);
    assert!(caught.is_some(), "50 seeds did not see that a run was dropped");
}

/// Some rounds of constant and changing series; then what was written.
fn written(files: &Faulty) -> Content {
    let db = open(files, &options());
    let mut group = db.group(&Labels::empty());
    let mut random = Seed::new(7);
    for i in 0..20 {
        let time = 1_000_000 + i * 10;
        let value = |n: u64, r: &mut Seed| if n == 0 { 1.0 } else { r.below(1000) as f64 / 10.0 };
        let rows: Vec<(Labels, Sample)> = (0..4)
            .map(|n| {
                let value = Value::Float(value(n, &mut random));
                (super::rounds::labels(n), Sample { time_ms: time, start_ms: 0, value })
            })
            .collect();
        write_round(&mut group, time, &rows).expect("commits");
    }
    db.sync().expect("fsyncs");
    naive::read(&db, i64::MIN, i64::MAX).0
}

/// Flips one byte of a file after the other; gives how many flips nobody reported, or that made a
/// value of their own.
fn unnoticed(path: &str, files: &Faulty, whole: &Content) -> Vec<String> {
    let len = files.read(path).expect("is there").len();
    assert!(len > 100, "{path} has {len} bytes only");
    let mut missed = Vec::new();
    for byte in 0..len {
        let damaged = files.kill();
        damaged.flip(path, byte, (byte % 8) as u8);
        let db = match try_open(&damaged, &options()) {
            Ok(db) => db,
            Err(e) => panic!("{path}, byte {byte}: the store does not start: {e}"),
        };
        let (content, warnings) = naive::read(&db, i64::MIN, i64::MAX);
        let invented = content.iter().flat_map(|(l, s)| s.iter().map(move |(t, v)| (l, t, v)));
        let invented = invented.filter(|(l, t, v)| whole.get(*l).and_then(|s| s.get(t)) != Some(v));
        if let Some((labels, time, value)) = invented.into_iter().next() {
            missed.push(format!("{path}, byte {byte}: {labels} at {time} became {value:?}"));
        } else if warnings.is_empty() && db.stats().quarantined.is_empty() {
            missed.push(format!("{path}, byte {byte}: nobody noticed"));
        }
    }
    missed
}

#[test]
fn every_flipped_byte_of_a_log_is_noticed_and_set_aside() {
    let files = Faulty::new(3);
    let whole = written(&files);
    let missed = unnoticed("log/0000000001.log", &files, &whole);
    assert!(missed.is_empty(), "{} were missed: {}", missed.len(), missed[0]);
}

#[test]
fn every_flipped_byte_of_a_block_is_noticed() {
    let files = Faulty::new(4);
    let whole = written(&files);
    open(&files, &options()).flush().expect("flushes");
    let block = files.paths().into_iter().find(|p| p.starts_with("blocks/")).expect("a block");
    let missed = unnoticed(&block, &files, &whole);
    assert!(missed.is_empty(), "{} were missed: {}", missed.len(), missed[0]);
}

#[test]
fn a_reader_that_ignores_checksums_is_caught() {
    let files = Faulty::new(5);
    let whole = written(&files);
    canary::set(Canary::IgnoreChecksums);
    let missed = unnoticed("log/0000000001.log", &files, &whole);
    canary::set(Canary::None);
    assert!(!missed.is_empty(), "no flip was seen although checksums were ignored");
}

#[test]
fn a_damaged_page_is_left_out_with_a_warning_and_the_block_written_anew() {
    let files = Faulty::new(6);
    let whole = written(&files);
    open(&files, &options()).flush().expect("flushes");
    let block = files.paths().into_iter().find(|p| p.starts_with("blocks/")).expect("a block");
    // Behind the head of 16 bytes lie the group's times, then the pages of the series.
    files.flip(&block, 80, 1);
    let db = open(&files, &options());
    let (content, warnings) = naive::read(&db, i64::MIN, i64::MAX);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(!content.is_empty() && content.len() < whole.len(), "{} are left", content.len());
    db.tick(2_000_000).expect("ticks");
    let (after, warnings) = naive::read(&db, i64::MIN, i64::MAX);
    assert_eq!((after, warnings), (content, Vec::new()));
    let quarantined = db.stats().quarantined;
    assert_eq!(quarantined.len(), 1);
    assert!(quarantined[0].why.contains("checksum"), "{quarantined:?}");
    assert!(files.paths().contains(&quarantined[0].file), "{quarantined:?}");
}

#[test]
fn a_full_disk_refuses_with_a_reason_and_recovers_by_itself() {
    let files = Faulty::new(8);
    let whole = written(&files);
    let db = open(&files, &options());
    let mut group = db.group(&Labels::empty());
    let rows = |time_ms: i64| {
        let value = Value::Float(1.0);
        vec![(super::rounds::labels(50), Sample { time_ms, start_ms: 0, value })]
    };
    files.set(Faults { capacity: Some(10), ..Faults::default() });
    let refused = write_round(&mut group, 1_001_000, &rows(1_001_000)).expect_err("is full");
    assert!(refused.to_string().contains("No space left on device"), "{refused}");
    assert!(db.stats().read_only.is_some_and(|r| r.contains("No space left")));
    assert_eq!(naive::read(&db, i64::MIN, i64::MAX).0, whole, "queries go on");
    files.set(Faults::default());
    write_round(&mut group, 1_002_000, &rows(1_002_000)).expect("has room again");
    assert_eq!(db.stats().read_only, None);
    let (content, _) = naive::read(&open(&files.kill(), &options()), i64::MIN, i64::MAX);
    assert_eq!(content.len(), whole.len() + 1);
}

#[test]
fn a_failed_fsync_costs_a_segment_and_no_data() {
    let files = Faulty::new(9);
    let db = open(&files, &options());
    let mut group = db.group(&Labels::empty());
    let row = |time_ms: i64| {
        let value = Value::Float(time_ms as f64);
        vec![(super::rounds::labels(1), Sample { time_ms, start_ms: 0, value })]
    };
    write_round(&mut group, 1000, &row(1000)).expect("commits");
    files.set(Faults { failed_syncs: 100, ..Faults::default() });
    assert!(db.sync().is_err());
    let reason = db.stats().read_only.expect("is read-only");
    assert!(reason.contains("os error 5"), "{reason}");
    files.set(Faults::default());
    db.sync().expect("logs anew");
    write_round(&mut group, 2000, &row(2000)).expect("commits");
    db.sync().expect("fsyncs");
    let cut = open(&files.power_cut(), &options());
    let (content, _) = naive::read(&cut, i64::MIN, i64::MAX);
    assert_eq!(content.values().map(|s| s.len()).sum::<usize>(), 2);
}
