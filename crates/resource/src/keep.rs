//! What survives a restart: the points of every container, the certificates that were pinned, and estimates.
//!
//! Files in the data folder: `points` (`docs/formats/points.md`), `estimates` (`docs/formats/estimates.md`) and `pins` (a line for each
//! node: its UID, and the SHA-256 of its certificate in hexadecimal). A damaged file is set aside.

use crate::estimate::Estimates;
use crate::{Counts, Error, Reader, Store};
use disk::Files;
use disk::publish::{publish, quarantine};
use std::fmt::Write;
use std::io::ErrorKind;

const POINTS: &str = "points";
const PINS: &str = "pins";
const ESTIMATES: &str = "estimates";

/// Takes over what was measured at `oldest_ns` or later; nothing where there is no file.
///
/// # Errors
/// Where the file cannot be read, or is damaged; then it was set aside.
pub fn restore_points(files: &dyn Files, store: &Store, oldest_ns: i64) -> Result<Counts, Error> {
    let Some(bytes) = read(files, POINTS)? else { return Ok(Counts::default()) };
    store.load(&bytes, oldest_ns).inspect_err(|error| set_aside(files, POINTS, &error.to_string()))
}

/// Writes the points.
///
/// # Errors
/// Where they cannot be written; then the old file is still there.
pub fn keep_points(files: &dyn Files, store: &Store) -> Result<(), Error> {
    let mut bytes = Vec::new();
    store.save(&mut bytes);
    Ok(publish(files, "", POINTS, &[&bytes])?)
}

/// Takes estimates over; nothing where there is no file. Gives how many containers it had.
///
/// # Errors
/// As [`restore_points`].
pub fn restore_estimates(files: &dyn Files, estimates: &Estimates) -> Result<usize, Error> {
    let Some(bytes) = read(files, ESTIMATES)? else { return Ok(0) };
    estimates.load(&bytes).inspect_err(|error| set_aside(files, ESTIMATES, &error.to_string()))
}

/// Writes estimates.
///
/// # Errors
/// Where they cannot be written; then the old file is still there.
pub fn keep_estimates(files: &dyn Files, estimates: &Estimates) -> Result<(), Error> {
    let mut bytes = Vec::new();
    estimates.save(&mut bytes);
    Ok(publish(files, "", ESTIMATES, &[&bytes])?)
}

/// Takes the pinned certificates over; nothing where there is no file.
///
/// # Errors
/// As [`restore_points`].
pub fn restore_pins(files: &dyn Files, reader: &Reader) -> Result<(), Error> {
    let Some(bytes) = read(files, PINS)? else { return Ok(()) };
    let pins =
        parse_pins(&bytes).inspect_err(|error| set_aside(files, PINS, &error.to_string()))?;
    reader.restore_pins(pins);
    Ok(())
}

/// Writes the pinned certificates.
///
/// # Errors
/// Where they cannot be written; then the old file is still there.
pub fn keep_pins(files: &dyn Files, reader: &Reader) -> Result<(), Error> {
    let mut text = String::new();
    for (uid, pin) in reader.pins() {
        text += &uid;
        text.push(' ');
        for byte in pin {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        text.push('\n');
    }
    Ok(publish(files, "", PINS, &[text.as_bytes()])?)
}

fn read(files: &dyn Files, name: &str) -> Result<Option<Vec<u8>>, Error> {
    match files.read(name) {
        Ok(map) => Ok(Some(map.to_vec())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(disk::Error::Io { place: files.place(name), source }.into()),
    }
}

fn set_aside(files: &dyn Files, name: &str, why: &str) {
    if let Err(error) = quarantine(files, name, why) {
        tracing::error!(%error, "cannot set a damaged file aside");
    }
}

type Pin = (Box<str>, [u8; 32]);

fn parse_pins(bytes: &[u8]) -> Result<Vec<Pin>, Error> {
    let line = |line: &str| {
        let (uid, hex) = line.split_once(' ')?;
        let mut pin = [0; 32];
        for (at, byte) in pin.iter_mut().enumerate() {
            *byte = u8::from_str_radix(hex.get(2 * at..2 * at + 2)?, 16).ok()?;
        }
        (hex.len() == 64 && !uid.is_empty()).then(|| (uid.into(), pin))
    };
    let text = std::str::from_utf8(bytes).ok();
    let pins: Option<Vec<Pin>> = text.and_then(|text| text.lines().map(line).collect());
    pins.ok_or(Error::Damaged { what: "its content has no meaning" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use disk::faulty::Faulty;

    #[test]
    fn pins_are_read_and_refused() {
        let good = format!("uid-1 {}\n", "ab".repeat(32));
        assert_eq!(parse_pins(good.as_bytes()).unwrap(), [("uid-1".into(), [0xab; 32])]);
        for bad in
            ["uid", "uid zz", &format!("uid {}é", "a".repeat(63)), &format!(" {}", "ab".repeat(32))]
        {
            assert!(parse_pins(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_damaged_file_is_set_aside() {
        let files = Faulty::new(1);
        let store = Store::new(crate::Options::default());
        assert_eq!(restore_points(&files, &store, 0).unwrap(), Counts::default());
        publish(&files, "", POINTS, &[b"nonsense"]).unwrap();
        let error = restore_points(&files, &store, 0).unwrap_err().to_string();
        assert!(error.contains("not a file of points"), "{error}");
        assert_eq!(disk::publish::quarantined(&files).len(), 1);
        keep_points(&files, &store).unwrap();
        restore_points(&files, &store, 0).unwrap();
    }

    #[test]
    fn estimates_survive_and_damaged_ones_are_set_aside() {
        let files = Faulty::new(2);
        let estimates = || Estimates::new(crate::estimate::Options::default());
        let before = estimates();
        assert_eq!(restore_estimates(&files, &before).unwrap(), 0);
        let workload = crate::estimate::Workload {
            namespace: "shop",
            kind: "Deployment",
            name: "web",
            container: "app",
        };
        before.observe(&crate::estimate::Observation {
            workload,
            image: None,
            time_ms: 1000,
            seconds: 15.0,
            cpu_cores: 0.5,
            memory_bytes: 1e8,
        });
        keep_estimates(&files, &before).unwrap();
        let after = estimates();
        assert_eq!(restore_estimates(&files, &after).unwrap(), 1);
        assert_eq!(after.list(None, 1000), before.list(None, 1000));
        publish(&files, "", ESTIMATES, &[b"kubevigil estimates 1\n cut"]).unwrap();
        assert!(restore_estimates(&files, &after).is_err());
        assert_eq!(disk::publish::quarantined(&files).len(), 1);
    }
}
