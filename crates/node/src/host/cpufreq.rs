//! `cpufreq`: the frequencies of the processors.

use super::every::Pace;
use super::{Collector, column};
use crate::{Failure, Families, Files};
use kernel::sysfs::cpufreq;
use model::Kind;

#[derive(Default)]
pub(super) struct Cpufreq {
    pace: Pace,
    buffer: Vec<u8>,
    cpus: Vec<cpufreq::Cpufreq>,
}

type Field = fn(&cpufreq::Cpufreq) -> Option<u64>;

const FAMILIES: [(&str, &str, Field); 7] = [
    ("node_cpu_frequency_hertz", "Current CPU thread frequency in hertz.", |c| c.current),
    ("node_cpu_frequency_avg_hertz", "Average CPU thread frequency in hertz.", |c| c.average),
    ("node_cpu_frequency_min_hertz", "Minimum CPU thread frequency in hertz.", |c| c.minimum),
    ("node_cpu_frequency_max_hertz", "Maximum CPU thread frequency in hertz.", |c| c.maximum),
    ("node_cpu_scaling_frequency_hertz", "Current scaled CPU thread frequency in hertz.", |c| {
        c.scaling_current
    }),
    (
        "node_cpu_scaling_frequency_min_hertz",
        "Minimum scaled CPU thread frequency in hertz.",
        |c| c.scaling_minimum,
    ),
    (
        "node_cpu_scaling_frequency_max_hertz",
        "Maximum scaled CPU thread frequency in hertz.",
        |c| c.scaling_maximum,
    ),
];

impl Collector for Cpufreq {
    fn read(&mut self, files: &mut Files) -> Result<(), Failure> {
        let Cpufreq { pace, buffer, cpus } = self;
        let Some(sysfs) = files.sysfs() else {
            return Err(Failure::absent("processor frequencies", "sysfs"));
        };
        pace.run(files.now_ms(), Ok(()), || {
            cpus.clear();
            *cpus = cpufreq::read(sysfs, buffer)?;
            Ok(())
        })
    }

    fn write(&self, out: &mut Families<'_>) {
        for (name, help, field) in FAMILIES {
            let row = |c| field(c).map(|khz| khz as f64 * 1000.0);
            let rows = self.cpus.iter().filter_map(|c| Some((c.cpu.as_str(), row(c)?)));
            column(out, name, help, Kind::Gauge, "cpu", rows);
        }
        let name = "node_cpu_scaling_governor";
        out.begin(name, "Current enabled CPU frequency governor.", Kind::Gauge);
        for cpu in self.cpus.iter().filter(|c| !c.governor.is_empty()) {
            for governor in &cpu.governors {
                let labels = [("cpu", cpu.cpu.as_str()), ("governor", governor)];
                out.sample(name, &labels, f64::from(*governor == cpu.governor));
            }
        }
    }
}
