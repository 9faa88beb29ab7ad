//! `/proc/net/softnet_stat`: packets through each processor's backlog, in hexadecimal.

use crate::Unexpected;
use crate::parse::{fields, hex, lines};

/// One processor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Softnet {
    /// The processor's number (before Linux 5.14: the number of the line).
    pub cpu: u64,
    /// Packets processed.
    pub processed: u64,
    /// Packets dropped since the backlog was full.
    pub dropped: u64,
    /// Times that the quota ran out.
    pub squeezed: u64,
    /// Collisions on the device's lock.
    pub collisions: u64,
    /// Times woken to take packets over from another processor.
    pub received_rps: u64,
    /// Packets dropped by the flow limit.
    pub flow_limit: u64,
    /// Packets in the backlog.
    pub backlog: u64,
}

/// Reads the file anew into `cpus`.
pub fn read(text: &[u8], cpus: &mut Vec<Softnet>) -> Result<(), Unexpected> {
    cpus.clear();
    for (index, line) in lines(text).enumerate() {
        let mut columns = [0u64; 13];
        let mut count = 0;
        for (column, digits) in columns.iter_mut().zip(fields(line)) {
            let value = hex(digits);
            *column =
                value.ok_or_else(|| Unexpected::new(index + 1, digits, "a hexadecimal number"))?;
            count += 1;
        }
        if count < 9 {
            return Err(Unexpected::new(index + 1, line, "nine columns or more"));
        }
        cpus.push(Softnet {
            cpu: if count >= 13 { columns[12] } else { index as u64 },
            processed: columns[0],
            dropped: columns[1],
            squeezed: columns[2],
            collisions: columns[8],
            received_rps: columns[9],
            flow_limit: columns[10],
            backlog: if count >= 13 { columns[11] } else { 0 },
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_old_and_new_columns() {
        let mut cpus = Vec::new();
        let new = b"0000000a 1 2 0 0 0 0 0 3 4 5 6 00000007 0 0\n";
        read(new, &mut cpus).expect("parses");
        let expected = Softnet {
            cpu: 7,
            processed: 10,
            dropped: 1,
            squeezed: 2,
            collisions: 3,
            received_rps: 4,
            flow_limit: 5,
            backlog: 6,
        };
        assert_eq!(cpus, [expected]);
        read(b"1 0 0 0 0 0 0 0 0\n2 0 0 0 0 0 0 0 0\n", &mut cpus).expect("parses");
        assert_eq!((cpus[1].cpu, cpus[1].processed), (1, 2));
        assert!(read(b"1 0\n", &mut cpus).is_err() && read(b"g 0\n", &mut cpus).is_err());
    }
}
