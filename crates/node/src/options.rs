//! What is collected, and from where.

use crate::{Error, host};
use kernel::Paths;
use std::path::PathBuf;

/// The options of a [`Node`](crate::Node). The defaults are node_exporter's.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Where the kernel's file systems are.
    pub paths: Paths,
    /// Which collectors are on.
    pub collectors: Collectors,
    /// Folders whose `*.prom` files are served (`--collector.textfile.directory`); patterns with `*`
    /// and `?` are allowed.
    pub textfile_directories: Vec<PathBuf>,
}

/// Which collectors are on: node_exporter's defaults, and what was changed of them.
#[derive(Clone, Debug, Default)]
pub struct Collectors {
    changed: Vec<(String, bool)>,
    defaults_off: bool,
}

impl Collectors {
    /// The names of all collectors of the host, in the order in which they are written.
    pub fn names() -> impl Iterator<Item = &'static str> {
        host::LIST.iter().map(|entry| entry.name)
    }

    /// No collector is on but those that are switched on by name (`--collector.disable-defaults`).
    pub fn disable_defaults(&mut self) {
        self.defaults_off = true;
    }

    /// Switches one on or off (`--collector.NAME`, `--no-collector.NAME`).
    pub fn set(&mut self, name: &str, on: bool) -> Result<(), Error> {
        if !Collectors::names().any(|known| known == name) {
            let known = Collectors::names().collect::<Vec<_>>().join(", ");
            return Err(Error::UnknownCollector { name: name.into(), known });
        }
        self.changed.push((name.into(), on));
        Ok(())
    }

    /// Whether one is on.
    pub fn is_on(&self, name: &str) -> bool {
        let changed = self.changed.iter().rev().find(|c| c.0 == name);
        changed.map_or(!self.defaults_off, |c| c.1)
    }
}
