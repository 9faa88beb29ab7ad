//! `vmstat`: the fields of `/proc/vmstat` that the flag chooses.

use super::table::{Family, Table};
use super::{Collector, filter};
use crate::{Error, Failure, Families, Files, Options};
use kernel::{KeptFile, procfs};
use model::{Kind, Matcher};

const FIELDS: &str = "collector.vmstat.fields";

pub(super) struct Vmstat {
    file: KeptFile,
    wanted: Matcher,
    table: Table,
}

impl Vmstat {
    pub fn open(options: &Options) -> Result<Vmstat, Error> {
        let wanted = filter::pattern(FIELDS, options.flags.get(FIELDS))?;
        Ok(Vmstat { file: KeptFile::new("vmstat"), wanted, table: Table::default() })
    }
}

impl Collector for Vmstat {
    fn read(&mut self, files: &mut Files) -> Result<(), Failure> {
        let Vmstat { file, wanted, table } = self;
        let describe = |_: &str, field: &str| {
            wanted.matches(field).then(|| Family {
                name: format!("node_vmstat_{field}"),
                help: format!("/proc/vmstat information field {field}."),
                kind: Kind::Untyped,
            })
        };
        table.begin();
        let read = file.parse(files.procfs(), |text| {
            procfs::vmstat::each(text, |field, value| table.put(b"", field, value as f64, describe))
        });
        table.end();
        read?.ok_or_else(|| Failure::absent("virtual memory counters", "/proc/vmstat"))
    }

    fn write(&self, out: &mut Families<'_>) {
        self.table.write(out);
    }
}
