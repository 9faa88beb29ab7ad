//! `netstat`: the protocol counters of `/proc/net/{netstat,snmp,snmp6}` that the flag chooses.

use super::table::{Family, Table};
use super::{Collector, filter};
use crate::{Error, Failure, Families, Files, Options};
use kernel::{KeptFile, procfs};
use model::{Kind, Matcher};

const FIELDS: &str = "collector.netstat.fields";

pub(super) struct Netstat {
    netstat: KeptFile,
    snmp: KeptFile,
    snmp6: KeptFile,
    wanted: Matcher,
    table: Table,
}

impl Netstat {
    pub fn open(options: &Options) -> Result<Netstat, Error> {
        Ok(Netstat {
            netstat: KeptFile::new("net/netstat"),
            snmp: KeptFile::new("net/snmp"),
            snmp6: KeptFile::new("net/snmp6"),
            wanted: filter::pattern(FIELDS, options.flags.get(FIELDS))?,
            table: Table::default(),
        })
    }

    fn read_all(&mut self, files: &mut Files) -> Result<(), Failure> {
        let Netstat { netstat, snmp, snmp6, wanted, table } = self;
        let describe = |protocol: &str, field: &str| {
            let key = format!("{protocol}_{field}");
            wanted.matches(&key).then(|| Family {
                name: format!("node_netstat_{key}"),
                help: format!("Statistic {protocol}{field}."),
                kind: Kind::Untyped,
            })
        };
        let mut put = |p: &[u8], f: &[u8], value: f64| table.put(p, f, value, describe);
        let procfs = files.procfs();
        for (file, path) in [(netstat, "/proc/net/netstat"), (snmp, "/proc/net/snmp")] {
            let read = file.parse(procfs, |text| procfs::netstat::each(text, &mut put))?;
            read.ok_or_else(|| Failure::absent("protocol counters", path))?;
        }
        // Without IPv6 there is no such file.
        snmp6.parse(procfs, |text| procfs::netstat::each6(text, &mut put))?;
        Ok(())
    }
}

impl Collector for Netstat {
    fn read(&mut self, files: &mut Files) -> Result<(), Failure> {
        self.table.begin();
        let read = self.read_all(files);
        self.table.end();
        read
    }

    fn write(&self, out: &mut Families<'_>) {
        self.table.write(out);
    }
}
