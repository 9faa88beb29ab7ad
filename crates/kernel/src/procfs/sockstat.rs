//! `/proc/net/sockstat` and `/proc/net/sockstat6`: sockets by protocol.

use crate::Unexpected;
use crate::parse::{fields, lines, signed};

/// Calls `visit(protocol, key, value)` for each pair: `("TCP", "inuse", 4)`.
pub fn each(text: &[u8], mut visit: impl FnMut(&[u8], &[u8], i64)) -> Result<(), Unexpected> {
    for (index, line) in lines(text).enumerate() {
        let mut parts = fields(line);
        let Some(protocol) = parts.next() else { continue };
        let protocol = protocol.strip_suffix(b":").unwrap_or(protocol);
        while let Some(key) = parts.next() {
            let digits = parts.next().unwrap_or_default();
            let value = signed(digits);
            let value = value.ok_or_else(|| Unexpected::new(index + 1, digits, "a number"))?;
            visit(protocol, key, value);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visits_pairs() {
        let mut seen = Vec::new();
        let text = b"sockets: used 290\nTCP: inuse 4 mem -1\n";
        each(text, |p, k, v| seen.push((p.to_vec(), k.to_vec(), v))).expect("parses");
        assert_eq!(seen[0], (b"sockets".to_vec(), b"used".to_vec(), 290));
        assert_eq!(seen[2], (b"TCP".to_vec(), b"mem".to_vec(), -1));
        assert!(each(b"TCP: inuse\n", |_, _, _| ()).is_err());
    }
}
