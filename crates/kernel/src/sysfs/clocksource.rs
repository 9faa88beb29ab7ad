//! `/sys/devices/system/clocksource`.

use super::{numbered, read_text};
use crate::{Dir, Error};

/// One clock source device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clocksource {
    /// The sources that could be used.
    pub available: Vec<String>,
    /// The one in use.
    pub current: String,
}

/// Reads all devices, in the order of their folders' names.
pub fn read(sysfs: &Dir, buffer: &mut Vec<u8>) -> Result<Vec<Clocksource>, Error> {
    let mut all = Vec::new();
    let folder = "devices/system/clocksource";
    for (name, _) in numbered(sysfs, folder, "clocksource")? {
        let mut text = |file: &str| {
            read_text(sysfs, &format!("{folder}/{name}/{file}"), buffer).unwrap_or_default()
        };
        let available = text("available_clocksource");
        let available = available.split_whitespace().map(String::from).collect();
        all.push(Clocksource { available, current: text("current_clocksource") });
    }
    Ok(all)
}
