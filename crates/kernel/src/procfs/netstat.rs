//! `/proc/net/netstat`, `/proc/net/snmp` (a line of names, a line of values) and `/proc/net/snmp6` (a
//! name and a value on each line).

use crate::Unexpected;
use crate::parse::{fields, lines, number, signed};

/// Calls `visit(protocol, field, value)` for each value of netstat or snmp, in the order of the file:
/// `("TcpExt", "ListenDrops", 3.0)`.
pub fn each(text: &[u8], mut visit: impl FnMut(&[u8], &[u8], f64)) -> Result<(), Unexpected> {
    let mut all = lines(text).enumerate();
    while let Some((index, names)) = all.next() {
        let mut names = fields(names);
        let Some(protocol) = names.next() else { continue };
        let (_, values) = all.next().unwrap_or_default();
        let mut values = fields(values);
        let bad = |line, value, expected| Unexpected::new(line, value, expected);
        if values.next() != Some(protocol) {
            return Err(bad(index + 2, protocol, "followed by a line of its values"));
        }
        let protocol = protocol.strip_suffix(b":").unwrap_or(protocol);
        for name in names {
            let digits = values.next().unwrap_or_default();
            visit(protocol, name, value(digits, index + 2)?);
        }
        if let Some(extra) = values.next() {
            return Err(bad(index + 2, extra, "a value with a name"));
        }
    }
    Ok(())
}

/// The same of snmp6: `("Ip6", "InReceives", 1.0)`. Lines without a 6 in their name are passed over.
pub fn each6(text: &[u8], mut visit: impl FnMut(&[u8], &[u8], f64)) -> Result<(), Unexpected> {
    for (index, line) in lines(text).enumerate() {
        let mut parts = fields(line);
        let (Some(name), Some(digits)) = (parts.next(), parts.next()) else { continue };
        let Some(six) = name.iter().position(|b| *b == b'6') else { continue };
        let (protocol, field) = name.split_at(six + 1);
        visit(protocol, field, value(digits, index + 1)?);
    }
    Ok(())
}

fn value(digits: &[u8], line: usize) -> Result<f64, Unexpected> {
    let value = number(digits).map(|n| n as f64).or_else(|| signed(digits).map(|n| n as f64));
    value.ok_or_else(|| Unexpected::new(line, digits, "a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &[u8], six: bool) -> Result<Vec<(String, f64)>, Unexpected> {
        let mut seen = Vec::new();
        let name = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        let visit = |p: &[u8], f: &[u8], v| seen.push((name(p) + "_" + &name(f), v));
        if six {
            each6(text, visit)?
        } else {
            each(text, visit)?
        }
        Ok(seen)
    }

    #[test]
    fn pairs_names_with_values() {
        let read = all(b"Tcp: MaxConn InSegs\nTcp: -1 18446744073709551615\n", false);
        let expected = vec![("Tcp_MaxConn".into(), -1.0), ("Tcp_InSegs".into(), u64::MAX as f64)];
        assert_eq!(read, Ok(expected));
        assert!(all(b"Tcp: A B\nTcp: 1\n", false).is_err());
        assert!(all(b"Tcp: A\nTcp: 1 2\n", false).is_err());
        assert!(all(b"Tcp: A\nUdp: 1\n", false).is_err());
        assert!(all(b"Tcp: A\n", false).is_err());
        let read = all(b"Ip6InReceives  \t5\nIcmp6OutMsgs 2\nodd 3\n", true);
        assert_eq!(read, Ok(vec![("Ip6_InReceives".into(), 5.0), ("Icmp6_OutMsgs".into(), 2.0)]));
    }
}
