//! `thermal_zone`: temperatures of zones and states of cooling devices (`/sys/class/thermal`).

use super::Collector;
use super::every::Pace;
use crate::{Failure, Families, Files};
use kernel::sysfs::thermal::{self, Cooler, Zone};
use model::Kind;

#[derive(Default)]
pub(super) struct ThermalZone {
    pace: Pace,
    buffer: Vec<u8>,
    zones: Vec<Zone>,
    coolers: Vec<Cooler>,
}

impl Collector for ThermalZone {
    fn read(&mut self, files: &mut Files) -> Result<(), Failure> {
        let ThermalZone { pace, buffer, zones, coolers } = self;
        let Some(sysfs) = files.sysfs() else {
            return Err(Failure::absent("temperatures", "sysfs"));
        };
        pace.run(files.now_ms(), Ok(()), || {
            *zones = thermal::zones(sysfs, buffer)?;
            *coolers = thermal::coolers(sysfs, buffer)?;
            Ok(())
        })
    }

    fn write(&self, out: &mut Families<'_>) {
        let name = "node_thermal_zone_temp";
        out.begin(name, "Zone temperature in Celsius", Kind::Gauge);
        for zone in &self.zones {
            if let Some(temperature) = zone.temperature {
                let labels = [("type", zone.kind.as_str()), ("zone", &zone.number)];
                out.sample(name, &labels, temperature as f64 / 1000.0);
            }
        }
        let mut states = |name: &str, help: &str, state: fn(&Cooler) -> i64| {
            out.begin(name, help, Kind::Gauge);
            for cooler in &self.coolers {
                let labels = [("name", cooler.number.as_str()), ("type", &cooler.kind)];
                out.sample(name, &labels, state(cooler) as f64);
            }
        };
        states(
            "node_cooling_device_cur_state",
            "Current throttle state of the cooling device",
            |c| c.current,
        );
        states(
            "node_cooling_device_max_state",
            "Maximum throttle state of the cooling device",
            |c| c.maximum,
        );
    }
}
