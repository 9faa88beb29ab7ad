//! `/proc/net/arp`: the neighbour table of IPv4.

use crate::Unexpected;
use crate::parse::{fields, lines};

/// Calls `visit` with the device of each entry.
pub fn each_device(text: &[u8], mut visit: impl FnMut(&[u8])) -> Result<(), Unexpected> {
    for (index, line) in lines(text).enumerate().skip(1) {
        if line.is_empty() {
            continue;
        }
        let device = fields(line).nth(5);
        visit(device.ok_or_else(|| Unexpected::new(index + 1, line, "six columns"))?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_devices() {
        let mut seen = Vec::new();
        let text =
            b"IP address HW type\n10.0.0.1 0x1 0x2 aa:bb * eth0\n10.0.0.2 0x1 0x0 00 * br0\n";
        each_device(text, |d| seen.push(d.to_vec())).expect("parses");
        assert_eq!(seen, [b"eth0".to_vec(), b"br0".to_vec()]);
        assert!(each_device(b"h\n10.0.0.1 0x1\n", |_| ()).is_err());
    }
}
