//! `sockstat`: sockets in use, from `/proc/net/sockstat` and `sockstat6`.

use super::Collector;
use super::table::{Family, Table};
use crate::{Failure, Families, Files};
use kernel::{KeptFile, procfs, system};
use model::Kind;

pub(super) struct Sockstat {
    v4: KeptFile,
    v6: KeptFile,
    page_size: f64,
    table: Table,
}

impl Default for Sockstat {
    fn default() -> Sockstat {
        Sockstat {
            v4: KeptFile::new("net/sockstat"),
            v6: KeptFile::new("net/sockstat6"),
            page_size: system::page_size() as f64,
            table: Table::default(),
        }
    }
}

impl Collector for Sockstat {
    fn read(&mut self, files: &mut Files) -> Result<(), Failure> {
        let Sockstat { v4, v6, page_size, table } = self;
        table.begin();
        let mut put = |protocol: &[u8], key: &[u8], value: i64| {
            table.put(protocol, key, value as f64, describe);
            if key == b"mem" {
                table.put(protocol, b"mem_bytes", value as f64 * *page_size, describe);
            }
        };
        let dir = files.procfs();
        // Without IPv4 or IPv6 its file is missing; that is all right.
        let read4 = v4.parse(dir, |text| procfs::sockstat::each(text, &mut put));
        let read6 = v6.parse(dir, |text| procfs::sockstat::each(text, &mut put));
        table.end();
        read4?;
        read6?;
        Ok(())
    }

    fn write(&self, out: &mut Families<'_>) {
        self.table.write(out);
    }
}

fn describe(protocol: &str, key: &str) -> Option<Family> {
    if protocol == "sockets" {
        return (key == "used").then(|| Family {
            name: "node_sockstat_sockets_used".into(),
            help: "Number of IPv4 sockets in use.".into(),
            kind: Kind::Gauge,
        });
    }
    let known = ["inuse", "orphan", "tw", "alloc", "mem", "mem_bytes", "memory"].contains(&key);
    known.then(|| Family {
        name: format!("node_sockstat_{protocol}_{key}"),
        help: format!("Number of {protocol} sockets in state {key}."),
        kind: Kind::Gauge,
    })
}
