//! `stat`: boot time, interrupts, context switches and processes of `/proc/stat`.

use super::{Collector, column};
use crate::{Failure, Families, Files, Options};
use kernel::procfs::stat::{SOFTIRQS, Stat as ProcStat};
use model::Kind;

pub(super) struct Stat {
    with_softirqs: bool,
    read: Option<ProcStat>,
}

impl Stat {
    pub fn open(options: &Options) -> Stat {
        Stat { with_softirqs: options.flags.get("collector.stat.softirq") == "true", read: None }
    }
}

impl Collector for Stat {
    fn read(&mut self, files: &mut Files) -> Result<(), Failure> {
        self.read = None;
        let stat = files.stat()?.ok_or_else(|| Failure::absent("kernel counters", "/proc/stat"))?;
        // All but the processors, which another collector has.
        self.read = Some(ProcStat { cpus: Vec::new(), ..copy(stat) });
        Ok(())
    }

    fn write(&self, out: &mut Families<'_>) {
        let Some(stat) = &self.read else { return };
        let gauge = Families::gauge;
        let counter = Families::counter;
        counter(
            out,
            "node_intr_total",
            "Total number of interrupts serviced.",
            stat.interrupts as f64,
        );
        counter(
            out,
            "node_context_switches_total",
            "Total number of context switches.",
            stat.context_switches as f64,
        );
        counter(out, "node_forks_total", "Total number of forks.", stat.forks as f64);
        gauge(
            out,
            "node_boot_time_seconds",
            "Node boot time, in unixtime.",
            stat.boot_time_s as f64,
        );
        gauge(
            out,
            "node_procs_running",
            "Number of processes in runnable state.",
            stat.running as f64,
        );
        gauge(
            out,
            "node_procs_blocked",
            "Number of processes blocked waiting for I/O to complete.",
            stat.blocked as f64,
        );
        if self.with_softirqs {
            column(
                out,
                "node_softirqs_total",
                "Number of softirq calls.",
                Kind::Counter,
                "vector",
                SOFTIRQS.into_iter().zip(stat.softirqs.iter().map(|n| *n as f64)),
            );
        }
    }
}

/// Copies the plain numbers.
fn copy(stat: &ProcStat) -> ProcStat {
    ProcStat { total: stat.total, cpus: Vec::new(), softirqs: stat.softirqs, ..*stat }
}
