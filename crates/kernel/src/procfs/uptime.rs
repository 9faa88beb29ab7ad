//! `/proc/uptime`.

use crate::Unexpected;
use crate::parse::{fields, float};

/// Seconds since boot.
pub fn parse(text: &[u8]) -> Result<f64, Unexpected> {
    let first = fields(text).next().unwrap_or_default();
    float(first).ok_or_else(|| Unexpected::new(1, first, "a number of seconds"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn reads_seconds() {
        assert_eq!(super::parse(b"350735.47 234388.90\n"), Ok(350_735.47));
        assert!(super::parse(b"\n").is_err());
    }
}
