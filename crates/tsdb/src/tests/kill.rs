//! SIGKILL on a real process over real files: what it said it wrote is there, and the start after
//! an hour of a machine's data at one second takes less than two.

use super::naive;
use crate::{Db, Options};
use model::{Columns, Family, Kind, Labels, Matcher, Selection, Sink, Storage};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

const SERIES: usize = 1500;
const ROUNDS: i64 = 3600;
const START_MS: i64 = 1_700_000_000_000;
const DIR: &str = "KUBEVIGIL_TEST_DIR";

/// Writes an hour, a second a round, and says after each round that it is in.
#[test]
#[ignore = "the writer that the test below starts and kills"]
fn writer() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let db = Db::open(Path::new(&dir), Options::default()).expect("opens");
    let mut group = db.group(&Labels::from_pairs([("job", "node"), ("instance", "here")]));
    let numbers: Vec<String> = (0..SERIES).map(|n| n.to_string()).collect();
    for round in 0..=ROUNDS {
        let mut batch = group.begin(START_MS + round * 1000);
        batch.family(&Family { name: "machine_value", help: "h", kind: Kind::Gauge, unit: "" });
        for (n, number) in numbers.iter().enumerate() {
            // Of ten series two change each second, one each ten, the others hardly ever.
            let value = match n % 10 {
                0 | 1 => round * (n as i64 + 1) * 37,
                2 => round / 10,
                _ => n as i64,
            };
            batch.sample("machine_value", &[("n", number)], value as f64, None);
        }
        batch.commit().expect("commits");
        if round % 600 == 0 {
            db.tick(START_MS + round * 1000).expect("ticks");
        }
        println!("in {round}");
    }
    loop {
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
}

#[test]
fn a_killed_writer_loses_nothing_that_it_said_and_starts_fast() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args(["tests::kill::writer", "--exact", "--ignored", "--nocapture"])
        .env(DIR, dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let lines = BufReader::new(child.stdout.take().expect("is piped")).lines();
    let mut said = None;
    for line in lines {
        let line = line.expect("reads");
        if let Some((_, round)) = line.rsplit_once("in ")
            && let Ok(round) = round.parse::<i64>()
        {
            said = Some(round);
            if round == ROUNDS {
                break;
            }
        }
    }
    child.kill().expect("is killed");
    child.wait().expect("has ended");
    assert_eq!(said, Some(ROUNDS), "the writer died before its time");

    let begun = Instant::now();
    let db = Db::open(dir.path(), Options { background: false, ..Options::default() });
    let db = db.expect("opens");
    let seconds = begun.elapsed().as_secs_f64();
    let stats = db.stats();
    println!("opened {} samples of {} series in {seconds:.3} s; {stats:?}", stats.samples, SERIES);
    assert!(seconds < 2.0, "opening took {seconds} s");
    assert_eq!(stats.samples, SERIES as u64 * (ROUNDS as u64 + 1));
    let matchers = [Matcher::equal("n", "11")];
    let selection = Selection {
        matchers: &matchers,
        start_ms: i64::MIN,
        end_ms: i64::MAX,
        ..Selection::default()
    };
    let mut set = db.select(&selection).expect("selects");
    let labels = set.next().expect("goes on").expect("a series");
    assert_eq!(labels.get("job"), Some("node"));
    let mut columns = Columns::default();
    set.read(&mut columns).expect("reads");
    let expected: Vec<f64> = (0..=ROUNDS).map(|r| (r * 12 * 37) as f64).collect();
    assert_eq!(columns.floats, expected);
    assert!(set.next().expect("ends").is_none());
    drop(set);
    // A whole read, for the time that it takes.
    let begun = Instant::now();
    let (content, _) = naive::read(&db, START_MS, START_MS + 60_000);
    assert_eq!(content.len(), SERIES);
    println!("read a minute of all series in {:.3} s", begun.elapsed().as_secs_f64());
}

#[test]
fn a_folder_has_one_process() {
    let dir = tempfile::tempdir().expect("a folder");
    let db = Db::open(dir.path(), Options::default()).expect("opens");
    let refused = Db::open(dir.path(), Options::default()).err().map(|e| e.to_string());
    let pid = format!("in use by process {}", std::process::id());
    assert!(refused.as_ref().is_some_and(|r| r.contains(&pid)), "{refused:?}");
    db.close().expect("closes");
    Db::open(dir.path(), Options::default()).expect("is free again");
    std::fs::write(dir.path().join("FORMAT"), "kubevigil-data 2\n").expect("writes");
    let newer = Db::open(dir.path(), Options::default()).err().map(|e| e.to_string());
    assert!(newer.as_ref().is_some_and(|n| n.contains("has format 2")), "{newer:?}");
}
