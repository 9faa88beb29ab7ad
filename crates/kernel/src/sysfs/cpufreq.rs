//! `/sys/devices/system/cpu/cpuN/cpufreq` (kernel `Documentation/admin-guide/pm/cpufreq.rst`).

use super::{cpu, numbered, read_number, read_text};
use crate::{Dir, Error};

const FOLDER: &str = "devices/system/cpu";

/// The frequencies of one processor in kHz; `None` where this kernel, or this user, does not see one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cpufreq {
    /// The processor's number as its folder writes it.
    pub cpu: String,
    /// What the hardware says now.
    pub current: Option<u64>,
    /// What the hardware says of the last moments.
    pub average: Option<u64>,
    /// The least that the hardware can.
    pub minimum: Option<u64>,
    /// The most that the hardware can.
    pub maximum: Option<u64>,
    /// What the kernel believes it set.
    pub scaling_current: Option<u64>,
    /// The least that the policy allows.
    pub scaling_minimum: Option<u64>,
    /// The most that the policy allows.
    pub scaling_maximum: Option<u64>,
    /// The governor in charge; empty where there is none.
    pub governor: String,
    /// Those that could be.
    pub governors: Vec<String>,
}

/// Reads all processors that are online and have cpufreq.
pub fn read(sysfs: &Dir, buffer: &mut Vec<u8>) -> Result<Vec<Cpufreq>, Error> {
    let offline = match sysfs.read(&format!("{FOLDER}/offline"), buffer) {
        Ok(true) => cpu::parse_list(buffer).unwrap_or_default(),
        _ => Vec::new(),
    };
    let mut all = Vec::new();
    for (folder, digits) in numbered(sysfs, FOLDER, "cpu")? {
        if digits.parse().is_ok_and(|n: u32| offline.contains(&n)) {
            continue;
        }
        let Some(dir) = sysfs.open_dir(&format!("{FOLDER}/{folder}/cpufreq"))? else { continue };
        // cpuinfo_cur_freq is root's alone, and some drivers answer "<unknown>".
        let mut khz = |file| read_number(&dir, file, buffer).ok().flatten();
        all.push(Cpufreq {
            cpu: digits,
            current: khz("cpuinfo_cur_freq"),
            average: khz("cpuinfo_avg_freq"),
            minimum: khz("cpuinfo_min_freq"),
            maximum: khz("cpuinfo_max_freq"),
            scaling_current: khz("scaling_cur_freq"),
            scaling_minimum: khz("scaling_min_freq"),
            scaling_maximum: khz("scaling_max_freq"),
            governor: read_text(&dir, "scaling_governor", buffer).unwrap_or_default(),
            governors: read_text(&dir, "scaling_available_governors", buffer)
                .unwrap_or_default()
                .split(' ')
                .map(String::from)
                .collect(),
        });
    }
    Ok(all)
}
