//! `filefd`: open files of the whole machine (`/proc/sys/fs/file-nr`).

use super::Collector;
use crate::{Failure, Families, Files};
use kernel::parse::{fields, number};
use kernel::{KeptFile, Unexpected};

pub(super) struct Filefd {
    file: KeptFile,
    /// Allocated, most allowed.
    read: Option<(u64, u64)>,
}

impl Default for Filefd {
    fn default() -> Filefd {
        Filefd { file: KeptFile::new("sys/fs/file-nr"), read: None }
    }
}

fn parse(text: &[u8]) -> Result<(u64, u64), Unexpected> {
    let mut parts = fields(text);
    let numbers = number(parts.next().unwrap_or_default()).zip(parts.nth(1).and_then(number));
    numbers.ok_or_else(|| Unexpected::new(1, text, "three numbers"))
}

impl Collector for Filefd {
    fn read(&mut self, files: &mut Files) -> Result<(), Failure> {
        self.read = None;
        self.read = self.file.parse(files.procfs(), parse)?;
        match self.read {
            Some(_) => Ok(()),
            None => Err(Failure::absent("open files", "/proc/sys/fs/file-nr")),
        }
    }

    fn write(&self, out: &mut Families<'_>) {
        let Some((allocated, maximum)) = self.read else { return };
        let help = "File descriptor statistics: allocated.";
        out.gauge("node_filefd_allocated", help, allocated as f64);
        let help = "File descriptor statistics: maximum.";
        out.gauge("node_filefd_maximum", help, maximum as f64);
    }
}
