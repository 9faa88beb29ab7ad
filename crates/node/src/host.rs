//! The host's families, named and worded as node_exporter 1.12's. A collector is one file below `host/`
//! and one line in [`LIST`].

mod arp;
mod conntrack;
mod cpu;
mod cpufreq;
mod decimals;
mod diskstats;
mod entropy;
mod every;
mod filefd;
mod filesystem;
mod filter;
mod glob;
mod hwmon;
mod loadavg;
mod meminfo;
mod mount_watch;
mod netdev;
mod netstat;
mod os;
mod pressure;
mod schedstat;
mod sockstat;
mod softnet;
mod stat;
mod table;
mod textfile;
mod thermal_zone;
mod time;
mod time_zone;
mod udev;
mod udp_queues;
mod uname;
mod vmstat;

use crate::{CollectorStatus, Error, Failure, Families, Files, Options};
use model::{Kind, Sink};

/// Reads one topic and writes its families.
pub(crate) trait Collector: Send {
    /// Reads the topic anew. On failure, what is known all the same stays to be written.
    fn read(&mut self, files: &mut Files) -> Result<(), Failure>;

    /// Writes what was read last; nothing where nothing is known.
    fn write(&self, out: &mut Families<'_>);
}

/// A line of the list.
pub(crate) struct Entry {
    pub name: &'static str,
    make: fn(&Options) -> Result<Box<dyn Collector>, Error>,
}

/// A collector that needs no options.
fn plain<C: Collector + Default + 'static>(_: &Options) -> Result<Box<dyn Collector>, Error> {
    Ok(Box::<C>::default())
}

/// All collectors of the host.
pub(crate) const LIST: &[Entry] = &[
    Entry { name: "arp", make: |o| Ok(Box::new(arp::Arp::open(o)?)) },
    Entry { name: "conntrack", make: plain::<conntrack::Conntrack> },
    Entry { name: "cpu", make: |o| Ok(Box::new(cpu::Cpu::open(o))) },
    Entry { name: "cpufreq", make: plain::<cpufreq::Cpufreq> },
    Entry { name: "diskstats", make: |o| Ok(Box::new(diskstats::Diskstats::open(o)?)) },
    Entry { name: "entropy", make: plain::<entropy::Entropy> },
    Entry { name: "filefd", make: plain::<filefd::Filefd> },
    Entry { name: "filesystem", make: |o| Ok(Box::new(filesystem::Filesystem::open(o)?)) },
    Entry { name: "hwmon", make: |o| Ok(Box::new(hwmon::Hwmon::open(o)?)) },
    Entry { name: "loadavg", make: plain::<loadavg::Loadavg> },
    Entry { name: "meminfo", make: plain::<meminfo::Meminfo> },
    Entry { name: "netdev", make: |o| Ok(Box::new(netdev::Netdev::open(o)?)) },
    Entry { name: "netstat", make: |o| Ok(Box::new(netstat::Netstat::open(o)?)) },
    Entry { name: "os", make: plain::<os::Os> },
    Entry { name: "pressure", make: plain::<pressure::Pressure> },
    Entry { name: "schedstat", make: plain::<schedstat::Schedstat> },
    Entry { name: "sockstat", make: plain::<sockstat::Sockstat> },
    Entry { name: "softnet", make: plain::<softnet::Softnet> },
    Entry { name: "stat", make: |o| Ok(Box::new(stat::Stat::open(o))) },
    Entry { name: "textfile", make: |o| Ok(Box::new(textfile::Textfile::open(o))) },
    Entry { name: "thermal_zone", make: plain::<thermal_zone::ThermalZone> },
    Entry { name: "time", make: plain::<time::Time> },
    Entry { name: "udp_queues", make: plain::<udp_queues::UdpQueues> },
    Entry { name: "uname", make: plain::<uname::Uname> },
    Entry { name: "vmstat", make: |o| Ok(Box::new(vmstat::Vmstat::open(o)?)) },
];

/// The collectors of the host; `None` for those that are off.
pub(crate) struct Host {
    collectors: Vec<Option<Box<dyn Collector>>>,
}

impl Host {
    pub fn open(options: &Options) -> Result<Host, Error> {
        let make = |entry: &Entry| {
            options.collectors.is_on(entry.name).then(|| (entry.make)(options)).transpose()
        };
        Ok(Host { collectors: LIST.iter().map(make).collect::<Result<_, _>>()? })
    }

    /// Fresh statuses, in the order of the list.
    pub fn statuses(&self) -> Vec<CollectorStatus> {
        let status =
            |(e, c): (&Entry, &Option<_>)| CollectorStatus::new(e.name, "node", c.is_some());
        LIST.iter().zip(&self.collectors).map(status).collect()
    }

    pub fn collect(&mut self, files: &mut Files, statuses: &mut [CollectorStatus]) {
        for (collector, status) in self.collectors.iter_mut().zip(statuses) {
            let Some(collector) = collector else { continue };
            status.run(
                collector.as_mut(),
                |c| c.read(files),
                |c, sink| c.write(&mut Families(sink)),
            );
        }
    }

    pub fn write(&self, statuses: &[CollectorStatus], sink: &mut dyn Sink) {
        let mut out = Families(sink);
        for collector in self.collectors.iter().flatten() {
            collector.write(&mut out);
        }
        write_build_info(&mut out);
        let enabled = || statuses.iter().filter(|s| s.enabled);
        column(
            &mut out,
            "node_scrape_collector_duration_seconds",
            "node_exporter: Duration of a collector scrape.",
            Kind::Gauge,
            "collector",
            enabled().map(|s| (s.name, s.seconds)),
        );
        column(
            &mut out,
            "node_scrape_collector_success",
            "node_exporter: Whether a collector succeeded.",
            Kind::Gauge,
            "collector",
            enabled().map(|s| (s.name, f64::from(s.success))),
        );
    }
}

/// What dashboards list the machines by. The labels are node_exporter's; what only a Go program has is empty.
fn write_build_info(out: &mut Families<'_>) {
    let name = "node_exporter_build_info";
    out.begin(
        name,
        "A metric with a constant '1' value labeled by version, revision, branch, goversion from which \
         node_exporter was built, and the goos and goarch for the build.",
        Kind::Gauge,
    );
    let goarch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let labels = [
        ("branch", ""),
        ("goarch", goarch),
        ("goos", std::env::consts::OS),
        ("goversion", ""),
        ("revision", ""),
        ("tags", "kubevigil"),
        ("version", env!("CARGO_PKG_VERSION")),
    ];
    out.sample(name, &labels, 1.0);
}

/// Writes a family whose samples differ in one label.
fn column<'a>(
    out: &mut Families<'_>,
    name: &str,
    help: &str,
    kind: Kind,
    label: &str,
    rows: impl Iterator<Item = (&'a str, f64)>,
) {
    out.begin(name, help, kind);
    for (value_of_label, value) in rows {
        out.sample(name, &[(label, value_of_label)], value);
    }
}
