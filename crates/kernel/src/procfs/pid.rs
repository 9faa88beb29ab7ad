//! Files of one process: `/proc/PID/{stat,status,cgroup,fd}`.

use crate::parse::{fields, lines, number, signed, trim};
use crate::{Dir, Error, Unexpected};

/// What `/proc/PID/stat` says of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stat {
    /// The name of its program, at most 15 bytes.
    pub command: String,
    /// `R` runs, `S` sleeps, `D` waits for the disk, `Z` is dead, ...
    pub state: u8,
    /// Its parent.
    pub parent: i64,
    /// Clock ticks in user mode.
    pub user_ticks: u64,
    /// Clock ticks in the kernel.
    pub system_ticks: u64,
    /// How many threads it has.
    pub threads: u64,
    /// Clock ticks between boot and its start: with the process number, what makes it one of its kind.
    pub start_ticks: u64,
    /// Pages in memory.
    pub resident_pages: u64,
}

/// Reads `/proc/PID/stat`.
pub fn parse_stat(text: &[u8]) -> Result<Stat, Unexpected> {
    stat(text).ok_or_else(|| Unexpected::new(1, text, "the status of a process"))
}

fn stat(text: &[u8]) -> Option<Stat> {
    // The name may hold anything, parentheses and blanks too.
    let open = text.iter().position(|b| *b == b'(')?;
    let close = text.iter().rposition(|b| *b == b')').filter(|close| *close > open)?;
    let command = String::from_utf8_lossy(&text[open + 1..close]).into_owned();
    let mut parts = fields(&text[close + 1..]);
    let state = *parts.next()?.first()?;
    let parent = signed(parts.next()?)?;
    // Fields by their numbers in proc(5): the one after ppid is 5.
    let mut at = |skip: usize| number(parts.nth(skip)?);
    let user_ticks = at(14 - 5)?;
    let system_ticks = at(0)?;
    let threads = at(20 - 16)?;
    let start_ticks = at(22 - 21)?;
    let resident_pages = at(24 - 23)?;
    Some(Stat {
        command,
        state,
        parent,
        user_ticks,
        system_ticks,
        threads,
        start_ticks,
        resident_pages,
    })
}

/// A line of `/proc/PID/status` by its name without the colon: `Uid`, `Threads`, `NSpid`.
pub fn status_field<'a>(text: &'a [u8], name: &str) -> Option<&'a [u8]> {
    lines(text).find_map(|line| {
        let rest = line.strip_prefix(name.as_bytes())?.strip_prefix(b":")?;
        Some(trim(rest))
    })
}

/// Calls `visit(hierarchy, controllers, path)` for each line of `/proc/PID/cgroup`; of version 2 they are
/// `("0", "", path)`.
pub fn each_cgroup(
    text: &[u8],
    mut visit: impl FnMut(&[u8], &[u8], &[u8]),
) -> Result<(), Unexpected> {
    for (index, line) in lines(text).enumerate() {
        if line.is_empty() {
            continue;
        }
        let mut parts = line.splitn(3, |b| *b == b':');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(hierarchy), Some(controllers), Some(path)) => visit(hierarchy, controllers, path),
            _ => return Err(Unexpected::new(index + 1, line, "hierarchy:controllers:path")),
        }
    }
    Ok(())
}

/// How many files a process has open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenFiles {
    /// All of them.
    pub files: u64,
    /// Those that are sockets.
    pub sockets: u64,
}

/// Counts what a process has open; `None` where it has ended. Asking for sockets costs a system call for
/// each file.
pub fn open_files(procfs: &Dir, pid: u64, sockets: bool) -> Result<Option<OpenFiles>, Error> {
    let Some(dir) = procfs.open_dir(&format!("{pid}/fd"))? else { return Ok(None) };
    let mut names = Vec::new();
    if !dir.names(".", &mut names)? {
        return Ok(None);
    }
    let mut open = OpenFiles { files: names.len() as u64, sockets: 0 };
    if sockets {
        for name in &names {
            if dir.link(name)?.is_some_and(|target| target.starts_with("socket")) {
                open.sockets += 1;
            }
        }
    }
    Ok(Some(open))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn reads_stat_with_a_hostile_name() {
        let text =
            b"42 (a) b (c) S 1 42 42 0 -1 4194560 1 0 0 0 11 12 0 0 20 0 3 0 777 1000 55 9\n";
        let stat = parse_stat(text).expect("parses");
        assert_eq!((&*stat.command, stat.state, stat.parent), ("a) b (c", b'S', 1));
        assert_eq!((stat.user_ticks, stat.system_ticks, stat.threads), (11, 12, 3));
        assert_eq!((stat.start_ticks, stat.resident_pages), (777, 55));
        assert!(parse_stat(b"42 )(").is_err());
    }

    #[test]
    fn reads_this_process() {
        let procfs = Dir::open(Path::new("/proc")).expect("procfs");
        let mut text = Vec::new();
        assert!(procfs.read("self/stat", &mut text).expect("readable"));
        let stat = parse_stat(&text).expect("parses");
        assert!(stat.threads >= 1 && stat.start_ticks > 0 && stat.resident_pages > 0);
        assert!(procfs.read("self/status", &mut text).expect("readable"));
        let pid = status_field(&text, "Pid").and_then(number);
        assert_eq!(pid, Some(u64::from(std::process::id())));
        assert!(status_field(&text, "Nothing").is_none());
        let _socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("binds");
        let open = open_files(&procfs, u64::from(std::process::id()), true).expect("readable");
        let open = open.expect("alive");
        assert!(open.files >= 4 && open.sockets >= 1, "{open:?}");
        assert_eq!(open_files(&procfs, 0x7fff_ffff, true).expect("no error"), None);
    }

    #[test]
    fn reads_cgroups() {
        let mut seen = Vec::new();
        let text = b"4:memory:/a:b\n0::/user.slice\n";
        each_cgroup(text, |h, c, p| seen.push((h.to_vec(), c.to_vec(), p.to_vec())))
            .expect("parses");
        assert_eq!(seen[0], (b"4".to_vec(), b"memory".to_vec(), b"/a:b".to_vec()));
        assert_eq!(seen[1], (b"0".to_vec(), b"".to_vec(), b"/user.slice".to_vec()));
        assert!(each_cgroup(b"4:memory\n", |_, _, _| ()).is_err());
    }
}
