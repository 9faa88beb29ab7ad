//! What the store says of its changes: samples of older times than it names read as they did before.

use super::naive::{self, write_round};
use super::open;
use super::rounds::{labels, loose, options, round};
use super::seal::seal_some;
use crate::{Group, Options};
use disk::faulty::Faulty;
use disk::seed::Seed;
use model::{Labels, Matcher, Storage};

#[test]
fn what_is_older_than_the_oldest_change_reads_as_before() {
    let (mut told, mut nothing) = (0, 0);
    for seed in 0..40 {
        let (mut random, mut clock) = (Seed::new(seed), 1_000_000);
        let retention_ms = 3_600_000;
        let db = open(&Faulty::new(seed), &Options { retention_ms, ..options() });
        let mut groups: Vec<Group> = (0..4).map(|_| db.group(&Labels::empty())).collect();
        for _ in 0..60 {
            clock += 20_000;
            let before = naive::read(&db, i64::MIN, i64::MAX).0;
            let mark = db.mark().expect("follows its changes");
            match random.below(100) {
                0..50 => {
                    let floor = clock - 100_000;
                    let (writer, time, rows) = round(&mut random, &mut clock, floor);
                    write_round(&mut groups[writer], time, &rows).expect("writes");
                }
                50..70 => drop(db.append(&loose(&mut random, clock)).expect("appends")),
                70..76 => db.flush().expect("flushes"),
                76..82 => db.tick(clock).expect("ticks"),
                82..86 => db.clean_tombstones().expect("cleans"),
                86..92 => {
                    let matcher =
                        labels(random.below(4)).iter().next().map(|(n, v)| Matcher::equal(n, v));
                    let from = clock - random.below(200_000) as i64;
                    db.delete(&[matcher.expect("a label")], from, from + 50_000).expect("deletes");
                }
                92..95 => drop(db.repair().expect("repairs")),
                95..97 => {
                    clock += 2 * retention_ms;
                    db.tick(clock).expect("ticks");
                }
                _ => seal_some(&db, &mut random, clock - 150_000),
            }
            let oldest = db.oldest_change_since(mark);
            let after = naive::read(&db, i64::MIN, i64::MAX).0;
            let (old, new) = (
                naive::within(&before, i64::MIN, oldest.saturating_sub(1)),
                naive::within(&after, i64::MIN, oldest.saturating_sub(1)),
            );
            if let Some(wrong) = naive::difference(&new, &old) {
                panic!("seed {seed}: changed before {oldest}: {wrong}");
            }
            told += usize::from(!old.is_empty() && oldest < i64::MAX);
            nothing += usize::from(oldest == i64::MAX && !after.is_empty());
        }
    }
    assert!(told > 400, "{told} changes left something as it was");
    assert!(nothing > 200, "{nothing} times nothing changed");
}
