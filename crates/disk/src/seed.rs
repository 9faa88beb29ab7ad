//! Random numbers from a seed, so that every run of a test can be had again.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Tries `run` with each of the seeds below `default`, or below what the variable `KUBEVIGIL_SEEDS` says,
/// on all processors; gives what failed, and says on standard error how many were tried.
pub fn try_seeds(
    what: &str,
    default: u64,
    run: impl Fn(u64) -> Result<(), String> + Sync,
) -> Vec<String> {
    let count = match std::env::var("KUBEVIGIL_SEEDS").map(|told| (told.parse(), told)) {
        Err(_) => default,
        Ok((Ok(count), _)) => count,
        Ok((Err(_), told)) => {
            return vec![format!("KUBEVIGIL_SEEDS is {told}, which is no number")];
        }
    };
    let (next, failed) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= count {
                return;
            }
            if let Err(why) = run(seed) {
                crate::lock(&failed).push(why);
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    eprintln!("{what}: {count} seeds were tried");
    failed.into_inner().unwrap_or_else(|e| e.into_inner())
}

/// A SplitMix64 generator.
#[derive(Clone, Debug)]
pub struct Seed(u64);

impl Seed {
    /// The generator that this number names.
    pub fn new(seed: u64) -> Seed {
        Seed(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 where `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        if end == 0 { 0 } else { self.bits() % end }
    }

    /// True `percent` times in a hundred.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}
