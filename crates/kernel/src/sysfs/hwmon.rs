//! `/sys/class/hwmon`: sensors of temperature, fans, voltage, current and power (kernel
//! `Documentation/hwmon/sysfs-interface.rst`).

use super::read_text;
use crate::{Dir, Error};
use std::path::Path;

const FOLDER: &str = "class/hwmon";

/// The kinds of sensors that are read.
const KINDS: [&str; 14] = [
    "vrm",
    "beep_enable",
    "update_interval",
    "in",
    "cpu",
    "fan",
    "pwm",
    "temp",
    "curr",
    "power",
    "energy",
    "humidity",
    "intrusion",
    "freq",
];

/// A chip with sensors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chip {
    /// The name of its folder: `hwmon0`.
    pub folder: String,
    /// What its driver calls it; `None` where it does not.
    pub name: Option<String>,
    /// The folder of its device and the one above it: `("platform", "coretemp.0")`.
    pub device: Option<(String, String)>,
    /// Its attributes, sorted by their names.
    pub attributes: Vec<Attribute>,
}

/// One file of a chip: `temp1_crit` is kind `temp`, number 1, property `crit`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attribute {
    /// What is measured.
    pub kind: String,
    /// Which sensor of this kind, 0 where the name has no number.
    pub number: u32,
    /// `input`, `max`, `label`, ...; empty for a file without an underscore.
    pub property: String,
    /// Its content without the line end.
    pub value: String,
}

/// Reads all chips; attributes that cannot be read are left out. False where this kernel has no hwmon.
pub fn read(sysfs: &Dir, chips: &mut Vec<Chip>, buffer: &mut Vec<u8>) -> Result<bool, Error> {
    chips.clear();
    let mut names = Vec::new();
    if !sysfs.names(FOLDER, &mut names)? {
        return Ok(false);
    }
    for folder in names {
        let Some(dir) = sysfs.open_dir(&format!("{FOLDER}/{folder}"))? else { continue };
        let mut chip = Chip { name: read_text(&dir, "name", buffer), ..Chip::default() };
        read_attributes(&dir, &mut chip.attributes, buffer)?;
        if let Some(device) = dir.open_dir("device")? {
            // Where drivers put them before Linux 2.6.
            read_attributes(&device, &mut chip.attributes, buffer)?;
            chip.device = device_names(dir.path());
        }
        chip.folder = folder;
        chips.push(chip);
    }
    Ok(true)
}

/// The last two parts of the path to which `device` leads.
fn device_names(folder: &Path) -> Option<(String, String)> {
    let real = folder.join("device").canonicalize().ok()?;
    let part = |p: &Path| p.file_name().map(|n| n.to_string_lossy().into_owned());
    Some((real.parent().and_then(part).unwrap_or_default(), part(&real)?))
}

fn read_attributes(
    dir: &Dir,
    attributes: &mut Vec<Attribute>,
    buffer: &mut Vec<u8>,
) -> Result<(), Error> {
    let mut names = Vec::new();
    dir.names(".", &mut names)?;
    for name in names {
        let Some((kind, number, property)) = split_name(&name) else { continue };
        if !KINDS.contains(&kind) || !dir.read(&name, buffer).unwrap_or(false) {
            continue;
        }
        let value = String::from_utf8_lossy(buffer).trim_matches('\n').to_string();
        let same = |a: &Attribute| a.kind == kind && a.number == number && a.property == property;
        match attributes.iter_mut().find(|a| same(a)) {
            Some(attribute) => attribute.value = value,
            None => attributes.push(Attribute {
                kind: kind.into(),
                number,
                property: property.into(),
                value,
            }),
        }
    }
    Ok(())
}

/// Splits `temp1_crit` into `("temp", 1, "crit")`; `beep_enable` has neither number nor property.
pub fn split_name(name: &str) -> Option<(&str, u32, &str)> {
    let digits = name.find(|c: char| c.is_ascii_digit()).unwrap_or(name.len());
    let (kind, rest) = name.split_at(digits);
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (digits, property) = rest.split_at(end);
    if kind.is_empty() {
        return None;
    }
    let number = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    match property.strip_prefix('_') {
        Some(property) if !property.is_empty() => Some((kind, number, property)),
        _ if property.is_empty() => Some((kind, number, "")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_names() {
        assert_eq!(split_name("temp1_crit_alarm"), Some(("temp", 1, "crit_alarm")));
        assert_eq!(split_name("pwm2"), Some(("pwm", 2, "")));
        assert_eq!(split_name("beep_enable"), Some(("beep_enable", 0, "")));
        assert_eq!(split_name("1_x"), None);
        assert_eq!(split_name("temp1x"), None);
        assert_eq!(split_name("temp99999999999_input"), None);
    }
}
