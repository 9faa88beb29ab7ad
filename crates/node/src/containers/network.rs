//! Network counters of a group, from /proc/PID/net/dev of one of its processes.
//!
//! Follows cAdvisor: interfaces that begin with lo, veth, docker or nerdctl are not counted.

use kernel::{Unexpected, parse};

/// What is counted of an interface, in the order of [`Interface::counters`].
pub(super) const RECEIVE_BYTES: usize = 0;
pub(super) const RECEIVE_PACKETS: usize = 1;
pub(super) const RECEIVE_ERRORS: usize = 2;
pub(super) const RECEIVE_DROPPED: usize = 3;
pub(super) const TRANSMIT_BYTES: usize = 4;
pub(super) const TRANSMIT_PACKETS: usize = 5;
pub(super) const TRANSMIT_ERRORS: usize = 6;
pub(super) const TRANSMIT_DROPPED: usize = 7;

/// One interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Interface {
    pub name: String,
    pub counters: [u64; 8],
}

/// No namespace shows more; the rest is left out.
const INTERFACES_MAX: usize = 512;
const IGNORED_PREFIXES: [&[u8]; 4] = [b"lo", b"veth", b"docker", b"nerdctl"];
/// The columns of the counters, after the name.
const COLUMNS: [usize; 8] = [0, 1, 2, 3, 8, 9, 10, 11];

/// Parses a net/dev file over what was read before, so that nothing is allocated where the interfaces
/// are the same.
pub(super) fn parse_net_dev(
    bytes: &[u8],
    interfaces: &mut Vec<Interface>,
) -> Result<(), Unexpected> {
    let mut count = 0;
    for (i, line) in parse::lines(bytes).enumerate().skip(2) {
        let unexpected = || Unexpected::new(i + 1, line, "an interface and 16 counters");
        let colon = line.iter().rposition(|&b| b == b':').ok_or_else(unexpected)?;
        let name = parse::trim(&line[..colon]);
        let ignored = |prefix: &&[u8]| {
            name.len() >= prefix.len() && name[..prefix.len()].eq_ignore_ascii_case(prefix)
        };
        if IGNORED_PREFIXES.iter().any(ignored) || count == INTERFACES_MAX {
            continue;
        }
        let mut columns = [0; 16];
        let mut fields = parse::fields(&line[colon + 1..]);
        for column in &mut columns {
            *column = fields.next().and_then(parse::number).ok_or_else(unexpected)?;
        }
        if count == interfaces.len() {
            interfaces.push(Interface::default());
        }
        let interface = &mut interfaces[count];
        if interface.name.as_bytes() != name {
            interface.name = String::from_utf8_lossy(name).into_owned();
        }
        interface.counters = COLUMNS.map(|c| columns[c]);
        count += 1;
    }
    interfaces.truncate(count);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FILE: &str = "Inter-|   Receive                                                |  Transmit\n\
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n\
    lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0\n\
  eth0: 592373405   22162    3    4    0     0          0         0  1604325   14376    5    6    0     0       0          0\n";

    #[test]
    fn counts_what_cadvisor_counts() {
        let mut interfaces = Vec::new();
        parse_net_dev(FILE.as_bytes(), &mut interfaces).unwrap();
        assert_eq!(interfaces.len(), 1);
        assert_eq!(interfaces[0].name, "eth0");
        assert_eq!(interfaces[0].counters, [592_373_405, 22162, 3, 4, 1_604_325, 14376, 5, 6]);
        assert!(parse_net_dev(b"a\nb\n eth0: 1 2 x\n", &mut interfaces).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_return(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse_net_dev(&bytes, &mut Vec::new());
        }
    }
}
