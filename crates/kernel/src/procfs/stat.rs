//! `/proc/stat`: processor times, interrupts, context switches, processes.

use crate::Unexpected;
use crate::parse::{fields, lines, number};

/// Clock ticks a second in which processor times are counted (`USER_HZ`, the same everywhere on Linux).
pub const TICKS_PER_SECOND: f64 = 100.0;

/// The fields of a processor line in their order.
pub const MODES: [&str; 10] =
    ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest", "guest_nice"];

/// The soft interrupts in the order of the `softirq` line.
pub const SOFTIRQS: [&str; 10] = [
    "hi",
    "timer",
    "net_tx",
    "net_rx",
    "block",
    "block_iopoll",
    "tasklet",
    "sched",
    "hrtimer",
    "rcu",
];

/// The times of one processor, or of all together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cpu {
    /// Its number; of the sum, 0.
    pub number: u32,
    /// Clock ticks in each of [`MODES`]; 0 where an old kernel does not count.
    pub ticks: [u64; 10],
}

/// What `/proc/stat` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stat {
    /// All processors together.
    pub total: Cpu,
    /// The processors that are online.
    pub cpus: Vec<Cpu>,
    /// Interrupts since boot.
    pub interrupts: u64,
    /// Context switches since boot.
    pub context_switches: u64,
    /// When the machine booted, seconds since the Unix epoch.
    pub boot_time_s: u64,
    /// Processes and threads created since boot.
    pub forks: u64,
    /// Tasks that run or could.
    pub running: u64,
    /// Tasks that wait for the disk.
    pub blocked: u64,
    /// Soft interrupts since boot, for each of [`SOFTIRQS`].
    pub softirqs: [u64; 10],
}

impl Stat {
    /// Reads the file anew into this value. Lines that it does not know are passed over.
    pub fn read(&mut self, text: &[u8]) -> Result<(), Unexpected> {
        let mut cpus = std::mem::take(&mut self.cpus);
        cpus.clear();
        *self = Stat { cpus, ..Stat::default() };
        for (index, line) in lines(text).enumerate() {
            let mut fields = fields(line);
            let Some(key) = fields.next() else { continue };
            let mut first = || {
                let value = fields.next().unwrap_or_default();
                number(value).ok_or_else(|| Unexpected::new(index + 1, value, "a number"))
            };
            match key {
                b"intr" => self.interrupts = first()?,
                b"ctxt" => self.context_switches = first()?,
                b"btime" => self.boot_time_s = first()?,
                b"processes" => self.forks = first()?,
                b"procs_running" => self.running = first()?,
                b"procs_blocked" => self.blocked = first()?,
                b"softirq" => {
                    first()?;
                    fill(&mut self.softirqs, fields, index)?;
                }
                b"cpu" => fill(&mut self.total.ticks, fields, index)?,
                _ => {
                    let Some(digits) = key.strip_prefix(b"cpu") else { continue };
                    let cpu = number(digits).and_then(|n| u32::try_from(n).ok());
                    let cpu = cpu.ok_or_else(|| Unexpected::new(index + 1, key, "cpuN"))?;
                    let mut cpu = Cpu { number: cpu, ticks: [0; 10] };
                    fill(&mut cpu.ticks, fields, index)?;
                    self.cpus.push(cpu);
                }
            }
        }
        Ok(())
    }
}

/// Fills as many values as the line has.
fn fill(
    values: &mut [u64; 10],
    fields: crate::parse::Fields<'_>,
    index: usize,
) -> Result<(), Unexpected> {
    for (value, field) in values.iter_mut().zip(fields) {
        *value =
            number(field).ok_or_else(|| Unexpected::new(index + 1, field, "a number of ticks"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_a_file() {
        let text = b"cpu  10 2 30 4000 5 0 7 1 0 0\ncpu0 5 1 15 2000 2 0 3 1 0 0\n\
            cpu3 5 1 15 2000 3 0 4\nintr 900 1 2 3\nctxt 12\nbtime 1700000000\nprocesses 77\n\
            procs_running 2\nprocs_blocked 1\nsoftirq 55 1 2 3 4 5 6 7 8 9 10\nnew_thing 4\n";
        let mut stat = Stat::default();
        stat.read(text).expect("parses");
        assert_eq!(stat.total.ticks, [10, 2, 30, 4000, 5, 0, 7, 1, 0, 0]);
        assert_eq!(stat.cpus[1], Cpu { number: 3, ticks: [5, 1, 15, 2000, 3, 0, 4, 0, 0, 0] });
        assert_eq!((stat.interrupts, stat.context_switches, stat.forks), (900, 12, 77));
        assert_eq!((stat.boot_time_s, stat.running, stat.blocked), (1_700_000_000, 2, 1));
        assert_eq!(stat.softirqs, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        let error = stat.read(b"cpu 1 2\nctxt x\n").expect_err("no number");
        assert_eq!(error.to_string(), "line 2: \"x\" is not a number");
    }

    proptest! {
        #[test]
        fn agrees_with_a_naive_reader(
            cpus in prop::collection::vec(prop::array::uniform10(any::<u64>()), 0..5),
            ctxt in any::<u64>(),
        ) {
            let mut text = String::new();
            for (n, ticks) in cpus.iter().enumerate() {
                text += &format!("cpu{n}");
                for t in ticks { text += &format!(" {t}"); }
                text += "\n";
            }
            text += &format!("ctxt {ctxt}\n");
            let mut stat = Stat::default();
            stat.read(text.as_bytes()).expect("parses");
            let naive: Vec<Vec<u64>> = text.lines().filter(|l| l.starts_with("cpu"))
                .map(|l| l.split(' ').skip(1).map(|v| v.parse().expect("a number")).collect())
                .collect();
            prop_assert_eq!(stat.cpus.iter().map(|c| c.ticks.to_vec()).collect::<Vec<_>>(), naive);
            prop_assert_eq!(stat.context_switches, ctxt);
        }
    }
}
