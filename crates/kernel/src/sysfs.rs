//! Readers of sysfs. Formats: the kernel's `Documentation/ABI`.
//!
//! A driver may refuse any single attribute at any time (EAGAIN, EIO, EINVAL): such an attribute is left
//! out, the rest goes on.

pub mod clocksource;
pub mod cpu;
pub mod cpufreq;
pub mod hwmon;
pub mod thermal;

use crate::parse::{number, trim};
use crate::{Dir, Error};

/// A whole number in a file; `None` where there is no such file, or no such number in it.
pub fn read_number(dir: &Dir, path: &str, buffer: &mut Vec<u8>) -> Result<Option<u64>, Error> {
    Ok(if dir.read(path, buffer)? { number(trim(buffer)) } else { None })
}

/// A file's text without blanks at its ends; `None` where it is missing or cannot be read.
pub fn read_text(dir: &Dir, path: &str, buffer: &mut Vec<u8>) -> Option<String> {
    let read = dir.read(path, buffer).unwrap_or(false);
    read.then(|| String::from_utf8_lossy(trim(buffer)).into_owned())
}

/// The names in `path` that are `prefix` and then a digit, with what follows the prefix; sorted as bytes
/// (`cpu0`, `cpu1`, `cpu10`, `cpu2`).
pub fn numbered(dir: &Dir, path: &str, prefix: &str) -> Result<Vec<(String, String)>, Error> {
    let mut names = Vec::new();
    dir.names(path, &mut names)?;
    let split = |name: String| {
        let rest = name.strip_prefix(prefix)?.to_string();
        rest.starts_with(|c: char| c.is_ascii_digit()).then_some((name, rest))
    };
    Ok(names.into_iter().filter_map(split).collect())
}
