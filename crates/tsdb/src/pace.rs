//! What work in the background may take: a share of a processor, and so many bytes a second. Work that is ahead
//! of that sleeps; nobody is to wait for it meanwhile, so it never sleeps while the head is locked.

use crate::store::Store;
use rustix::time::{ClockId, clock_gettime};
use std::cell::Cell;
use std::io::{self, Write};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// How much of a second of a processor, and how many bytes a second, work may take; 0 is no limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// Processors: 0.5 is half of one.
    pub cpu: f64,
    /// Bytes written a second.
    pub bytes_per_second: u64,
}

/// Less than this is not worth a sleep.
const LEAST: Duration = Duration::from_millis(5);
/// A sleep is so long at most, until it is seen whether the store is closed.
const SLICE: Duration = Duration::from_millis(100);
/// After so many bytes, or writes, it is looked whether the work is ahead.
const LOOK_BYTES: u64 = 64 << 10;
const LOOK_WRITES: u32 = 64;

/// Keeps one thread within a budget.
pub(crate) struct Pace<'a> {
    /// Whose options say how much; `None` is no limit.
    store: Option<&'a Store>,
    begun: Instant,
    cpu_begun: Duration,
    bytes: Cell<u64>,
    /// Bytes and writes since the last look.
    since: Cell<(u64, u32)>,
}

impl<'a> Pace<'a> {
    /// No limit: somebody waits for the work.
    pub fn none() -> Pace<'a> {
        Pace::new(None)
    }

    /// What the options of the store say of work in the background.
    pub fn of(store: &'a Store) -> Pace<'a> {
        let Budget { cpu, bytes_per_second } = store.options.budget;
        Pace::new((cpu > 0.0 || bytes_per_second > 0).then_some(store))
    }

    fn new(store: Option<&'a Store>) -> Pace<'a> {
        let (bytes, since) = (Cell::new(0), Cell::new((0, 0)));
        Pace { store, begun: Instant::now(), cpu_begun: cpu(), bytes, since }
    }

    /// Bytes were written; sleeps where the work is ahead of its budget.
    pub fn wrote(&self, bytes: u64) {
        let Some(store) = self.store else { return };
        let budget = store.options.budget;
        self.bytes.set(self.bytes.get() + bytes);
        let (since, writes) = self.since.get();
        if since + bytes < LOOK_BYTES && writes < LOOK_WRITES {
            return self.since.set((since + bytes, writes + 1));
        }
        self.since.set((0, 0));
        let cpu = cpu().saturating_sub(self.cpu_begun).as_secs_f64();
        let by_cpu = if budget.cpu > 0.0 { cpu / budget.cpu } else { 0.0 };
        let by_bytes = match budget.bytes_per_second {
            0 => 0.0,
            rate => self.bytes.get() as f64 / rate as f64,
        };
        let due = Duration::try_from_secs_f64(by_cpu.max(by_bytes)).unwrap_or_default();
        let begun = Instant::now();
        while due > self.begun.elapsed() + LEAST && !store.closed.load(Relaxed) {
            std::thread::sleep(SLICE.min(due.saturating_sub(self.begun.elapsed())));
        }
        store.counts.paused_ns.fetch_add(begun.elapsed().as_nanos() as u64, Relaxed);
    }
}

/// What this thread used of a processor.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.max(0).unsigned_abs(), time.tv_nsec as u32)
}

/// Writes within a budget.
pub(crate) struct Paced<'a, W> {
    pub inner: W,
    pub pace: &'a Pace<'a>,
}

impl<W: Write> Write for Paced<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.pace.wrote(written as u64);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Db, Options};

    fn store(budget: Budget) -> (tempfile::TempDir, Db) {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { background: false, budget, ..Options::default() };
        let db = Db::open(dir.path(), options).unwrap();
        (dir, db)
    }

    #[test]
    fn a_share_of_a_processor_and_bytes_are_not_exceeded() {
        let (_dir, db) = store(Budget { cpu: 0.25, bytes_per_second: 0 });
        let pace = Pace::of(&db.store);
        let begun = Instant::now();
        while cpu().saturating_sub(pace.cpu_begun) < Duration::from_millis(50) {
            pace.wrote(LOOK_BYTES);
        }
        assert!(begun.elapsed() >= Duration::from_millis(180), "{:?}", begun.elapsed());
        assert!(db.store.counts.paused_ns.load(Relaxed) > 100_000_000);
        let (_dir, db) = store(Budget { cpu: 0.0, bytes_per_second: 1 << 20 });
        let (begun, pace) = (Instant::now(), Pace::of(&db.store));
        (0..1000).for_each(|_| pace.wrote(256));
        assert!(begun.elapsed() >= Duration::from_millis(200), "{:?}", begun.elapsed());
    }

    #[test]
    fn nothing_waits_without_a_budget_or_once_the_store_is_closed() {
        let (_dir, db) = store(Budget { cpu: 0.0, bytes_per_second: 1 });
        let begun = Instant::now();
        Pace::none().wrote(1 << 30);
        db.close().unwrap();
        Pace::of(&db.store).wrote(1 << 30);
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    }
}
