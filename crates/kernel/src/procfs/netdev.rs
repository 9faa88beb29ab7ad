//! `/proc/net/dev` and `/proc/PID/net/dev`: counters of network interfaces.

use crate::Unexpected;
use crate::parse::{fields, lines, number, trim};

/// One interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Received: bytes, packets, errors, dropped, fifo errors, frame errors, compressed, multicast.
    pub receive: [u64; 8],
    /// Sent: bytes, packets, errors, dropped, fifo errors, collisions, carrier errors, compressed.
    pub transmit: [u64; 8],
}

/// Reads the file anew into `interfaces`; names are kept where they come in the same order.
pub fn read(text: &[u8], interfaces: &mut Vec<Interface>) -> Result<(), Unexpected> {
    let mut count = 0;
    for (index, line) in lines(text).enumerate().skip(2) {
        if line.is_empty() {
            continue;
        }
        let bad = |value, expected| Unexpected::new(index + 1, value, expected);
        let colon = line.iter().rposition(|b| *b == b':');
        let colon = colon.ok_or_else(|| bad(line, "an interface and a colon"))?;
        let name = trim(&line[..colon]);
        if interfaces.get(count).is_none_or(|i| i.name.as_bytes() != name) {
            interfaces.truncate(count);
            let name = String::from_utf8_lossy(name).into_owned();
            interfaces.push(Interface { name, ..Interface::default() });
        }
        let mut parts = fields(&line[colon + 1..]);
        let interface = &mut interfaces[count];
        for value in interface.receive.iter_mut().chain(&mut interface.transmit) {
            let digits = parts.next().unwrap_or_default();
            *value = number(digits).ok_or_else(|| bad(digits, "a number"))?;
        }
        count += 1;
    }
    interfaces.truncate(count);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_a_naive_reader(
            rows in prop::collection::vec(("[a-z0-9@.]{1,12}", prop::array::uniform16(any::<u64>())), 0..6),
            before in prop::collection::vec("[a-z]{1,3}", 0..6),
        ) {
            let mut text = String::from("Inter-| Receive | Transmit\n face |bytes\n");
            for (name, values) in &rows {
                let values: Vec<_> = values.iter().map(u64::to_string).collect();
                text += &format!("{name:>6}: {}\n", values.join(" "));
            }
            // What an earlier round left must not show.
            let mut read_in: Vec<Interface> =
                before.into_iter().map(|name| Interface { name, ..Default::default() }).collect();
            read(text.as_bytes(), &mut read_in).expect("parses");
            let naive: Vec<(String, Vec<u64>)> = text.lines().skip(2).map(|l| {
                let (name, rest) = l.split_once(':').expect("colon");
                (name.trim().to_string(),
                 rest.split_whitespace().map(|v| v.parse().expect("number")).collect())
            }).collect();
            let ours: Vec<(String, Vec<u64>)> = read_in.iter()
                .map(|i| (i.name.clone(), i.receive.iter().chain(&i.transmit).copied().collect()))
                .collect();
            prop_assert_eq!(ours, naive);
        }
    }

    #[test]
    fn names_the_place_of_an_error() {
        let error = read(b"a\nb\neth0: 1 2 x\n", &mut Vec::new()).expect_err("no number");
        assert_eq!(error.to_string(), "line 3: \"x\" is not a number");
        assert!(read(b"a\nb\neth0 1 2\n", &mut Vec::new()).is_err());
    }
}
