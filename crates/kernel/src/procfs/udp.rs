//! `/proc/net/udp` and `/proc/net/udp6`: sockets and their queues.

use crate::Unexpected;
use crate::parse::{fields, hex, lines};

/// All sockets of one file together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queues {
    /// Bytes waiting to be sent.
    pub transmit: u64,
    /// Bytes waiting to be read.
    pub receive: u64,
    /// How many sockets there are.
    pub sockets: u64,
}

/// Adds up the `tx_queue:rx_queue` column.
pub fn parse(text: &[u8]) -> Result<Queues, Unexpected> {
    let mut sum = Queues::default();
    for (index, line) in lines(text).enumerate().skip(1) {
        let Some(column) = fields(line).nth(4) else {
            return Err(Unexpected::new(index + 1, line, "five columns or more"));
        };
        let colon = column.iter().position(|b| *b == b':');
        let both = colon.and_then(|at| Some((hex(&column[..at])?, hex(&column[at + 1..])?)));
        let bad = || Unexpected::new(index + 1, column, "tx_queue:rx_queue");
        let (transmit, receive) = both.ok_or_else(bad)?;
        sum.transmit = sum.transmit.saturating_add(transmit);
        sum.receive = sum.receive.saturating_add(receive);
        sum.sockets += 1;
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_up() {
        let text =
            b" sl  local\n 1: 00000000:0044 00000000:0000 07 0000000A:00000010 00:00000000\n \
            2: 00000000:0044 00000000:0000 07 00000001:00000001 00:0\n";
        assert_eq!(parse(text), Ok(Queues { transmit: 11, receive: 17, sockets: 2 }));
        assert!(parse(b"h\n1 2 3 4 5\n").is_err());
        assert_eq!(parse(b"").map(|q| q.sockets), Ok(0));
    }
}
