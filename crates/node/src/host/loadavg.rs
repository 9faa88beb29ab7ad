//! `loadavg`: the load averages of /proc/loadavg.

use super::Collector;
use crate::{Failure, Families, Files, Missing};
use kernel::{KeptFile, procfs};

#[derive(Default)]
pub(super) struct Loadavg {
    file: Option<KeptFile>,
    load: Option<[f64; 3]>,
}

impl Collector for Loadavg {
    fn read(&mut self, files: &mut Files) -> Result<(), Failure> {
        self.load = None;
        let file = self.file.get_or_insert_with(|| KeptFile::new("loadavg"));
        let read = file.parse(files.procfs(), procfs::loadavg::parse)?;
        let missing =
            || Failure::Missing(Missing::new("load averages", "there is no /proc/loadavg"));
        self.load = Some(read.ok_or_else(missing)?.load);
        Ok(())
    }

    fn write(&self, out: &mut Families<'_>) {
        let Some([one, five, fifteen]) = self.load else { return };
        out.gauge("node_load1", "1m load average.", one);
        out.gauge("node_load5", "5m load average.", five);
        out.gauge("node_load15", "15m load average.", fifteen);
    }
}
