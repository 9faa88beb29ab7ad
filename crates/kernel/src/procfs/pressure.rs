//! `/proc/pressure/*` and a control group's `*.pressure` (kernel `Documentation/accounting/psi.rst`).

use crate::Unexpected;
use crate::parse::{fields, float, lines, number};

/// One line of a pressure file.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stall {
    /// Share of time in per cent, averaged over 10 s.
    pub avg10: f64,
    /// Averaged over 60 s.
    pub avg60: f64,
    /// Averaged over 300 s.
    pub avg300: f64,
    /// Microseconds in all.
    pub total_us: u64,
}

/// What a pressure file says.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pressure {
    /// At least one task was held up.
    pub some: Option<Stall>,
    /// All tasks were.
    pub full: Option<Stall>,
}

/// Reads a pressure file.
pub fn parse(text: &[u8]) -> Result<Pressure, Unexpected> {
    let mut pressure = Pressure::default();
    for (index, line) in lines(text).enumerate() {
        let mut parts = fields(line);
        let place = match parts.next() {
            Some(b"some") => &mut pressure.some,
            Some(b"full") => &mut pressure.full,
            _ => continue,
        };
        let mut stall = Stall::default();
        for part in parts {
            let bad = || Unexpected::new(index + 1, part, "a pressure value");
            let equals = part.iter().position(|b| *b == b'=').ok_or_else(bad)?;
            let value = &part[equals + 1..];
            match &part[..equals] {
                b"avg10" => stall.avg10 = float(value).ok_or_else(bad)?,
                b"avg60" => stall.avg60 = float(value).ok_or_else(bad)?,
                b"avg300" => stall.avg300 = float(value).ok_or_else(bad)?,
                b"total" => stall.total_us = number(value).ok_or_else(bad)?,
                _ => {}
            }
        }
        *place = Some(stall);
    }
    Ok(pressure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_lines() {
        let text = b"some avg10=3.88 avg60=41.69 avg300=0.00 total=277760442\n\
            full avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";
        let pressure = parse(text).expect("parses");
        let some = Stall { avg10: 3.88, avg60: 41.69, avg300: 0.0, total_us: 277_760_442 };
        assert_eq!(pressure.some, Some(some));
        assert_eq!(pressure.full.map(|f| f.total_us), Some(7));
        assert_eq!(parse(b"").map(|p| p.some), Ok(None));
        assert!(parse(b"some avg10\n").is_err() && parse(b"some total=x\n").is_err());
    }
}
