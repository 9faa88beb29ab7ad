//! `entropy`: the kernel's random pool (`/proc/sys/kernel/random`).

use super::Collector;
use crate::{Failure, Families, Files};
use kernel::parse::{number, trim};
use kernel::{KeptFile, Unexpected};

pub(super) struct Entropy {
    available: KeptFile,
    pool: KeptFile,
    /// Available bits, bits of the pool.
    read: [Option<u64>; 2],
}

impl Default for Entropy {
    fn default() -> Entropy {
        Entropy {
            available: KeptFile::new("sys/kernel/random/entropy_avail"),
            pool: KeptFile::new("sys/kernel/random/poolsize"),
            read: [None; 2],
        }
    }
}

/// A file of one number.
pub(super) fn parse_number(text: &[u8]) -> Result<u64, Unexpected> {
    number(trim(text)).ok_or_else(|| Unexpected::new(1, text, "a number"))
}

impl Collector for Entropy {
    fn read(&mut self, files: &mut Files) -> Result<(), Failure> {
        self.read = [None; 2];
        self.read[0] = self.available.parse(files.procfs(), parse_number)?;
        self.read[1] = self.pool.parse(files.procfs(), parse_number)?;
        match self.read {
            [Some(_), Some(_)] => Ok(()),
            _ => Err(Failure::absent("entropy", "/proc/sys/kernel/random")),
        }
    }

    fn write(&self, out: &mut Families<'_>) {
        if let Some(bits) = self.read[0] {
            out.gauge("node_entropy_available_bits", "Bits of available entropy.", bits as f64);
        }
        if let Some(bits) = self.read[1] {
            out.gauge("node_entropy_pool_size_bits", "Bits of entropy pool.", bits as f64);
        }
    }
}
