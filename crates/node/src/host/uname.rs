//! `uname`: the machine's name and kernel.

use super::Collector;
use crate::{Failure, Families, Files};
use kernel::system;
use model::Kind;

#[derive(Default)]
pub(super) struct Uname {
    read: system::Uname,
}

impl Collector for Uname {
    fn read(&mut self, _: &mut Files) -> Result<(), Failure> {
        self.read = system::uname();
        Ok(())
    }

    fn write(&self, out: &mut Families<'_>) {
        let help = "Labeled system information as provided by the uname system call.";
        out.begin("node_uname_info", help, Kind::Gauge);
        let u = &self.read;
        let labels = [
            ("domainname", u.domainname.as_str()),
            ("machine", &u.machine),
            ("nodename", &u.nodename),
            ("release", &u.release),
            ("sysname", &u.sysname),
            ("version", &u.version),
        ];
        out.sample("node_uname_info", &labels, 1.0);
    }
}
