//! Block I/O by device: io.stat (v2), blkio.throttle.* and blkio.bfq.* (v1).

use super::text;
use crate::Unexpected;

/// The operations that v1 counts, as it writes them; v2 has the first two.
pub const OPERATIONS: [&str; 6] = ["Read", "Write", "Sync", "Async", "Discard", "Total"];
/// The place of reads in [`Device::bytes`] and [`Device::operations`].
pub const READ: usize = 0;
/// The place of writes.
pub const WRITE: usize = 1;

/// What a group did on one block device since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// The device's major number.
    pub major: u32,
    /// The device's minor number.
    pub minor: u32,
    /// Bytes by operation, in the order of [`OPERATIONS`].
    pub bytes: [Option<u64>; OPERATIONS.len()],
    /// Requests by operation.
    pub operations: [Option<u64>; OPERATIONS.len()],
    /// Where blk-iocost is on (v2): microseconds of use, wait, debt and delay.
    pub cost: Option<[u64; 4]>,
}

/// Which of v1's two files is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// `io_service_bytes`
    Bytes,
    /// `io_serviced`
    Operations,
}

/// Takes in a v1 file of `MAJOR:MINOR OPERATION VALUE` lines; the last line is a sum without a device.
pub fn parse_v1(bytes: &[u8], devices: &mut Vec<Device>, column: Column) -> Result<(), Unexpected> {
    for (i, line) in text::lines(bytes) {
        let mut words = text::words(line);
        let (Some(device), Some(operation)) = (words.next(), words.next()) else { continue };
        if device == b"Total" {
            continue;
        }
        let unexpected = || Unexpected::new(i, line, "a device, an operation and a number");
        let (major, minor) = numbers(device).ok_or_else(unexpected)?;
        let Some(operation) = OPERATIONS.iter().position(|o| o.as_bytes() == operation) else {
            continue;
        };
        let value = words.next().and_then(text::number).ok_or_else(unexpected)?;
        let device = find(devices, major, minor);
        match column {
            Column::Bytes => device.bytes[operation] = Some(value),
            Column::Operations => device.operations[operation] = Some(value),
        }
    }
    Ok(())
}

/// Takes in v2's io.stat: `MAJOR:MINOR key=value …` lines. A device without any value is left out.
pub fn parse_v2(bytes: &[u8], devices: &mut Vec<Device>) -> Result<(), Unexpected> {
    for (i, line) in text::lines(bytes) {
        let unexpected = || Unexpected::new(i, line, "a device and its counters");
        let mut words = text::words(line);
        let Some(device) = words.next() else { continue };
        let (major, minor) = numbers(device).ok_or_else(unexpected)?;
        for word in words {
            let Some(equals) = word.iter().position(|&b| b == b'=') else { continue };
            let (key, value) = (&word[..equals], &word[equals + 1..]);
            let cost = [&b"cost.usage"[..], b"cost.wait", b"cost.indebt", b"cost.indelay"];
            let cost = cost.iter().position(|k| *k == key);
            if cost.is_none() && !matches!(key, b"rbytes" | b"wbytes" | b"rios" | b"wios") {
                continue;
            }
            let value = text::number(value).ok_or_else(unexpected)?;
            let device = find(devices, major, minor);
            match (key, cost) {
                (b"rbytes", _) => device.bytes[READ] = Some(value),
                (b"wbytes", _) => device.bytes[WRITE] = Some(value),
                (b"rios", _) => device.operations[READ] = Some(value),
                (b"wios", _) => device.operations[WRITE] = Some(value),
                (_, Some(at)) => device.cost.get_or_insert_default()[at] = value,
                _ => {}
            }
        }
    }
    Ok(())
}

/// `MAJOR:MINOR`.
fn numbers(device: &[u8]) -> Option<(u32, u32)> {
    let colon = device.iter().position(|&b| b == b':')?;
    let number = |bytes| text::number(bytes).and_then(|n| u32::try_from(n).ok());
    Some((number(&device[..colon])?, number(&device[colon + 1..])?))
}

/// The entry of a device; few devices, so a walk is the fastest.
fn find(devices: &mut Vec<Device>, major: u32, minor: u32) -> &mut Device {
    let at = devices.iter().position(|d| (d.major, d.minor) == (major, minor));
    let at = at.unwrap_or_else(|| {
        devices.push(Device { major, minor, ..Device::default() });
        devices.len() - 1
    });
    &mut devices[at]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v1_two_files_fill_one_device() {
        let mut devices = Vec::new();
        parse_v1(b"8:0 Read 4096\n8:0 Write 0\n8:0 Sync 4096\n8:0 Async 0\n8:0 Discard 0\n8:0 Total 4096\nTotal 4096\n", &mut devices, Column::Bytes).unwrap();
        parse_v1(b"8:0 Read 1\nTotal 1\n", &mut devices, Column::Operations).unwrap();
        assert_eq!(devices.len(), 1);
        assert_eq!((devices[0].bytes[READ], devices[0].bytes[5]), (Some(4096), Some(4096)));
        assert_eq!((devices[0].operations[READ], devices[0].operations[WRITE]), (Some(1), None));
        assert!(parse_v1(b"8:x Read 1\n", &mut devices, Column::Bytes).is_err());
        assert!(parse_v1(b"8:0 Read -1\n", &mut devices, Column::Bytes).is_err());
    }

    #[test]
    fn v2_with_cost_and_an_empty_device() {
        let mut devices = Vec::new();
        parse_v2(
            b"254:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0 cost.usage=9\n7:0 \n",
            &mut devices,
        )
        .unwrap();
        assert_eq!(devices.len(), 1);
        assert_eq!(
            (devices[0].major, devices[0].bytes[WRITE], devices[0].operations[READ]),
            (254, Some(2), Some(3))
        );
        assert_eq!(devices[0].cost, Some([9, 0, 0, 0]));
    }
}
