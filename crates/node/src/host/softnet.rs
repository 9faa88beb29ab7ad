//! `softnet`: packets through each processor's backlog (`/proc/net/softnet_stat`).

use super::decimals::Decimals;
use super::{Collector, column};
use crate::{Failure, Families, Files};
use kernel::KeptFile;
use kernel::procfs::softnet;
use model::Kind;

pub(super) struct Softnet {
    file: KeptFile,
    cpus: Vec<softnet::Softnet>,
    numbers: Decimals,
}

impl Default for Softnet {
    fn default() -> Softnet {
        let file = KeptFile::new("net/softnet_stat");
        Softnet { file, cpus: Vec::new(), numbers: Decimals::default() }
    }
}

impl Collector for Softnet {
    fn read(&mut self, files: &mut Files) -> Result<(), Failure> {
        let Softnet { file, cpus, numbers } = self;
        cpus.clear();
        let read = file.parse(files.procfs(), |text| softnet::read(text, cpus));
        numbers.set(cpus.iter().map(|c| c.cpu));
        read?.ok_or_else(|| Failure::absent("packet backlogs", "/proc/net/softnet_stat"))
    }

    fn write(&self, out: &mut Families<'_>) {
        let mut family = |name, help, kind, value: fn(&softnet::Softnet) -> u64| {
            let rows = self.numbers.iter().zip(self.cpus.iter().map(|c| value(c) as f64));
            column(out, name, help, kind, "cpu", rows);
        };
        let counter = Kind::Counter;
        family("node_softnet_processed_total", "Number of processed packets", counter, |c| {
            c.processed
        });
        family("node_softnet_dropped_total", "Number of dropped packets", counter, |c| c.dropped);
        family(
            "node_softnet_times_squeezed_total",
            "Number of times processing packets ran out of quota",
            counter,
            |c| c.squeezed,
        );
        family(
            "node_softnet_cpu_collision_total",
            "Number of collision occur while obtaining device lock while transmitting",
            counter,
            |c| c.collisions,
        );
        family(
            "node_softnet_received_rps_total",
            "Number of times cpu woken up received_rps",
            counter,
            |c| c.received_rps,
        );
        family(
            "node_softnet_flow_limit_count_total",
            "Number of times flow limit has been reached",
            counter,
            |c| c.flow_limit,
        );
        family("node_softnet_backlog_len", "Softnet backlog status", Kind::Gauge, |c| c.backlog);
    }
}
