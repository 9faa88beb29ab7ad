//! `meminfo`: every field of `/proc/meminfo`.

use super::Collector;
use super::table::{Family, Table};
use crate::{Failure, Families, Files};
use model::Kind;

#[derive(Default)]
pub(super) struct Meminfo {
    table: Table,
}

impl Collector for Meminfo {
    fn read(&mut self, files: &mut Files) -> Result<(), Failure> {
        self.table.begin();
        let read = files.meminfo();
        if let Ok(Some(meminfo)) = &read {
            for field in &meminfo.fields {
                let unit: &[u8] = if field.is_bytes { b"_bytes" } else { b"" };
                self.table.put(unit, field.name.as_bytes(), field.value as f64, describe);
            }
        }
        self.table.end();
        match read {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(Failure::absent("memory", "/proc/meminfo")),
            Err(error) => Err(error.into()),
        }
    }

    fn write(&self, out: &mut Families<'_>) {
        self.table.write(out);
    }
}

/// `Active(anon)` in kB becomes `node_memory_Active_anon_bytes`.
fn describe(unit: &str, field: &str) -> Option<Family> {
    let field = field.replace('(', "_").replace(')', "") + unit;
    Some(Family {
        name: format!("node_memory_{field}"),
        help: format!("Memory information field {field}."),
        kind: Kind::Gauge,
    })
}
