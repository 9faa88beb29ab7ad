//! What udev keeps of a block device: the `E:` lines of `/run/udev/data/bMAJOR:MINOR` (udevadm(8)).

use kernel::Dir;
use std::collections::HashMap;

/// The properties of a device; empty where udev knows nothing.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Properties(HashMap<String, String>);

impl Properties {
    /// Reads what udev keeps.
    pub fn read(udev: &Dir, major: u32, minor: u32) -> Properties {
        let mut text = Vec::new();
        match udev.read(&format!("b{major}:{minor}"), &mut text) {
            Ok(true) => Properties::parse(&text),
            // Udev's data serve labels only; that a file of them cannot be read hides nothing else.
            _ => Properties::default(),
        }
    }

    fn parse(text: &[u8]) -> Properties {
        let text = String::from_utf8_lossy(text);
        let pairs = text.lines().filter_map(|l| l.strip_prefix("E:")?.split_once('='));
        Properties(pairs.map(|(name, value)| (name.into(), value.into())).collect())
    }

    /// A property; empty where there is none.
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// The first of several that is not empty.
    pub fn first(&self, names: &[&str]) -> &str {
        names.iter().map(|n| self.get(n)).find(|v| !v.is_empty()).unwrap_or("")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_properties() {
        let p = Properties::parse(b"S:disk/by-id/x\nE:ID_SERIAL=a=b\nE:ID_MODEL=\nI:7\nE:bad\n");
        assert_eq!(p.get("ID_SERIAL"), "a=b");
        assert_eq!(p.first(&["ID_MODEL", "NOT", "ID_SERIAL"]), "a=b");
        assert_eq!(p.get("bad"), "");
    }
}
