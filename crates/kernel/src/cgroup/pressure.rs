//! Pressure stall information of a group: cpu.pressure, memory.pressure, io.pressure (v2, and on a
//! hybrid machine the v2 side).

use super::text;
use crate::Unexpected;

/// How long tasks were stalled.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stall {
    /// Percent of the last 10 seconds.
    pub avg10: f32,
    /// Percent of the last minute.
    pub avg60: f32,
    /// Percent of the last five minutes.
    pub avg300: f32,
    /// Microseconds since the group was made.
    pub total_us: u64,
}

/// One resource's pressure.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pressure {
    /// Some task was stalled.
    pub some: Stall,
    /// All tasks that could have run were stalled; `None` where the kernel does not say (of the CPU
    /// before 5.13).
    pub full: Option<Stall>,
}

impl Pressure {
    /// Parses a pressure file.
    pub fn parse(bytes: &[u8]) -> Result<Pressure, Unexpected> {
        let mut pressure = Pressure::default();
        for (i, line) in text::lines(bytes) {
            let unexpected = || Unexpected::new(i, line, "pressure averages and a total");
            let mut words = text::words(line);
            let kind = words.next();
            let mut stall = Stall::default();
            for word in words {
                let Some(equals) = word.iter().position(|&b| b == b'=') else { continue };
                let value = &word[equals + 1..];
                match &word[..equals] {
                    b"avg10" => stall.avg10 = percent(value).ok_or_else(unexpected)?,
                    b"avg60" => stall.avg60 = percent(value).ok_or_else(unexpected)?,
                    b"avg300" => stall.avg300 = percent(value).ok_or_else(unexpected)?,
                    b"total" => stall.total_us = text::number(value).ok_or_else(unexpected)?,
                    _ => {}
                }
            }
            match kind {
                Some(b"some") => pressure.some = stall,
                Some(b"full") => pressure.full = Some(stall),
                _ => {}
            }
        }
        Ok(pressure)
    }
}

/// `12.34`: the kernel writes two decimals.
fn percent(bytes: &[u8]) -> Option<f32> {
    let dot = bytes.iter().position(|&b| b == b'.').unwrap_or(bytes.len());
    let whole = text::number(&bytes[..dot])?;
    let rest = bytes.get(dot + 1..).unwrap_or(b"");
    let decimals = if rest.is_empty() { 0 } else { text::number(rest)? };
    Some(whole as f32 + decimals as f32 / 10f32.powi(rest.len().min(9) as i32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pressure_file() {
        let p = Pressure::parse(b"some avg10=0.29 avg60=4.10 avg300=2.16 total=15651661\nfull avg10=0.00 avg60=0.00 avg300=100.00 total=7\n").unwrap();
        assert_eq!((p.some.avg10, p.some.avg60, p.some.total_us), (0.29, 4.1, 15_651_661));
        assert_eq!(p.full.map(|f| (f.avg300, f.total_us)), Some((100.0, 7)));
        let old = Pressure::parse(b"some avg10=0.00 avg60=0.00 avg300=0.00 total=1\n").unwrap();
        assert_eq!((old.some.total_us, old.full), (1, None));
        assert!(Pressure::parse(b"some avg10=x total=1\n").is_err());
    }
}
