//! `loadavg`: the load averages of `/proc/loadavg`.

use super::Collector;
use crate::{Failure, Families, Files};
use kernel::{KeptFile, procfs};

pub(super) struct Loadavg {
    file: KeptFile,
    load: Option<[f64; 3]>,
}

impl Default for Loadavg {
    fn default() -> Loadavg {
        Loadavg { file: KeptFile::new("loadavg"), load: None }
    }
}

impl Collector for Loadavg {
    fn read(&mut self, files: &mut Files) -> Result<(), Failure> {
        self.load = None;
        let read = self.file.parse(files.procfs(), procfs::loadavg::parse)?;
        self.load =
            Some(read.ok_or_else(|| Failure::absent("load averages", "/proc/loadavg"))?.load);
        Ok(())
    }

    fn write(&self, out: &mut Families<'_>) {
        let Some([one, five, fifteen]) = self.load else { return };
        out.gauge("node_load1", "1m load average.", one);
        out.gauge("node_load5", "5m load average.", five);
        out.gauge("node_load15", "15m load average.", fifteen);
    }
}
