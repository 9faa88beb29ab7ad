//! Files that are there whole or not at all, files that are set aside, and who owns a folder.

use crate::error::Error;
use crate::files::{File, Files};
use std::io::{self, Write};
use std::sync::Arc;

/// Where damaged files are kept.
pub const QUARANTINE: &str = "quarantine";

/// The ending of a file that is being written; what has it at opening can be removed.
pub const UNFINISHED: &str = ".tmp";

/// Writes a file so that it is there whole or not at all, also after a power cut.
pub fn publish(files: &dyn Files, dir: &str, name: &str, parts: &[&[u8]]) -> Result<(), Error> {
    let mut publisher = Publisher::begin(files, dir, name)?;
    for part in parts {
        publisher.write_all(part).map_err(Error::io(files.place(&publisher.path)))?;
    }
    publisher.finish()
}

/// A file that comes to be when it is finished; dropped before that, it leaves nothing.
pub struct Publisher<'a> {
    files: &'a dyn Files,
    dir: &'a str,
    path: String,
    unfinished: String,
    file: Arc<dyn File>,
    buffer: Vec<u8>,
    finished: bool,
}

const BUFFER: usize = 256 << 10;

impl<'a> Publisher<'a> {
    /// Begins a file under another name.
    pub fn begin(files: &'a dyn Files, dir: &'a str, name: &str) -> Result<Publisher<'a>, Error> {
        let path = join(dir, name);
        let unfinished = format!("{path}{UNFINISHED}");
        let created = match files.remove(&unfinished) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => files.create(&unfinished),
        };
        let file = created.map_err(Error::io(files.place(&unfinished)))?;
        let buffer = Vec::with_capacity(BUFFER);
        Ok(Publisher { files, dir, path, unfinished, file, buffer, finished: false })
    }

    /// Makes the content safe, then gives the file its name.
    pub fn finish(mut self) -> Result<(), Error> {
        let named = self.flush().and_then(|()| {
            self.file.sync()?;
            self.files.rename(&self.unfinished, &self.path)?;
            self.finished = true;
            self.files.sync_dir(self.dir)
        });
        named.map_err(Error::io(self.files.place(&self.path)))
    }
}

impl Write for Publisher<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() + bytes.len() > BUFFER {
            self.flush()?;
        }
        if bytes.len() > BUFFER {
            self.file.append_all(bytes)?;
        } else {
            self.buffer.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.append_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

impl Drop for Publisher<'_> {
    fn drop(&mut self) {
        if !self.finished {
            // What is left is removed at the next opening if it cannot be removed now.
            let _ = self.files.remove(&self.unfinished);
        }
    }
}

/// Removes what a crash left half written in a folder.
pub fn remove_unfinished(files: &dyn Files, dir: &str) -> Result<(), Error> {
    for entry in files.list(dir).map_err(Error::io(files.place(dir)))? {
        if entry.name.ends_with(UNFINISHED) {
            let path = join(dir, &entry.name);
            files.remove(&path).map_err(Error::io(files.place(&path)))?;
        }
    }
    Ok(())
}

/// Moves a damaged file to `quarantine/`, beside it a text that says why; gives its new path.
pub fn quarantine(files: &dyn Files, path: &str, why: &str) -> Result<String, Error> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let dir = path.strip_suffix(name).unwrap_or("").trim_end_matches('/');
    let place = files.place(path);
    let moved = || -> io::Result<String> {
        files.create_dir(QUARANTINE)?;
        let taken = files.list(QUARANTINE)?;
        let free = |n: &String| !taken.iter().any(|e| e.name == *n);
        let mut names = (0..).map(|i| if i == 0 { name.into() } else { format!("{name}.{i}") });
        let to = join(QUARANTINE, &names.find(free).unwrap_or_else(|| name.into()));
        let note = files.create(&format!("{to}.why"))?;
        note.append_all(format!("{path}: {why}\n").as_bytes())?;
        note.sync()?;
        files.rename(path, &to)?;
        files.sync_dir(QUARANTINE)?;
        files.sync_dir(dir)?;
        Ok(to)
    };
    moved().map_err(Error::io(place))
}

/// The files in `quarantine/` with the reason of each.
pub fn quarantined(files: &dyn Files) -> Vec<(String, String)> {
    let entries = files.list(QUARANTINE).unwrap_or_default();
    let damaged = entries.iter().filter(|e| !e.name.ends_with(".why"));
    damaged
        .map(|e| {
            let path = join(QUARANTINE, &e.name);
            let why = files.read(&format!("{path}.why"));
            let why = why.map(|w| String::from_utf8_lossy(&w).trim().to_owned());
            (path, why.unwrap_or_default())
        })
        .collect()
}

/// Takes a folder for this process until the value is dropped.
pub fn lock(files: &dyn Files) -> Result<Box<dyn Send + Sync>, Error> {
    const LOCK: &str = "LOCK";
    files.lock(LOCK, &format!("{}\n", std::process::id())).map_err(|source| {
        let place = files.place(LOCK);
        match source.kind() {
            io::ErrorKind::WouldBlock => Error::Locked { place, pid: source.to_string() },
            _ => Error::Io { place, source },
        }
    })
}

/// Checks that the folder has the format `kind` in a version up to `known`, or writes it down in
/// an empty folder; gives the version found.
pub fn check_version(files: &dyn Files, kind: &str, known: u32) -> Result<u32, Error> {
    const FORMAT: &str = "FORMAT";
    let place = files.place(FORMAT);
    let text = match files.read(FORMAT) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            publish(files, "", FORMAT, &[format!("{kind} {known}\n").as_bytes()])?;
            return Ok(known);
        }
        Err(source) => return Err(Error::Io { place, source }),
    };
    let text = String::from_utf8_lossy(&text);
    let found = text.trim().strip_prefix(kind).and_then(|v| v.trim().parse().ok());
    match found {
        Some(found) if found > known => Err(Error::Newer { place, found, known }),
        Some(found) => Ok(found),
        None => {
            let shown: String = text.chars().take(40).collect();
            Err(Error::Foreign {
                place,
                why: format!("expected `{kind} {known}`, found {shown:?}"),
            })
        }
    }
}

/// A name within a folder; `""` is the data folder itself.
pub fn join(dir: &str, name: &str) -> String {
    if dir.is_empty() { name.into() } else { format!("{dir}/{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faulty::{Faults, Faulty};
    use crate::folder::Folder;

    #[test]
    fn a_published_file_is_whole_or_absent() {
        for seed in 0..200 {
            let files = Faulty::new(seed);
            files.set(Faults { crash_after: Some(seed % 8), ..Faults::default() });
            let published = publish(&files, "", "block", &[&[7; 3000], &[8; 3000]]).is_ok();
            for after in [files.kill(), files.power_cut()] {
                remove_unfinished(&after, "").expect("cleans up");
                match after.read("block") {
                    Ok(block) => assert_eq!(block.len(), 6000, "seed {seed}"),
                    Err(_) => assert!(!published, "seed {seed}: it was published and is not there"),
                }
            }
        }
    }

    #[test]
    fn a_damaged_file_is_set_aside_with_its_reason() {
        let files = Faulty::new(1);
        for _ in 0..2 {
            publish(&files, "log", "a.log", &[b"x"]).expect("writes");
            quarantine(&files, "log/a.log", "bit rot").expect("moves");
        }
        let found = quarantined(&files);
        let paths: Vec<&str> = found.iter().map(|q| q.0.as_str()).collect();
        assert_eq!(paths, ["quarantine/a.log", "quarantine/a.log.1"]);
        assert_eq!(found[0].1, "log/a.log: bit rot");
    }

    #[test]
    fn real_folders_are_locked_versioned_and_read_back() {
        let dir = tempfile::tempdir().expect("a folder");
        let files = Folder::new(dir.path());
        let held = lock(&files).expect("is free");
        let refused = lock(&files).err().expect("is taken").to_string();
        assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
        drop(held);
        lock(&files).expect("is free again");
        assert_eq!(check_version(&files, "kubevigil-data", 1).expect("new"), 1);
        assert_eq!(check_version(&files, "kubevigil-data", 2).expect("older"), 1);
        let newer = check_version(&files, "kubevigil-data", 0).expect_err("newer").to_string();
        assert!(newer.contains("has format 1, this release reads up to 0"), "{newer}");
        assert!(check_version(&files, "other", 1).is_err());
        publish(&files, "", "a", &[b"12", b"3"]).expect("writes");
        assert_eq!(&*files.read("a").expect("reads"), b"123");
        let names: Vec<String> =
            files.list("").expect("lists").into_iter().map(|e| e.name).collect();
        assert_eq!(names, ["FORMAT", "LOCK", "a"]);
    }
}
