//! The hierarchies of this machine: which are mounted, and which controllers each of them has.

use super::files::is_missing;
use crate::{Dir, Error, Paths};
use rustix::fs::{AtFlags, FileType, Mode as FileMode, OFlags};
use std::path::{Path, PathBuf};

/// Which version of control groups this machine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Version 1: one hierarchy for each controller or pair of controllers.
    V1,
    /// Version 2: one hierarchy.
    V2,
    /// Version 1 with a version 2 hierarchy beside it that has no or few controllers.
    Hybrid,
    /// None is mounted.
    Absent,
}

/// What a hierarchy may account for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the kernel's names, but for the last
pub enum Controller {
    Cpu,
    Cpuacct,
    Cpuset,
    Memory,
    /// `blkio` on v1
    Io,
    Pids,
    Hugetlb,
    /// No controller: what every v2 hierarchy has (pressure, cgroup.events).
    Unified,
}

impl Controller {
    const ALL: [(Controller, &'static str); 7] = [
        (Controller::Cpu, "cpu"),
        (Controller::Cpuacct, "cpuacct"),
        (Controller::Cpuset, "cpuset"),
        (Controller::Memory, "memory"),
        (Controller::Io, "blkio"),
        (Controller::Pids, "pids"),
        (Controller::Hugetlb, "hugetlb"),
    ];

    fn named(name: &str) -> Option<Controller> {
        Controller::ALL.iter().find(|(_, n)| *n == name).map(|(c, _)| *c)
    }
}

/// One mounted hierarchy.
#[derive(Debug)]
pub struct Hierarchy {
    /// Its mount point.
    pub dir: Dir,
    /// v2.
    pub is_v2: bool,
    controllers: Vec<Controller>,
}

/// All hierarchies that hold something that we read.
#[derive(Debug)]
pub struct Hierarchies {
    mode: Mode,
    all: Vec<Hierarchy>,
    /// By [`Controller`]: the hierarchy's place in `all`, and whether it is v1.
    of: [Option<(u8, bool)>; Controller::Unified as usize + 1],
}

impl Hierarchies {
    /// Looks for hierarchies: those that the mount table has at or below `paths.cgroupfs`; if it has
    /// none there (a container's view of the host, a tree that a test wrote), what the tree itself shows.
    pub fn detect(paths: &Paths) -> Result<Hierarchies, Error> {
        let mut all = Vec::new();
        for mount in mounts(paths)? {
            add(&mut all, &mount.point, mount.controllers)?;
        }
        if all.is_empty() {
            from_tree(&paths.cgroupfs, &mut all)?;
        }
        // v1 first: where both have a controller, v1 has the figures.
        all.sort_by_key(|h| h.is_v2);
        let mut of = [None; Controller::Unified as usize + 1];
        for (at, hierarchy) in all.iter().enumerate() {
            let place = Some((at as u8, !hierarchy.is_v2));
            for &controller in &hierarchy.controllers {
                of[controller as usize].get_or_insert((at as u8, !hierarchy.is_v2));
            }
            if hierarchy.is_v2 {
                of[Controller::Unified as usize] = place;
                // Each v2 group has cpu.stat's usage, and whatever else its controllers give.
                for slot in &mut of {
                    *slot = slot.or(place);
                }
            }
        }
        let mode = match (all.iter().any(|h| !h.is_v2), all.iter().any(|h| h.is_v2)) {
            (true, true) => Mode::Hybrid,
            (true, false) => Mode::V1,
            (false, true) => Mode::V2,
            (false, false) => Mode::Absent,
        };
        Ok(Hierarchies { mode, all, of })
    }

    /// The version.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// All of them, v1 first.
    pub fn all(&self) -> &[Hierarchy] {
        &self.all
    }

    /// The place in [`Hierarchies::all`] of the hierarchy that accounts for something, and whether it
    /// is v1.
    pub fn of(&self, controller: Controller) -> Option<(usize, bool)> {
        self.of[controller as usize].map(|(at, is_v1)| (usize::from(at), is_v1))
    }

    /// Whether some hierarchy has the group (a path that begins with a slash).
    pub fn has(&self, path: &str) -> bool {
        (0..self.all.len()).any(|at| self.modified_ms(at, path).is_some())
    }

    /// The names of the groups directly below a group in one hierarchy, in no order; false where the
    /// hierarchy does not have the group.
    pub fn children(&self, at: usize, path: &str, names: &mut Vec<String>) -> Result<bool, Error> {
        names.clear();
        let dir = &self.all[at].dir;
        let relative = relative(path);
        let error = |errno| Error::io(dir.path().join(relative), errno);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = match rustix::fs::openat(dir, relative, flags, FileMode::empty()) {
            Ok(fd) => fd,
            Err(errno) if is_missing(errno) => return Ok(false),
            Err(errno) => return Err(error(errno)),
        };
        let mut space = [std::mem::MaybeUninit::<u8>::uninit(); 8192];
        let mut entries = rustix::fs::RawDir::new(fd, &mut space);
        while let Some(entry) = entries.next() {
            match entry {
                Ok(entry) if entry.file_type() == FileType::Directory => {
                    let name = entry.file_name().to_bytes();
                    // A name that is not UTF-8 could not be opened again by what we keep of it.
                    match std::str::from_utf8(name) {
                        Ok("." | "..") | Err(_) => {}
                        Ok(name) => names.push(name.into()),
                    }
                }
                Ok(_) => {}
                Err(errno) if is_missing(errno) => return Ok(false),
                Err(errno) => return Err(error(errno)),
            }
        }
        Ok(true)
    }

    /// When a group's folder, or another file below the hierarchy, was last modified, milliseconds since
    /// the Unix epoch; `None` where it is not there.
    pub fn modified_ms(&self, at: usize, path: &str) -> Option<i64> {
        let stat = rustix::fs::statat(&self.all[at].dir, relative(path), AtFlags::empty()).ok()?;
        Some(stat.st_mtime * 1000 + stat.st_mtime_nsec as i64 / 1_000_000)
    }
}

fn relative(path: &str) -> &str {
    match path.trim_start_matches('/') {
        "" => ".",
        relative => relative,
    }
}

/// One line of the mount table.
struct Mount {
    point: PathBuf,
    /// `None` on v2.
    controllers: Option<Vec<Controller>>,
}

/// The cgroup mounts at or below `paths.cgroupfs`, of `PROC/self/mountinfo`.
fn mounts(paths: &Paths) -> Result<Vec<Mount>, Error> {
    let mut bytes = Vec::new();
    let Ok(proc) = Dir::open(&paths.procfs) else { return Ok(Vec::new()) };
    if !proc.read("self/mountinfo", &mut bytes)? {
        return Ok(Vec::new());
    }
    let text = String::from_utf8_lossy(&bytes);
    let mut found = Vec::new();
    for line in text.lines() {
        let Some((before, after)) = line.split_once(" - ") else { continue };
        let Some(point) = before.split(' ').nth(4) else { continue };
        let point = PathBuf::from(unescape(point));
        if !point.starts_with(&paths.cgroupfs) {
            continue;
        }
        let mut after = after.split(' ');
        let (kind, options) = (after.next().unwrap_or(""), after.nth(1).unwrap_or(""));
        match kind {
            "cgroup2" => found.push(Mount { point, controllers: None }),
            "cgroup" => {
                let controllers = options.split(',').filter_map(Controller::named).collect();
                found.push(Mount { point, controllers: Some(controllers) });
            }
            _ => {}
        }
    }
    Ok(found)
}

/// Octal escapes of the mount table: `\040` is a space.
fn unescape(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let bytes = text.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        let octal = bytes.get(i + 1..i + 4).filter(|_| bytes[i] == b'\\');
        let value = octal
            .and_then(|o| std::str::from_utf8(o).ok())
            .and_then(|o| u8::from_str_radix(o, 8).ok());
        match value {
            Some(value) => {
                out.push(value);
                i += 4;
            }
            None => {
                out.push(bytes[i]);
                i += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// What a folder shows by itself: cgroup.controllers makes it v2; else folders named by their
/// controllers are v1, and one that has cgroup.controllers (usually `unified`) is the v2 side.
fn from_tree(root: &Path, all: &mut Vec<Hierarchy>) -> Result<(), Error> {
    let Ok(dir) = Dir::open(root) else { return Ok(()) };
    let mut names = Vec::new();
    dir.names(".", &mut names)?;
    if names.iter().any(|n| n == "cgroup.controllers") {
        return add(all, root, None);
    }
    for name in &names {
        let point = root.join(name);
        if !point.is_dir() {
            continue;
        }
        if point.join("cgroup.controllers").exists() {
            add(all, &point, None)?;
            continue;
        }
        let controllers: Vec<_> = name.split(',').filter_map(Controller::named).collect();
        // `cpu` is often a link to `cpu,cpuacct`: the real folder names all.
        if !controllers.is_empty() && !point.is_symlink() {
            add(all, &point, Some(controllers))?;
        }
    }
    Ok(())
}

/// Adds a hierarchy unless it holds nothing that we read or is there already.
fn add(
    all: &mut Vec<Hierarchy>,
    point: &Path,
    controllers: Option<Vec<Controller>>,
) -> Result<(), Error> {
    let is_v2 = controllers.is_none();
    let controllers = controllers.unwrap_or_default();
    let known = |c: &Controller| all.iter().any(|h| h.controllers.contains(c));
    if (is_v2 && all.iter().any(|h| h.is_v2)) || (!is_v2 && controllers.iter().all(known)) {
        return Ok(());
    }
    all.push(Hierarchy { dir: Dir::open(point)?, is_v2, controllers });
    Ok(())
}
