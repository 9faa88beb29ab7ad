//! The host's families, named and worded as node_exporter 1.12's. A collector is one file below `host/`
//! and one line in [`LIST`].

mod loadavg;

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
pub(crate) const LIST: &[Entry] = &[Entry { name: "loadavg", make: plain::<loadavg::Loadavg> }];

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
        const DURATION: &str = "node_scrape_collector_duration_seconds";
        out.begin(DURATION, "node_exporter: Duration of a collector scrape.", Kind::Gauge);
        for status in statuses.iter().filter(|s| s.enabled) {
            out.sample(DURATION, &[("collector", status.name)], status.seconds);
        }
        const SUCCESS: &str = "node_scrape_collector_success";
        out.begin(SUCCESS, "node_exporter: Whether a collector succeeded.", Kind::Gauge);
        for status in statuses.iter().filter(|s| s.enabled) {
            out.sample(SUCCESS, &[("collector", status.name)], f64::from(status.success));
        }
    }
}
