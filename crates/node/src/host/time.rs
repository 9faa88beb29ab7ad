//! `time`: the clock, its zone and its source.

use super::Collector;
use super::decimals::Decimals;
use super::every::Every;
use super::time_zone::TimeZone;
use crate::{Failure, Families, Files};
use kernel::sysfs::clocksource::{self, Clocksource};
use model::Kind;
use std::time::{SystemTime, UNIX_EPOCH};

/// How often the zone's file and the clock sources are read.
const PERIOD_MS: i64 = 30_000;

#[derive(Default)]
pub(super) struct Time {
    refresh: Every,
    zone: TimeZone,
    sources: Vec<Clocksource>,
    numbers: Decimals,
    seconds: f64,
}

impl Collector for Time {
    fn read(&mut self, files: &mut Files) -> Result<(), Failure> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.seconds = now.as_nanos() as f64 / 1e9;
        if !self.refresh.is_due(files.now_ms(), PERIOD_MS) {
            return Ok(());
        }
        self.zone = TimeZone::of_this_process();
        self.sources.clear();
        if let Some(sysfs) = files.sysfs() {
            self.sources = clocksource::read(sysfs, &mut Vec::new())?;
        }
        self.numbers.set(0..self.sources.len() as u64);
        Ok(())
    }

    fn write(&self, out: &mut Families<'_>) {
        out.gauge("node_time_seconds", "System time in seconds since epoch (1970).", self.seconds);
        let name = "node_time_zone_offset_seconds";
        out.begin(name, "System time zone offset in seconds.", Kind::Gauge);
        let (offset, zone) = self.zone.at(self.seconds as i64);
        out.sample(name, &[("time_zone", zone)], f64::from(offset));

        let name = "node_time_clocksource_available_info";
        let help = "Available clocksources read from '/sys/devices/system/clocksource'.";
        out.begin(name, help, Kind::Gauge);
        for (device, source) in self.numbers.iter().zip(&self.sources) {
            for available in &source.available {
                out.sample(name, &[("clocksource", available), ("device", device)], 1.0);
            }
        }
        let name = "node_time_clocksource_current_info";
        let help = "Current clocksource read from '/sys/devices/system/clocksource'.";
        out.begin(name, help, Kind::Gauge);
        for (device, source) in self.numbers.iter().zip(&self.sources) {
            out.sample(name, &[("clocksource", &source.current), ("device", device)], 1.0);
        }
    }
}
