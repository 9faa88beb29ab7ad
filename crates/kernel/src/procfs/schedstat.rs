//! `/proc/schedstat` (kernel `Documentation/scheduler/sched-stats.rst`, versions 15 to 17).

use crate::Unexpected;
use crate::parse::{fields, lines, number};

/// One processor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cpu {
    /// Its number.
    pub number: u64,
    /// Nanoseconds spent running tasks.
    pub running_ns: u64,
    /// Nanoseconds that tasks waited for it.
    pub waiting_ns: u64,
    /// Time slices run.
    pub timeslices: u64,
}

/// Reads the `cpuN` lines anew into `cpus`.
pub fn read(text: &[u8], cpus: &mut Vec<Cpu>) -> Result<(), Unexpected> {
    cpus.clear();
    for (index, line) in lines(text).enumerate() {
        let Some(rest) = line.strip_prefix(b"cpu") else { continue };
        let mut columns = [0u64; 10];
        let mut parts = fields(rest);
        for column in &mut columns {
            let digits = parts.next().unwrap_or_default();
            let value = number(digits);
            *column = value.ok_or_else(|| Unexpected::new(index + 1, digits, "a number"))?;
        }
        let [number, .., running_ns, waiting_ns, timeslices] = columns;
        cpus.push(Cpu { number, running_ns, waiting_ns, timeslices });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_last_three() {
        let mut cpus = Vec::new();
        let text = b"version 17\ntimestamp 4295\ncpu2 0 0 0 0 0 0 7 8 9\ndomain0 03 1 2\n";
        read(text, &mut cpus).expect("parses");
        assert_eq!(cpus, [Cpu { number: 2, running_ns: 7, waiting_ns: 8, timeslices: 9 }]);
        assert!(read(b"cpu0 1 2\n", &mut cpus).is_err());
    }
}
