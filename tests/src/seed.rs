//! Random choices of a test, all from one number that is printed, so that a failure can be repeated:
//! `KUBEVIGIL_SEED=N cargo test …`.
//!
//! The generator is SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).

use std::ops::RangeInclusive;
use std::time::{SystemTime, UNIX_EPOCH};

/// A source of choices.
pub struct Seed(u64);

impl Seed {
    /// The seed of this run: `$KUBEVIGIL_SEED`, or one from the clock. Prints it.
    pub fn of_run(test: &str) -> Seed {
        let clock =
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |d| d.subsec_nanos().into());
        let number = match std::env::var("KUBEVIGIL_SEED") {
            Ok(text) => text
                .parse()
                .unwrap_or_else(|e| panic!("KUBEVIGIL_SEED={text:?} is not a number: {e}")),
            Err(_) => clock,
        };
        eprintln!("{test}: KUBEVIGIL_SEED={number}");
        Seed(number)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number of the range, both ends included.
    pub fn within(&mut self, range: RangeInclusive<u64>) -> u64 {
        range.start() + self.bits() % (range.end() - range.start() + 1)
    }
}

/// `digits` hexadecimal digits that no earlier call on this machine gave.
pub fn unique_hex(digits: usize) -> String {
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64);
    let mut source = Seed(clock ^ (u64::from(std::process::id()) << 40));
    let mut text = String::new();
    while text.len() < digits {
        text.push_str(&format!("{:016x}", source.bits()));
    }
    text.truncate(digits);
    text
}
