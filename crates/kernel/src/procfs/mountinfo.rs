//! `/proc/PID/mountinfo`: the mounts that a process sees.

use crate::Unexpected;
use crate::parse::{lines, number};

/// One mount.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mount {
    /// Its number.
    pub id: u64,
    /// The number of the mount on which it lies.
    pub parent: u64,
    /// Device numbers of its file system.
    pub major: u32,
    /// Device numbers of its file system.
    pub minor: u32,
    /// The part of the file system that is mounted.
    pub root: String,
    /// Where, as a path of the process.
    pub point: String,
    /// Options of the mount: `rw,relatime`.
    pub options: String,
    /// `ext4`, `fuse.sshfs`.
    pub fs_type: String,
    /// The device or whatever else is its source, with the kernel's `\040` left as they are.
    pub source: String,
    /// Options of the file system.
    pub super_options: String,
}

impl Mount {
    /// Whether nothing can be written through it: the mount or its file system is read-only.
    pub fn is_read_only(&self) -> bool {
        let has = |options: &str, name: &str| options.split(',').any(|o| o == name);
        has(&self.options, "ro")
            || has(&self.super_options, "ro")
            || has(&self.super_options, "emergency_ro")
    }
}

/// Reads the whole file.
pub fn parse(text: &[u8]) -> Result<Vec<Mount>, Unexpected> {
    let mut mounts = Vec::new();
    for (index, line) in lines(text).enumerate() {
        if !line.is_empty() {
            mounts.push(mount(line).ok_or_else(|| Unexpected::new(index + 1, line, "a mount"))?);
        }
    }
    Ok(mounts)
}

fn mount(line: &[u8]) -> Option<Mount> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    // A source may be empty: single spaces separate, and the separator is looked for from the front.
    let mut parts = line.split(|b| *b == b' ');
    let id = number(parts.next()?)?;
    let parent = number(parts.next()?)?;
    let device = parts.next()?;
    let colon = device.iter().position(|b| *b == b':')?;
    let major = u32::try_from(number(&device[..colon])?).ok()?;
    let minor = u32::try_from(number(&device[colon + 1..])?).ok()?;
    let root = text(&unescape(parts.next()?));
    let point = text(&unescape(parts.next()?));
    let options = text(parts.next()?);
    while parts.next()? != b"-" {}
    let fs_type = text(parts.next()?);
    let source = text(parts.next()?);
    let super_options = text(parts.next()?);
    Some(Mount { id, parent, major, minor, root, point, options, fs_type, source, super_options })
}

/// The kernel writes space, tab, line end and backslash as `\` and three octal digits.
fn unescape(escaped: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some((&b, after)) = rest.split_first() {
        let octal = |i: usize| after.get(i).filter(|d| matches!(d, b'0'..=b'7')).map(|d| d - b'0');
        match (b, octal(0), octal(1), octal(2)) {
            (b'\\', Some(a @ 0..=3), Some(b), Some(c)) => {
                out.push(a << 6 | b << 3 | c);
                rest = &after[3..];
            }
            _ => {
                out.push(b);
                rest = after;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_mounts() {
        let text = b"27 1 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/vda rw,discard\n\
            30 27 0:40 /a /mnt/a\\040b\\134 ro - fuse.x a\\040b rw\n";
        let mounts = parse(text).expect("parses");
        assert_eq!((mounts[0].id, mounts[0].major, &*mounts[0].source), (27, 254, "/dev/vda"));
        assert_eq!((&*mounts[1].point, &*mounts[1].source), ("/mnt/a b\\", "a\\040b"));
        assert!(mounts[1].is_read_only() && !mounts[0].is_read_only());
        let error = parse(b"27 1 254:0 / /\n").expect_err("cut off");
        assert_eq!(error.to_string(), "line 1: \"27 1 254:0 / /\" is not a mount");
    }

    #[test]
    fn source_may_be_empty() {
        let mounts = parse(b"31 27 0:41 / /x rw - tmpfs  rw\n").expect("parses");
        assert_eq!((&*mounts[0].source, &*mounts[0].super_options), ("", "rw"));
    }

    proptest! {
        #[test]
        fn unescapes_what_the_kernel_escapes(name in prop::collection::vec(any::<u8>(), 0..20)) {
            let mut escaped = Vec::new();
            for b in &name {
                if matches!(b, b' ' | b'\t' | b'\n' | b'\\') {
                    escaped.extend(format!("\\{b:03o}").bytes());
                } else {
                    escaped.push(*b);
                }
            }
            prop_assert_eq!(unescape(&escaped), name);
        }
    }
}
