//! `/proc/loadavg`.

use crate::Unexpected;
use crate::parse::{fields, float, number};

/// What `/proc/loadavg` says.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Loadavg {
    /// Load over 1, 5 and 15 minutes.
    pub load: [f64; 3],
    /// Scheduling entities that may run now.
    pub runnable: u64,
    /// All that exist.
    pub entities: u64,
}

/// Reads `0.20 0.18 0.12 1/80 11206`.
pub fn parse(text: &[u8]) -> Result<Loadavg, Unexpected> {
    let bad = |value: &[u8], expected| Unexpected::new(1, value, expected);
    let mut fields = fields(text);
    let mut loadavg = Loadavg::default();
    for load in &mut loadavg.load {
        let field = fields.next().unwrap_or_default();
        *load = float(field).ok_or_else(|| bad(field, "a load average"))?;
    }
    let tasks = fields.next().unwrap_or_default();
    if let Some(slash) = tasks.iter().position(|b| *b == b'/') {
        let part = |p: &[u8]| number(p).ok_or_else(|| bad(tasks, "runnable/all"));
        loadavg.runnable = part(&tasks[..slash])?;
        loadavg.entities = part(&tasks[slash + 1..])?;
    }
    Ok(loadavg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_refuses() {
        let read = parse(b"0.20 0.18 0.12 1/80 11206\n").expect("parses");
        assert_eq!(read, Loadavg { load: [0.20, 0.18, 0.12], runnable: 1, entities: 80 });
        let error = parse(b"0.20 x\n").expect_err("no number");
        assert_eq!(error.to_string(), "line 1: \"x\" is not a load average");
        assert!(parse(b"1 2 3 4/x\n").is_err());
    }
}
