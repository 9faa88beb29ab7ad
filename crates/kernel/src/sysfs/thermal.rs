//! `/sys/class/thermal`: zones with a temperature, devices that cool
//! (`Documentation/ABI/testing/sysfs-class-thermal`).

use super::{numbered, read_text};
use crate::parse::signed;
use crate::{Dir, Error};

const FOLDER: &str = "class/thermal";

/// A zone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Zone {
    /// Its number, as its folder writes it.
    pub number: String,
    /// What it is: `x86_pkg_temp`.
    pub kind: String,
    /// Thousandths of a degree Celsius; `None` where the sensor does not answer.
    pub temperature: Option<i64>,
}

/// A device that cools.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cooler {
    /// Its number, as its folder writes it.
    pub number: String,
    /// What it is: `Processor`, `Fan`.
    pub kind: String,
    /// How much it cools now; -1 where it cannot say.
    pub current: i64,
    /// How much it can.
    pub maximum: i64,
}

/// Reads all zones.
pub fn zones(sysfs: &Dir, buffer: &mut Vec<u8>) -> Result<Vec<Zone>, Error> {
    let mut zones = Vec::new();
    for (name, number) in numbered(sysfs, FOLDER, "thermal_zone")? {
        let mut text = |file| read_text(sysfs, &format!("{FOLDER}/{name}/{file}"), buffer);
        let kind = text("type").unwrap_or_default();
        let temperature = text("temp").and_then(|t| signed(t.as_bytes()));
        zones.push(Zone { number, kind, temperature });
    }
    Ok(zones)
}

/// Reads all cooling devices that answer.
pub fn coolers(sysfs: &Dir, buffer: &mut Vec<u8>) -> Result<Vec<Cooler>, Error> {
    let mut coolers = Vec::new();
    for (name, number) in numbered(sysfs, FOLDER, "cooling_device")? {
        let mut text = |file| read_text(sysfs, &format!("{FOLDER}/{name}/{file}"), buffer);
        let Some(kind) = text("type") else { continue };
        let mut state = |file| text(file).and_then(|t| signed(t.as_bytes()));
        let (Some(current), Some(maximum)) = (state("cur_state"), state("max_state")) else {
            continue;
        };
        coolers.push(Cooler { number, kind, current, maximum });
    }
    Ok(coolers)
}
