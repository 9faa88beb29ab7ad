//! `/proc/vmstat`: a name and a number on each line.

use crate::Unexpected;
use crate::parse::{fields, lines, number};

/// Calls `visit(name, value)` for each line.
pub fn each(text: &[u8], mut visit: impl FnMut(&[u8], u64)) -> Result<(), Unexpected> {
    for (index, line) in lines(text).enumerate() {
        let mut parts = fields(line);
        let Some(name) = parts.next() else { continue };
        let digits = parts.next().unwrap_or_default();
        let value = number(digits);
        visit(name, value.ok_or_else(|| Unexpected::new(index + 1, digits, "a number"))?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_a_naive_reader(rows in prop::collection::vec(("[a-z_]{1,9}", any::<u64>()), 0..9)) {
            let text: String = rows.iter().map(|(n, v)| format!("{n} {v}\n")).collect();
            let mut read = Vec::new();
            each(text.as_bytes(), |n, v| read.push((String::from_utf8_lossy(n).into_owned(), v)))
                .expect("parses");
            prop_assert_eq!(read, rows);
        }
    }
}
