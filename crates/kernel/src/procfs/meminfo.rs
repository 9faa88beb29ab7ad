//! `/proc/meminfo`.

use crate::Unexpected;
use crate::parse::{fields, lines, number};

/// One line of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Field {
    /// Its name as the kernel writes it, without the colon: `Active(anon)`.
    pub name: String,
    /// Bytes, or a count of pages where [`Field::is_bytes`] is false.
    pub value: u64,
    /// Whether the line has the unit kB.
    pub is_bytes: bool,
}

/// What `/proc/meminfo` says, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meminfo {
    /// The lines.
    pub fields: Vec<Field>,
}

impl Meminfo {
    /// Reads the file anew into this value; names are kept where they come in the same order.
    pub fn read(&mut self, text: &[u8]) -> Result<(), Unexpected> {
        let mut count = 0;
        for (index, line) in lines(text).enumerate() {
            let mut parts = fields(line);
            let Some(name) = parts.next() else { continue };
            let name = name.strip_suffix(b":").unwrap_or(name);
            let digits = parts.next().unwrap_or_default();
            let bad = |value, expected| Unexpected::new(index + 1, value, expected);
            let value = number(digits).ok_or_else(|| bad(digits, "a number"))?;
            let (value, is_bytes) = match parts.next() {
                None => (value, false),
                Some(b"kB") => {
                    (value.checked_mul(1024).ok_or_else(|| bad(digits, "a size"))?, true)
                }
                Some(unit) => return Err(bad(unit, "kB")),
            };
            match self.fields.get_mut(count) {
                Some(field) if field.name.as_bytes() == name => {
                    (field.value, field.is_bytes) = (value, is_bytes);
                }
                _ => {
                    self.fields.truncate(count);
                    let name = String::from_utf8_lossy(name).into_owned();
                    self.fields.push(Field { name, value, is_bytes });
                }
            }
            count += 1;
        }
        self.fields.truncate(count);
        Ok(())
    }

    /// A field by its name; `None` where this kernel does not have it.
    pub fn get(&self, name: &str) -> Option<u64> {
        self.fields.iter().find(|f| f.name == name).map(|f| f.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_reads_again() {
        let mut meminfo = Meminfo::default();
        meminfo
            .read(b"MemTotal:  100 kB\nActive(anon): 7 kB\nHugePages_Total: 3\n")
            .expect("parses");
        assert_eq!(meminfo.get("MemTotal"), Some(102_400));
        assert_eq!(meminfo.get("HugePages_Total"), Some(3));
        assert!(!meminfo.fields[2].is_bytes);
        meminfo.read(b"MemTotal:  200 kB\nCached: 1 kB\n").expect("parses");
        assert_eq!(meminfo.get("MemTotal"), Some(204_800));
        assert_eq!(meminfo.get("Active(anon)"), None);
        assert_eq!(meminfo.fields.len(), 2);
        let error = meminfo.read(b"MemTotal: 1 MB\n").expect_err("unit");
        assert_eq!(error.to_string(), "line 1: \"MB\" is not kB");
    }
}
