//! `pressure`: how long tasks waited for processors, memory and disks (`/proc/pressure`).

use super::Collector;
use crate::{Failure, Families, Files, Missing};
use kernel::KeptFile;
use kernel::procfs::pressure::{self, Stall};

/// File, its `some` family, its `full` family.
type Resource =
    (&'static str, Option<(&'static str, &'static str)>, Option<(&'static str, &'static str)>);

const RESOURCES: [Resource; 4] = [
    (
        "cpu",
        Some((
            "node_pressure_cpu_waiting_seconds_total",
            "Total time in seconds that processes have waited for CPU time",
        )),
        None,
    ),
    (
        "io",
        Some((
            "node_pressure_io_waiting_seconds_total",
            "Total time in seconds that processes have waited due to IO congestion",
        )),
        Some((
            "node_pressure_io_stalled_seconds_total",
            "Total time in seconds no process could make progress due to IO congestion",
        )),
    ),
    (
        "memory",
        Some((
            "node_pressure_memory_waiting_seconds_total",
            "Total time in seconds that processes have waited for memory",
        )),
        Some((
            "node_pressure_memory_stalled_seconds_total",
            "Total time in seconds no process could make progress due to memory congestion",
        )),
    ),
    (
        "irq",
        None,
        Some((
            "node_pressure_irq_stalled_seconds_total",
            "Total time in seconds no process could make progress due to IRQ congestion",
        )),
    ),
];

pub(super) struct Pressure {
    files: [KeptFile; 4],
    read: [Option<pressure::Pressure>; 4],
}

impl Default for Pressure {
    fn default() -> Pressure {
        let file = |i: usize| KeptFile::new(format!("pressure/{}", RESOURCES[i].0));
        Pressure { files: std::array::from_fn(file), read: [None; 4] }
    }
}

impl Collector for Pressure {
    fn read(&mut self, files: &mut Files) -> Result<(), Failure> {
        self.read = [None; 4];
        let mut found = false;
        for (file, read) in self.files.iter_mut().zip(&mut self.read) {
            *read = file.parse(files.procfs(), pressure::parse)?;
            found |= read.is_some();
        }
        if found {
            return Ok(());
        }
        let why = "this kernel does not account for pressure (needs Linux 4.20 with CONFIG_PSI)";
        let missing = Missing::new("pressure", why);
        Err(Failure::Missing(missing.with_remedy("boot the kernel with psi=1")))
    }

    fn write(&self, out: &mut Families<'_>) {
        for ((_, some, full), read) in RESOURCES.iter().zip(&self.read) {
            let Some(read) = read else { continue };
            for (family, stall) in [(some, read.some), (full, read.full)] {
                if let (Some((name, help)), Some(Stall { total_us, .. })) = (family, stall) {
                    out.counter(name, help, total_us as f64 / 1000.0 / 1000.0);
                }
            }
        }
    }
}
