//! `hwmon`: sensors of temperature, fans, voltage, current and power (`/sys/class/hwmon`).

use super::Collector;
use super::every::Pace;
use super::filter::Filter;
use crate::{Error, Failure, Families, Files, Missing, Options};
use kernel::sysfs::hwmon::{self, Attribute, Chip};
use model::Kind;

pub(super) struct Hwmon {
    chips_filter: Filter,
    sensors_filter: Filter,
    pace: Pace,
    buffer: Vec<u8>,
    chips: Vec<Chip>,
    found: bool,
    /// (chip, human name).
    names: Vec<(String, String)>,
    /// (chip, label, sensor).
    labels: Vec<[String; 3]>,
    /// Sorted by family.
    values: Vec<Value>,
}

struct Value {
    family: String,
    help: String,
    kind: Kind,
    chip: String,
    sensor: String,
    value: f64,
}

impl Hwmon {
    pub fn open(options: &Options) -> Result<Hwmon, Error> {
        Ok(Hwmon {
            chips_filter: Filter::open(options, "collector.hwmon.chip")?,
            sensors_filter: Filter::open(options, "collector.hwmon.sensor")?,
            pace: Pace::default(),
            buffer: Vec::new(),
            chips: Vec::new(),
            found: false,
            names: Vec::new(),
            labels: Vec::new(),
            values: Vec::new(),
        })
    }

    fn translate(&mut self) {
        self.names.clear();
        self.labels.clear();
        self.values.clear();
        let unique = unique_names(&self.chips);
        for (chip, name) in self.chips.iter().zip(unique) {
            let Some(name) = name.filter(|n| !self.chips_filter.ignores(n)) else { continue };
            let human = chip.name.as_deref().map(clean).filter(|n| !n.is_empty());
            if let Some(human) = human {
                self.names.push((name.clone(), human));
            }
            for group in sensors(chip) {
                let sensor = format!("{}{}", group[0].kind, group[0].number);
                if self.sensors_filter.ignores(&format!("{name};{sensor}")) {
                    continue;
                }
                let label = group.iter().find(|a| a.property == "label").map(|a| &a.value);
                if let Some(label) = label {
                    self.labels.push([name.clone(), label.clone(), sensor.clone()]);
                }
                self.values.extend(group.iter().filter_map(|a| value(a, &group, &name, &sensor)));
            }
        }
        self.values.sort_by(|a, b| a.family.cmp(&b.family));
    }
}

/// The attributes of each sensor together.
fn sensors(chip: &Chip) -> Vec<Vec<&Attribute>> {
    let mut groups: Vec<Vec<&Attribute>> = Vec::new();
    for attribute in &chip.attributes {
        let same = |g: &&mut Vec<&Attribute>| {
            g[0].kind == attribute.kind && g[0].number == attribute.number
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.push(attribute),
            None => groups.push(vec![attribute]),
        }
    }
    groups
}

/// The label of each chip: from its device, else its driver's name, else its folder; made unique where
/// chips share a device.
fn unique_names(chips: &[Chip]) -> Vec<Option<String>> {
    let bases: Vec<String> = chips.iter().map(base_name).collect();
    let name = |chip: &Chip| chip.name.clone().unwrap_or_default();
    let unique = |(chip, base): (&Chip, &String)| {
        if base.is_empty() {
            return None;
        }
        if bases.iter().filter(|b| *b == base).count() == 1 {
            return Some(base.clone());
        }
        let same_names =
            chips.iter().zip(&bases).filter(|(c, b)| *b == base && name(c) == name(chip)).count();
        let mut suffix = clean(&name(chip));
        if suffix.is_empty() || same_names > 1 {
            suffix = clean(&chip.folder);
        }
        Some(format!("{base}_{suffix}"))
    };
    chips.iter().zip(&bases).map(unique).collect()
}

fn base_name(chip: &Chip) -> String {
    if let Some((kind, device)) = &chip.device {
        let (kind, device) = (clean(kind), clean(device));
        if !kind.is_empty() && !device.is_empty() {
            return format!("{kind}_{device}");
        }
        if !device.is_empty() {
            return device;
        }
    }
    let name = chip.name.as_deref().map(clean).unwrap_or_default();
    if name.is_empty() { clean(&chip.folder) } else { name }
}

/// Lower case, everything but letters, digits, `:` and `_` made `_`, without `_` at the ends.
fn clean(name: &str) -> String {
    let keep = |c: char| matches!(c, 'a'..='z' | '0'..='9' | ':' | '_');
    let lower = name.to_lowercase();
    let cleaned: String = lower.chars().map(|c| if keep(c) { c } else { '_' }).collect();
    cleaned.trim_matches('_').to_string()
}

/// What an attribute becomes; `None` for labels and what is no number.
fn value(attribute: &Attribute, group: &[&Attribute], chip: &str, sensor: &str) -> Option<Value> {
    let Attribute { kind, property, value: text, .. } = attribute;
    let (kind, property) = (kind.as_str(), property.as_str());
    let mut sensor = sensor.to_string();
    let plain = |family: &str, help: &str, value| Value {
        family: family.into(),
        help: help.into(),
        kind: Kind::Gauge,
        chip: chip.into(),
        sensor: sensor.clone(),
        value,
    };
    let number = text.parse::<f64>().ok();
    match kind {
        "beep_enable" => {
            let on = f64::from(text == "1");
            return Some(plain("node_hwmon_beep_enabled", "Hardware beep enabled", on));
        }
        "vrm" => {
            let family = "node_hwmon_voltage_regulator_version";
            return Some(plain(family, "Hardware voltage regulator", number?));
        }
        "update_interval" => {
            let family = "node_hwmon_update_interval_seconds";
            return Some(plain(family, "Hardware monitor update interval", number? * 0.001));
        }
        _ => {}
    }
    if property == "label" {
        return None;
    }
    let number = number?;
    let has = |property: &str| group.iter().any(|a| a.property == property);
    let mut name = format!("node_hwmon_{kind}");
    if property == "input" {
        // The value itself, unless there is a file without any property too.
        if has("") {
            name += "_input";
        }
    } else if !property.is_empty() {
        name = format!("{name}_{}", clean(property));
    }
    let (suffix, help, value) = unit(kind, property, number)?;
    if kind == "freq" && property == "input" {
        let label = group.iter().find(|a| a.property == "label")?;
        sensor = clean(&label.value);
    }
    let kind =
        if kind == "energy" && suffix == "_joule_total" { Kind::Counter } else { Kind::Gauge };
    Some(Value { family: name + suffix, help, kind, chip: chip.into(), sensor, value })
}

/// The end of the family's name, its help and the value in that unit.
fn unit(kind: &str, property: &str, number: f64) -> Option<(&'static str, String, f64)> {
    let milli = number * 0.001;
    let micro = number / 1_000_000.0;
    Some(match (kind, property) {
        (_, "fault" | "alarm") => {
            ("", format!("Hardware sensor {property} status ({kind})"), number)
        }
        (_, "beep") => ("_enabled", "Hardware monitor sensor has beeping enabled".into(), number),
        ("in" | "cpu", _) => {
            ("_volts", format!("Hardware monitor for voltage ({property})"), milli)
        }
        ("temp", p) if p != "type" => {
            let p = if p.is_empty() { "input" } else { p };
            ("_celsius", format!("Hardware monitor for temperature ({p})"), milli)
        }
        ("curr", _) => ("_amps", format!("Hardware monitor for current ({property})"), milli),
        ("energy", _) => {
            ("_joule_total", format!("Hardware monitor for joules used so far ({property})"), micro)
        }
        ("power", "accuracy") => {
            ("", "Hardware monitor power meter accuracy, as a ratio".into(), micro)
        }
        ("power", "average_interval" | "average_interval_min" | "average_interval_max") => {
            let help = format!("Hardware monitor power usage update interval ({property})");
            ("_seconds", help, milli)
        }
        ("power", _) => {
            ("_watt", format!("Hardware monitor for power usage in watts ({property})"), micro)
        }
        ("humidity", _) => {
            let help = format!(
                "Hardware monitor for humidity, as a ratio (multiply with 100.0 to get the humidity as a \
                 percentage) ({property})"
            );
            ("", help, micro)
        }
        ("fan", "input" | "min" | "max" | "target") => (
            "_rpm",
            format!("Hardware monitor for fan revolutions per minute ({property})"),
            number,
        ),
        ("freq", "input") => {
            ("_freq_mhz", "Hardware monitor for GPU frequency in MHz".into(), micro)
        }
        _ => ("", format!("Hardware monitor {kind} element {property}"), number),
    })
}

impl Collector for Hwmon {
    fn read(&mut self, files: &mut Files) -> Result<(), Failure> {
        let Some(sysfs) = files.sysfs() else { return Err(Failure::absent("sensors", "sysfs")) };
        let Hwmon { pace, chips, buffer, found, .. } = self;
        let read = pace.run(files.now_ms(), None, || Some(hwmon::read(sysfs, chips, buffer)));
        if let Some(read) = read {
            *found = read?;
            self.translate();
        }
        if self.found {
            return Ok(());
        }
        Err(Failure::Missing(Missing::new("sensors", "this machine has no /sys/class/hwmon")))
    }

    fn write(&self, out: &mut Families<'_>) {
        let name = "node_hwmon_chip_names";
        out.begin(name, "Annotation metric for human-readable chip names", Kind::Gauge);
        for (chip, human) in &self.names {
            out.sample(name, &[("chip", chip), ("chip_name", human)], 1.0);
        }
        let name = "node_hwmon_sensor_label";
        out.begin(name, "Label for given chip and sensor", Kind::Gauge);
        for [chip, label, sensor] in &self.labels {
            out.sample(name, &[("chip", chip), ("label", label), ("sensor", sensor)], 1.0);
        }
        for family in self.values.chunk_by(|a, b| a.family == b.family) {
            let Some(first) = family.first() else { continue };
            out.begin(&first.family, &first.help, first.kind);
            for v in family {
                out.sample(&v.family, &[("chip", &v.chip), ("sensor", &v.sensor)], v.value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chips_of_one_device_are_told_apart() {
        let chip = |folder: &str, name: &str, device: Option<(&str, &str)>| Chip {
            folder: folder.into(),
            name: Some(name.into()),
            device: device.map(|(a, b)| (a.into(), b.into())),
            attributes: Vec::new(),
        };
        let wmi = Some(("platform", "Asus-NB.WMI"));
        let chips = [
            chip("hwmon0", "coretemp", Some(("platform", "coretemp.0"))),
            chip("hwmon1", "fan", wmi),
            chip("hwmon2", "sensors", wmi),
            chip("hwmon3", "sensors", wmi),
            chip("hwmon4", "-", None),
        ];
        let names: Vec<String> = unique_names(&chips).into_iter().flatten().collect();
        let expected = [
            "platform_coretemp_0",
            "platform_asus_nb_wmi_fan",
            "platform_asus_nb_wmi_hwmon2",
            "platform_asus_nb_wmi_hwmon3",
            "hwmon4",
        ];
        assert_eq!(names, expected);
    }
}
