//! `schedstat`: what the scheduler says of each processor (`/proc/schedstat`).

use super::decimals::Decimals;
use super::{Collector, column};
use crate::{Failure, Families, Files, Missing};
use kernel::KeptFile;
use kernel::procfs::schedstat;
use model::Kind;

pub(super) struct Schedstat {
    file: KeptFile,
    cpus: Vec<schedstat::Cpu>,
    numbers: Decimals,
}

impl Default for Schedstat {
    fn default() -> Schedstat {
        let file = KeptFile::new("schedstat");
        Schedstat { file, cpus: Vec::new(), numbers: Decimals::default() }
    }
}

impl Collector for Schedstat {
    fn read(&mut self, files: &mut Files) -> Result<(), Failure> {
        let Schedstat { file, cpus, numbers } = self;
        cpus.clear();
        let read = file.parse(files.procfs(), |text| schedstat::read(text, cpus));
        numbers.set(cpus.iter().map(|c| c.number));
        read?.ok_or_else(|| {
            let why = "this kernel was built without CONFIG_SCHEDSTATS";
            Failure::Missing(Missing::new("scheduler statistics", why))
        })
    }

    fn write(&self, out: &mut Families<'_>) {
        let mut family = |name, help, value: fn(&schedstat::Cpu) -> f64| {
            let rows = self.numbers.iter().zip(self.cpus.iter().map(value));
            column(out, name, help, Kind::Counter, "cpu", rows);
        };
        family(
            "node_schedstat_running_seconds_total",
            "Number of seconds CPU spent running a process.",
            |c| c.running_ns as f64 / 1e9,
        );
        family(
            "node_schedstat_waiting_seconds_total",
            "Number of seconds spent by processing waiting for this CPU.",
            |c| c.waiting_ns as f64 / 1e9,
        );
        family("node_schedstat_timeslices_total", "Number of timeslices executed by CPU.", |c| {
            c.timeslices as f64
        });
    }
}
