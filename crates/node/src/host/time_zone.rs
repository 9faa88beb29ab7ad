//! The time zone of this process: `TZ`, else `/etc/localtime`, else UTC. The file format is TZif
//! (RFC 9636), with the POSIX rule in its last line for times after the last transition.

use std::path::PathBuf;

/// No zone file is longer.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Offsets and names by time.
#[derive(Debug, Default)]
pub(super) struct TimeZone {
    /// (first second since the Unix epoch, index of `types`), sorted.
    transitions: Vec<(i64, usize)>,
    /// Offset in seconds east of Greenwich and name.
    types: Vec<(i32, String)>,
    rule: Option<Rule>,
}

impl TimeZone {
    /// The zone that the environment and the machine say.
    pub fn of_this_process() -> TimeZone {
        let path = match std::env::var("TZ") {
            Err(_) => PathBuf::from("/etc/localtime"),
            Ok(zone) => {
                let zone = zone.strip_prefix(':').unwrap_or(&zone);
                if zone.is_empty() || zone.split('/').any(|part| part == "..") {
                    return TimeZone::default();
                }
                PathBuf::from("/usr/share/zoneinfo").join(zone)
            }
        };
        let short = std::fs::metadata(&path).is_ok_and(|m| m.len() <= FILE_BYTES_MAX);
        let file = if short { std::fs::read(&path).unwrap_or_default() } else { Vec::new() };
        TimeZone::parse(&file).unwrap_or_default()
    }

    /// Reads a TZif file; `None` where it is none.
    fn parse(file: &[u8]) -> Option<TimeZone> {
        let header = Header::parse(file)?;
        if header.version == 0 {
            return header.body(file, 44, 4).map(|(zone, _)| zone);
        }
        // Version 2 and later repeat everything with times of 64 bits.
        let second = 44 + header.length(4);
        let header = Header::parse(file.get(second..)?)?;
        let (mut zone, end) = header.body(file, second + 44, 8)?;
        let footer = file.get(end..)?.strip_prefix(b"\n")?;
        let footer = &footer[..footer.iter().position(|b| *b == b'\n')?];
        zone.rule = std::str::from_utf8(footer).ok().and_then(Rule::parse);
        Some(zone)
    }

    /// Offset in seconds east of Greenwich, and the zone's name, at a time in seconds since the Unix epoch.
    pub fn at(&self, seconds: i64) -> (i32, &str) {
        let next = self.transitions.partition_point(|t| t.0 <= seconds);
        let is_last = next == self.transitions.len();
        if let Some(rule) = self.rule.as_ref().filter(|_| is_last) {
            return rule.at(seconds);
        }
        // Before the first transition the first type holds.
        let index = next.checked_sub(1).map_or(0, |i| self.transitions[i].1);
        self.types.get(index).map_or((0, "UTC"), |(offset, name)| (*offset, name))
    }
}

/// The counts at the head of a TZif block.
struct Header {
    version: u8,
    isut: usize,
    isstd: usize,
    leap: usize,
    time: usize,
    kind: usize,
    chars: usize,
}

impl Header {
    fn parse(block: &[u8]) -> Option<Header> {
        let head = block.get(..44)?;
        let version = *head.strip_prefix(b"TZif")?.first()?;
        let count = |i: usize| {
            let bytes = head[20 + 4 * i..24 + 4 * i].try_into().ok()?;
            usize::try_from(u32::from_be_bytes(bytes)).ok().filter(|n| *n < 1 << 20)
        };
        Some(Header {
            version,
            isut: count(0)?,
            isstd: count(1)?,
            leap: count(2)?,
            time: count(3)?,
            kind: count(4)?,
            chars: count(5)?,
        })
    }

    fn length(&self, time_bytes: usize) -> usize {
        self.time * (time_bytes + 1)
            + self.kind * 6
            + self.chars
            + self.leap * (time_bytes + 4)
            + self.isstd
            + self.isut
    }

    /// Reads the block's body, which starts at `start`; gives where it ends, too.
    fn body(&self, file: &[u8], start: usize, time_bytes: usize) -> Option<(TimeZone, usize)> {
        let end = start + self.length(time_bytes);
        let body = file.get(start..end)?;
        let (times, rest) = body.split_at(self.time * time_bytes);
        let (indices, rest) = rest.split_at(self.time);
        let (kinds, rest) = rest.split_at(self.kind * 6);
        let chars = &rest[..self.chars];
        let time = |t: &[u8]| match time_bytes {
            4 => Some(i64::from(i32::from_be_bytes(t.try_into().ok()?))),
            _ => Some(i64::from_be_bytes(t.try_into().ok()?)),
        };
        let mut zone = TimeZone::default();
        for (t, index) in times.chunks_exact(time_bytes).zip(indices) {
            zone.transitions.push((time(t)?, usize::from(*index)));
        }
        for kind in kinds.chunks_exact(6) {
            let offset = i32::from_be_bytes(kind[..4].try_into().ok()?);
            let name = chars.get(usize::from(kind[5])..)?;
            let name = &name[..name.iter().position(|b| *b == 0)?];
            zone.types.push((offset, String::from_utf8_lossy(name).into_owned()));
        }
        Some((zone, end))
    }
}

/// A POSIX rule: `CET-1CEST,M3.5.0,M10.5.0/3`.
#[derive(Debug, PartialEq)]
struct Rule {
    standard: (i32, String),
    /// Summer time, with its first and its last moment of each year.
    summer: Option<((i32, String), Change, Change)>,
}

/// When in the year clocks change: seconds of local time after midnight of a day.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Change {
    day: Day,
    seconds: i64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Day {
    /// Month, week (5 the last), weekday (0 Sunday).
    Month(i64, i64, i64),
    /// Day of the year from 1, without 29 February.
    Julian(i64),
    /// Day of the year from 0.
    Zero(i64),
}

impl Rule {
    fn parse(text: &str) -> Option<Rule> {
        let (name, rest) = take_name(text)?;
        let (offset, rest) = take_time(rest)?;
        let standard = (i32::try_from(-offset).ok()?, name);
        if rest.is_empty() {
            return Some(Rule { standard, summer: None });
        }
        let (name, rest) = take_name(rest)?;
        let (offset, rest) = match rest.starts_with(',') {
            true => (i64::from(standard.0) + 3600, rest),
            false => take_time(rest).map(|(o, rest)| (-o, rest))?,
        };
        let mut changes = rest.strip_prefix(',')?.split(',').map(Change::parse);
        let (from, to) = (changes.next()??, changes.next()??);
        Some(Rule { standard, summer: Some(((i32::try_from(offset).ok()?, name), from, to)) })
    }

    fn at(&self, seconds: i64) -> (i32, &str) {
        let standard = (self.standard.0, self.standard.1.as_str());
        let Some((summer, from, to)) = &self.summer else { return standard };
        let year = year_of(seconds + i64::from(standard.0));
        let from = from.in_year(year) - i64::from(standard.0);
        let to = to.in_year(year) - i64::from(summer.0);
        let is_summer = match from < to {
            true => (from..to).contains(&seconds),
            // In the south summer lasts over the turn of the year.
            false => !(to..from).contains(&seconds),
        };
        if is_summer { (summer.0, &summer.1) } else { standard }
    }
}

impl Change {
    fn parse(text: &str) -> Option<Change> {
        let (day, seconds) = match text.split_once('/') {
            Some((day, time)) => (day, take_time(time).filter(|t| t.1.is_empty())?.0),
            None => (text, 7200),
        };
        let day = if let Some(parts) = day.strip_prefix('M') {
            let mut parts = parts.split('.').map(|p| p.parse::<i64>().ok());
            let (month, week, weekday) = (parts.next()??, parts.next()??, parts.next()??);
            let valid = (1..=12).contains(&month) && (1..=5).contains(&week);
            Some(Day::Month(month, week, weekday))
                .filter(|_| valid && (0..=6).contains(&weekday))?
        } else if let Some(day) = day.strip_prefix('J') {
            Day::Julian(day.parse().ok().filter(|d| (1..=365).contains(d))?)
        } else {
            Day::Zero(day.parse().ok().filter(|d| (0..=365).contains(d))?)
        };
        Some(Change { day, seconds })
    }

    /// Local seconds since the epoch.
    fn in_year(self, year: i64) -> i64 {
        let first = days_from_civil(year, 1, 1);
        let leap = days_from_civil(year + 1, 1, 1) - first == 366;
        let day = match self.day {
            Day::Zero(day) => first + day,
            Day::Julian(day) => first + day - 1 + i64::from(leap && day >= 60),
            Day::Month(month, week, weekday) => {
                let start = days_from_civil(year, month, 1);
                let (next_year, next_month) =
                    if month == 12 { (year + 1, 1) } else { (year, month + 1) };
                let end = days_from_civil(next_year, next_month, 1);
                // 1970-01-01 was a Thursday.
                let ahead = (weekday - (start + 4)).rem_euclid(7);
                let mut day = start + ahead + 7 * (week - 1);
                while day >= end {
                    day -= 7;
                }
                day
            }
        };
        day * 86_400 + self.seconds
    }
}

/// A zone's name, in angle brackets or not.
fn take_name(text: &str) -> Option<(String, &str)> {
    if let Some(rest) = text.strip_prefix('<') {
        let (name, rest) = rest.split_once('>')?;
        return Some((name.into(), rest));
    }
    let end = text.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(text.len());
    (end >= 3).then(|| (text[..end].into(), &text[end..]))
}

/// `[+-]hh[:mm[:ss]]` in seconds.
fn take_time(text: &str) -> Option<(i64, &str)> {
    let (sign, text) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = text.find(|c: char| !c.is_ascii_digit() && c != ':').unwrap_or(text.len());
    let mut seconds = 0;
    let mut unit = 3600;
    for part in text[..end].split(':') {
        seconds += part.parse::<i64>().ok().filter(|n| *n < 1000)? * unit;
        unit /= 60;
    }
    Some((sign * seconds, &text[end..]))
}

/// Days between 1970-01-01 and a day of the Gregorian calendar.
pub(super) fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    // Years from March, so that the leap day is the last of its year.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The year in which a local second lies.
fn year_of(seconds: i64) -> i64 {
    let day = seconds.div_euclid(86_400);
    let mut year = 1970 + day.div_euclid(366);
    while days_from_civil(year + 1, 1, 1) <= day {
        year += 1;
    }
    year
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rules_hold() {
        let rule = Rule::parse("CET-1CEST,M3.5.0,M10.5.0/3").expect("parses");
        // Summer time 2026 begins on 29 March, 01:00 UTC, and ends on 25 October, 01:00 UTC.
        assert_eq!(rule.at(1_774_745_999), (3600, "CET"));
        assert_eq!(rule.at(1_774_746_000), (7200, "CEST"));
        assert_eq!(rule.at(1_792_889_999), (7200, "CEST"));
        assert_eq!(rule.at(1_792_890_000), (3600, "CET"));
        let south = Rule::parse("AEST-10AEDT,M10.1.0,M4.1.0/3").expect("parses");
        assert_eq!(south.at(1_767_225_600), (39_600, "AEDT"));
        assert_eq!(south.at(1_782_864_000), (36_000, "AEST"));
        assert_eq!(Rule::parse("<-03>3").map(|r| r.at(0).0), Some(-10_800));
        assert_eq!(Rule::parse("").is_none(), Rule::parse("X1").is_none());
    }

    #[test]
    fn nothing_known_is_utc() {
        assert_eq!(TimeZone::default().at(0), (0, "UTC"));
    }

    /// Each zone that is installed here, its file against its own rule and date(1).
    #[test]
    fn agrees_with_date() {
        for zone in ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Sydney"]
        {
            let Ok(file) = std::fs::read(format!("/usr/share/zoneinfo/{zone}")) else {
                assert!(std::env::var("CI").is_err(), "tzdata is missing: no zone {zone}");
                eprintln!("skipped {zone}: tzdata is not installed");
                continue;
            };
            let parsed = TimeZone::parse(&file).expect("a zone file");
            for seconds in [0, 1_000_000_000, 1_774_745_999, 1_792_890_000, 4_000_000_000_i64] {
                let date = std::process::Command::new("date")
                    .env("TZ", zone)
                    .args(["-d", &format!("@{seconds}"), "+%:::z %Z"])
                    .output()
                    .expect("date runs");
                let said = String::from_utf8_lossy(&date.stdout).trim().to_string();
                let (offset, name) = parsed.at(seconds);
                let (hours, minutes) = (offset.abs() / 3600, offset.abs() % 3600 / 60);
                let sign = if offset < 0 { '-' } else { '+' };
                let ours = match minutes {
                    0 => format!("{sign}{hours:02} {name}"),
                    _ => format!("{sign}{hours:02}:{minutes:02} {name}"),
                };
                assert_eq!(ours, said, "{zone} at {seconds}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_file_is_no_harm(file in prop::collection::vec(any::<u8>(), 0..200), at in any::<i32>()) {
            let with_magic = [b"TZif2", file.as_slice()].concat();
            for file in [file, with_magic] {
                if let Some(zone) = TimeZone::parse(&file) {
                    zone.at(i64::from(at));
                }
            }
        }

        #[test]
        fn any_rule_is_no_harm(text in "[A-Z<>,0-9./JM+:-]{0,30}", at in any::<i32>()) {
            if let Some(rule) = Rule::parse(&text) {
                rule.at(i64::from(at));
            }
        }
    }
}
