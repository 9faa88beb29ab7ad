//! `netdev`: counters of network devices (`/proc/net/dev`, and from sysfs the packets that nobody wanted).

use super::filter::Filter;
use super::{Collector, column};
use crate::{Error, Failure, Families, Files, Options};
use kernel::KeptFile;
use kernel::parse::{number, trim};
use kernel::procfs::netdev::{self, Interface};
use model::Kind;

/// The families, in the order of the columns.
const RECEIVE: [&str; 8] =
    ["bytes", "packets", "errs", "drop", "fifo", "frame", "compressed", "multicast"];
const TRANSMIT: [&str; 8] =
    ["bytes", "packets", "errs", "drop", "fifo", "colls", "carrier", "compressed"];

pub(super) struct Netdev {
    file: KeptFile,
    filter: Filter,
    interfaces: Vec<Interface>,
    /// Of each interface.
    extras: Vec<Extra>,
    families: Vec<Names>,
}

struct Extra {
    interface: String,
    ignored: bool,
    nohandler_file: KeptFile,
    nohandler: Option<u64>,
}

struct Names {
    name: String,
    help: String,
}

fn names(direction: &str, what: &str) -> Names {
    Names {
        name: format!("node_network_{direction}_{what}_total"),
        help: format!("Network device statistic {direction}_{what}."),
    }
}

impl Netdev {
    pub fn open(options: &Options) -> Result<Netdev, Error> {
        let receive = RECEIVE.into_iter().map(|what| names("receive", what));
        let transmit = TRANSMIT.into_iter().map(|what| names("transmit", what));
        let nohandler = std::iter::once(names("receive", "nohandler"));
        Ok(Netdev {
            file: KeptFile::new("net/dev"),
            filter: Filter::open(options, "collector.netdev.device")?,
            interfaces: Vec::new(),
            extras: Vec::new(),
            families: receive.chain(transmit).chain(nohandler).collect(),
        })
    }

    fn align(&mut self) {
        let same = |(e, i): (&Extra, &Interface)| e.interface == i.name;
        let (extras, interfaces) = (&self.extras, &self.interfaces);
        if extras.len() == interfaces.len() && extras.iter().zip(interfaces).all(same) {
            return;
        }
        self.extras = interfaces
            .iter()
            .map(|i| Extra {
                interface: i.name.clone(),
                ignored: self.filter.ignores(&i.name),
                nohandler_file: KeptFile::new(format!(
                    "class/net/{}/statistics/rx_nohandler",
                    i.name
                )),
                nohandler: None,
            })
            .collect();
    }
}

impl Collector for Netdev {
    fn read(&mut self, files: &mut Files) -> Result<(), Failure> {
        let Netdev { file, interfaces, .. } = self;
        let read = file.parse(files.procfs(), |text| netdev::read(text, interfaces));
        if !matches!(read, Ok(Some(()))) {
            interfaces.clear();
        }
        self.align();
        if let Some(sysfs) = files.sysfs() {
            for extra in self.extras.iter_mut().filter(|e| !e.ignored) {
                let text = extra.nohandler_file.read(sysfs).ok().flatten();
                extra.nohandler = text.and_then(|t| number(trim(t)));
            }
        }
        read?.ok_or_else(|| Failure::absent("network devices", "/proc/net/dev"))
    }

    fn write(&self, out: &mut Families<'_>) {
        let rows = || {
            let all = self.extras.iter().zip(&self.interfaces);
            all.filter(|(extra, _)| !extra.ignored)
        };
        for (column_index, Names { name, help }) in self.families.iter().enumerate() {
            let value = |extra: &Extra, interface: &Interface| match column_index {
                0..8 => Some(interface.receive[column_index]),
                8..16 => Some(interface.transmit[column_index - 8]),
                _ => extra.nohandler,
            };
            let rows = rows().filter_map(|(e, i)| Some((i.name.as_str(), value(e, i)? as f64)));
            column(out, name, help, Kind::Counter, "device", rows);
        }
    }
}
