//! `arp`: entries of the neighbour table by device (`/proc/net/arp`).

use super::filter::Filter;
use super::{Collector, column};
use crate::{Error, Failure, Families, Files, Options};
use kernel::KeptFile;
use kernel::procfs::arp;
use model::Kind;

pub(super) struct Arp {
    file: KeptFile,
    filter: Filter,
    /// (device, entries).
    devices: Vec<(String, u64)>,
}

impl Arp {
    pub fn open(options: &Options) -> Result<Arp, Error> {
        let filter = Filter::open(options, "collector.arp.device")?;
        Ok(Arp { file: KeptFile::new("net/arp"), filter, devices: Vec::new() })
    }
}

impl Collector for Arp {
    fn read(&mut self, files: &mut Files) -> Result<(), Failure> {
        let Arp { file, devices, .. } = self;
        devices.iter_mut().for_each(|d| d.1 = 0);
        let read = file.parse(files.procfs(), |text| {
            arp::each_device(text, |name| {
                let name = String::from_utf8_lossy(name);
                match devices.iter_mut().find(|d| d.0 == name) {
                    Some(device) => device.1 += 1,
                    None => devices.push((name.into_owned(), 1)),
                }
            })
        });
        devices.retain(|d| d.1 > 0);
        read?.ok_or_else(|| Failure::absent("ARP entries", "/proc/net/arp"))
    }

    fn write(&self, out: &mut Families<'_>) {
        let served = self.devices.iter().filter(|d| !self.filter.ignores(&d.0));
        let rows = served.map(|(device, entries)| (device.as_str(), *entries as f64));
        column(out, "node_arp_entries", "ARP entries by device", Kind::Gauge, "device", rows);
    }
}
