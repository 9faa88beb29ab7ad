//! `/proc/net/stat/nf_conntrack`: connection tracking, a line for each processor, in hexadecimal.

use crate::Unexpected;
use crate::parse::{fields, hex, lines};

/// All processors together, since boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conntrack {
    /// Lookups that found their entry.
    pub found: u64,
    /// Packets that cannot be tracked.
    pub invalid: u64,
    /// Packets that were tracked already.
    pub ignore: u64,
    /// Entries inserted.
    pub insert: u64,
    /// Entries that could not be inserted.
    pub insert_failed: u64,
    /// Packets dropped.
    pub drop: u64,
    /// Entries dropped to make room.
    pub early_drop: u64,
    /// Lookups that had to begin again.
    pub search_restart: u64,
}

/// Adds up the lines.
pub fn parse(text: &[u8]) -> Result<Conntrack, Unexpected> {
    let mut sum = Conntrack::default();
    for (index, line) in lines(text).enumerate().skip(1) {
        let mut columns = [0u64; 17];
        let mut count = 0;
        for (column, digits) in columns.iter_mut().zip(fields(line)) {
            let value = hex(digits);
            *column =
                value.ok_or_else(|| Unexpected::new(index + 1, digits, "a hexadecimal number"))?;
            count += 1;
        }
        if count < 16 {
            return Err(Unexpected::new(index + 1, line, "sixteen columns or more"));
        }
        let add = |to: &mut u64, column: usize| *to = to.wrapping_add(columns[column]);
        add(&mut sum.found, 2);
        add(&mut sum.invalid, 4);
        add(&mut sum.ignore, 5);
        add(&mut sum.insert, 8);
        add(&mut sum.insert_failed, 9);
        add(&mut sum.drop, 10);
        add(&mut sum.early_drop, 11);
        add(&mut sum.search_restart, 16);
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_up() {
        let line = "1 2 3 4 5 6 7 8 9 a b c d e f 10 11\n";
        let sum = parse(format!("entries searched\n{line}{line}").as_bytes()).expect("parses");
        assert_eq!((sum.found, sum.invalid, sum.ignore, sum.insert), (6, 10, 12, 18));
        assert_eq!((sum.insert_failed, sum.drop, sum.early_drop), (20, 22, 24));
        assert_eq!(sum.search_restart, 34);
        assert!(parse(b"h\n1 2\n").is_err());
    }
}
