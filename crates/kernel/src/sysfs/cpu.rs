//! `/sys/devices/system/cpu`: which processors there are, their topology and how often heat slowed them
//! down (`Documentation/ABI/testing/sysfs-devices-system-cpu`).

use super::{numbered, read_number};
use crate::parse::{number, trim};
use crate::{Dir, Error, KeptFile, Unexpected};

const FOLDER: &str = "devices/system/cpu";

/// No machine has more processors; a list that names more is not believed.
const CPUS_MAX: usize = 1 << 16;

/// Reads a list of processors: `0-3,8`.
pub fn parse_list(text: &[u8]) -> Result<Vec<u32>, Unexpected> {
    let text = trim(text);
    let mut cpus = Vec::new();
    for part in text.split(|b| *b == b',').filter(|p| !p.is_empty()) {
        let bad = || Unexpected::new(1, part, "a processor or a range of them");
        let one = |digits| number(digits).and_then(|n| u32::try_from(n).ok()).ok_or_else(bad);
        let mut ends = part.splitn(2, |b| *b == b'-');
        let first = one(ends.next().unwrap_or_default())?;
        let last = ends.next().map_or(Ok(first), one)?;
        if last as usize >= CPUS_MAX || cpus.len() > CPUS_MAX {
            return Err(bad());
        }
        cpus.extend(first..=last);
    }
    Ok(cpus)
}

/// A processor's files.
#[derive(Debug)]
pub struct Cpu {
    /// Its number as its folder writes it.
    pub number: String,
    /// The socket in which it is; `None` where this kernel does not say.
    pub package: Option<u64>,
    /// Its core within the socket.
    pub core: Option<u64>,
    online: Option<KeptFile>,
    core_throttles: Option<KeptFile>,
    package_throttles: Option<KeptFile>,
}

impl Cpu {
    /// Whether it is online; `None` where it cannot be switched off.
    pub fn is_online(&mut self, sysfs: &Dir) -> Option<bool> {
        kept_number(&mut self.online, sysfs).map(|n| n == 1)
    }

    /// How often heat slowed its core down.
    pub fn core_throttles(&mut self, sysfs: &Dir) -> Option<u64> {
        kept_number(&mut self.core_throttles, sysfs)
    }

    /// How often heat slowed its socket down.
    pub fn package_throttles(&mut self, sysfs: &Dir) -> Option<u64> {
        kept_number(&mut self.package_throttles, sysfs)
    }
}

fn kept_number(file: &mut Option<KeptFile>, sysfs: &Dir) -> Option<u64> {
    let text = file.as_mut()?.read(sysfs).ok()??;
    number(trim(text))
}

/// All processors that the kernel knows, online or not, in the order of their folders' names.
pub fn list(sysfs: &Dir) -> Result<Vec<Cpu>, Error> {
    let mut buffer = Vec::new();
    let mut cpus = Vec::new();
    for (folder, digits) in numbered(sysfs, FOLDER, "cpu")? {
        let path = |file: &str| format!("{FOLDER}/{folder}/{file}");
        let mut topology = |file| read_number(sysfs, &path(file), &mut buffer);
        let package = topology("topology/physical_package_id")?;
        let core = topology("topology/core_id")?;
        // Files that do not exist now are not asked for each round; the list is made anew now and then.
        let mut kept = |file| {
            let path = path(file);
            let found = sysfs.read(&path, &mut buffer).unwrap_or(false);
            found.then(|| KeptFile::new(path))
        };
        cpus.push(Cpu {
            number: digits,
            package,
            core,
            online: kept("online"),
            core_throttles: kept("thermal_throttle/core_throttle_count"),
            package_throttles: kept("thermal_throttle/package_throttle_count"),
        });
    }
    Ok(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_lists() {
        assert_eq!(parse_list(b"0-3,8\n"), Ok(vec![0, 1, 2, 3, 8]));
        assert_eq!(parse_list(b"\n"), Ok(vec![]));
        assert!(parse_list(b"0-4294967295").is_err() && parse_list(b"1-x").is_err());
        assert_eq!(parse_list(b"3-1"), Ok(vec![]));
    }

    proptest! {
        #[test]
        fn lists_agree_with_a_naive_reader(ranges in prop::collection::vec((0u32..99, 0u32..5), 0..5)) {
            let text: Vec<String> = ranges.iter().map(|(a, n)| {
                if *n == 0 { a.to_string() } else { format!("{a}-{}", a + n) }
            }).collect();
            let naive: Vec<u32> = ranges.iter().flat_map(|(a, n)| *a..=a + n).collect();
            prop_assert_eq!(parse_list(text.join(",").as_bytes()), Ok(naive));
        }
    }
}
