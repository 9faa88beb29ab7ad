//! `/proc/diskstats` (kernel `Documentation/admin-guide/iostats.rst`).

use crate::Unexpected;
use crate::parse::{fields, lines, number};

/// One block device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disk {
    /// Device numbers.
    pub major: u32,
    /// Device numbers.
    pub minor: u32,
    /// The kernel's name of it: `sda`.
    pub name: String,
    /// How many of `values` this kernel has: 11, 15 since 4.18, 17 since 5.5; 4 of partitions before 2.6.25.
    pub count: usize,
    /// Reads, reads merged, sectors read, ms reading, writes, writes merged, sectors written, ms writing,
    /// I/Os in progress, ms with I/O, weighted ms, discards, discards merged, sectors discarded,
    /// ms discarding, flushes, ms flushing. A sector is 512 bytes.
    pub values: [u64; 17],
}

/// Reads the file anew into `disks`; names are kept where they come in the same order.
pub fn read(text: &[u8], disks: &mut Vec<Disk>) -> Result<(), Unexpected> {
    let mut count = 0;
    for (index, line) in lines(text).enumerate() {
        let mut parts = fields(line);
        let Some(major) = parts.next() else { continue };
        let bad = |value, expected| Unexpected::new(index + 1, value, expected);
        let device = |digits| {
            let n = number(digits).and_then(|n| u32::try_from(n).ok());
            n.ok_or_else(|| bad(digits, "a device number"))
        };
        let major = device(major)?;
        let minor = device(parts.next().unwrap_or_default())?;
        let name = parts.next().ok_or_else(|| bad(line, "a device"))?;
        if disks.get(count).is_none_or(|d| d.name.as_bytes() != name) {
            disks.truncate(count);
            let name = String::from_utf8_lossy(name).into_owned();
            disks.push(Disk { name, ..Disk::default() });
        }
        let disk = &mut disks[count];
        (disk.major, disk.minor, disk.count) = (major, minor, 0);
        disk.values = [0; 17];
        for (value, digits) in disk.values.iter_mut().zip(parts) {
            *value = number(digits).ok_or_else(|| bad(digits, "a number"))?;
            disk.count += 1;
        }
        count += 1;
    }
    disks.truncate(count);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_old_and_new_lines() {
        let mut disks = Vec::new();
        let text = b"   8  0 sda 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17\n   8  1 sda1 1 2 3 4\n";
        read(text, &mut disks).expect("parses");
        assert_eq!((disks[0].major, disks[0].count, disks[0].values[16]), (8, 17, 17));
        assert_eq!((disks[1].minor, disks[1].count, &*disks[1].name), (1, 4, "sda1"));
        read(b" 254 0 vda 9 2 3 4 5 6 7 8 9 10 11\n", &mut disks).expect("parses");
        assert_eq!((disks.len(), disks[0].values[0], disks[0].count), (1, 9, 11));
        assert!(read(b"8 0\n", &mut disks).is_err());
        assert!(read(b"8 x sda 1\n", &mut disks).is_err());
    }
}
