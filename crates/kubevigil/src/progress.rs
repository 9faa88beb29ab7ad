//! How far a command is, on a terminal: one line on standard error that is written over. Elsewhere nothing.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// The line is written so often at most.
const EVERY: Duration = Duration::from_millis(100);

/// The progress of one command.
pub struct Line {
    terminal: bool,
    shown: Option<Instant>,
}

impl Line {
    /// A line that is empty so far.
    pub fn new() -> Line {
        Line { terminal: std::io::stderr().is_terminal(), shown: None }
    }

    /// Shows how much of the whole is done; with `total` 0 only what.
    pub fn show(&mut self, what: &str, done: u64, total: u64) {
        if !self.terminal || self.shown.is_some_and(|s| s.elapsed() < EVERY) {
            return;
        }
        self.shown = Some(Instant::now());
        let percent = done.min(total).saturating_mul(100).checked_div(total);
        let percent = percent.map_or(String::new(), |p| format!(" {p} %"));
        // Progress that cannot be shown is no reason to fail.
        let _ = write!(std::io::stderr(), "\r\x1b[K{what}{percent}");
    }

    /// Takes the line away, so that other text can follow.
    pub fn clear(&mut self) {
        if self.shown.take().is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.clear();
    }
}

/// A count with its thousands apart: `1,234,567`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes for people: `1.5 MiB`.
pub fn bytes(number: u64) -> String {
    let (mut number, mut unit) = (number as f64, 0);
    while number >= 1024.0 && unit < 4 {
        number /= 1024.0;
        unit += 1;
    }
    let places = usize::from(unit > 0);
    format!("{number:.places$} {}", ["B", "KiB", "MiB", "GiB", "TiB"][unit])
}

/// A time, milliseconds since the Unix epoch, as `2026-11-21 20:41:14 UTC`.
pub fn time(time_ms: i64) -> String {
    let (days, second) = (time_ms.div_euclid(86_400_000), time_ms.rem_euclid(86_400_000) / 1000);
    // Days to a date of the Gregorian calendar, in eras of 400 years that begin with March.
    let shifted = days + 719_468;
    let (era, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let date = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    let (h, m, s) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{date:02} {h:02}:{m:02}:{s:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!(
            ["0", "999", "1,000", "1,234,567"],
            [0, 999, 1000, 1_234_567].map(count).as_slice()
        );
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1_572_864), "1.5 MiB");
        assert_eq!(time(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(time(1_709_210_096_999), "2024-02-29 12:34:56 UTC");
        assert_eq!(time(-1), "1969-12-31 23:59:59 UTC");
    }
}
