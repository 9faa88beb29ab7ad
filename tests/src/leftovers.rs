//! What tests put on the machine outside their temporary folders, written down before it is made, so
//! that nothing is left behind: not after a panic (drop), nor after a kill (the next run sweeps).
//!
//! Never removes a folder that something else made or still uses: shared parents are only `rmdir`ed.

use crate::cgroup;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const REGISTRY: &str = "/run/kubevigil-tests";

/// Things that one test made and that have to go together. Removed on drop.
#[derive(Debug)]
pub struct Leftover {
    record: PathBuf,
    /// A container of runc: the folder of runc's state and the container's id.
    pub runc: Option<(PathBuf, String)>,
    /// Control groups, children first; processes in them are killed.
    pub groups: Vec<String>,
    /// Files and folders, removed with all that they hold.
    pub paths: Vec<PathBuf>,
}

impl Leftover {
    /// Writes down what is about to be made, under a name that is unique on this machine.
    pub fn announce(
        name: &str,
        runc: Option<(PathBuf, String)>,
        groups: Vec<String>,
        paths: Vec<PathBuf>,
    ) -> Result<Leftover> {
        let record = Path::new(REGISTRY).join(format!("{name}.json"));
        let leftover = Leftover { record, runc, groups, paths };
        leftover.write_down()?;
        Ok(leftover)
    }

    /// Adds a control group that is about to be made.
    pub fn add_group(&mut self, id: &str) -> Result<()> {
        self.groups.insert(0, id.to_string());
        self.write_down()
    }

    fn write_down(&self) -> Result<()> {
        let owner = std::process::id();
        let text = json!({ "owner": owner, "started": started(owner), "runc": self.runc,
                           "groups": self.groups, "paths": self.paths });
        register(&self.record, &text.to_string())
    }

    /// Removes everything; what cannot be removed is said.
    pub fn remove(&mut self) -> Result<()> {
        if let Some((root, id)) = self.runc.take() {
            let output = Command::new("runc")
                .arg("--root")
                .arg(&root)
                .args(["delete", "--force", &id])
                .output()?;
            let error = String::from_utf8_lossy(&output.stderr);
            if !output.status.success() && !error.contains("does not exist") {
                eprintln!("runc delete {id}: {error}");
            }
        }
        for group in self.groups.drain(..) {
            remove_group(&group)?;
        }
        for path in self.paths.drain(..) {
            release(&path)?;
            let removed = if path.is_dir() {
                std::fs::remove_dir_all(&path)
            } else {
                std::fs::remove_file(&path)
            };
            if let Err(error) = removed
                && error.kind() != std::io::ErrorKind::NotFound
            {
                return Err(error).with_context(|| format!("cannot remove {}", path.display()));
            }
        }
        if self.record.exists() {
            std::fs::remove_file(&self.record)?;
            remove_empty_folders()?;
        }
        Ok(())
    }
}

impl Drop for Leftover {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            eprintln!("left behind: {error:#}");
        }
    }
}

/// Makes a folder and its missing parents and writes down which, for `remove_empty_folders`.
pub fn make_folder(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make_folder(parent)?;
    }
    if !path.starts_with(REGISTRY) {
        let name = path.display().to_string().replace('%', "%25").replace('/', "%2F");
        register(&Path::new(REGISTRY).join(name), "")?;
    }
    match std::fs::create_dir(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(error).with_context(|| format!("cannot make {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Makes the parents of a control group in every hierarchy, ready for children; missing ones are written
/// down as ours.
pub fn make_group_parents(id: &str) -> Result<()> {
    for root in cgroup::hierarchies()? {
        let folder = root.join(id.trim_start_matches('/'));
        let parent = folder.parent().context("a group needs a parent")?;
        make_folder(parent)?;
        if root.ends_with("cpuset") {
            fill_cpuset(&root, &folder)?;
        }
        if cgroup::is_v2() {
            delegate(&root, parent)?;
        }
    }
    Ok(())
}

/// Sweeps what tests that were killed left, and parents that nobody needs any more.
pub fn sweep() -> Result<()> {
    let Ok(entries) = std::fs::read_dir(REGISTRY) else { return Ok(()) };
    for entry in entries.flatten() {
        let record = entry.path();
        if record.extension().is_none_or(|e| e != "json") {
            continue;
        }
        let text = std::fs::read_to_string(&record).unwrap_or_default();
        let Ok(value) = serde_json::from_str::<Value>(&text) else { continue };
        let owner = value["owner"].as_u64().unwrap_or(0) as u32;
        if started(owner).is_some_and(|s| Some(s.as_str()) == value["started"].as_str()) {
            continue;
        }
        eprintln!("sweeping {}: its test was killed", record.display());
        Leftover {
            record,
            runc: serde_json::from_value(value["runc"].clone())?,
            groups: serde_json::from_value(value["groups"].clone())?,
            paths: serde_json::from_value(value["paths"].clone())?,
        }
        .remove()?;
    }
    remove_empty_folders()
}

/// Removes the folders that `make_folder` made, as far as they are empty.
fn remove_empty_folders() -> Result<()> {
    let mut names: Vec<PathBuf> = Vec::new();
    let Ok(entries) = std::fs::read_dir(REGISTRY) else { return Ok(()) };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with("%2F") {
            names.push(entry.path());
        }
    }
    names.sort_by_key(|n| std::cmp::Reverse(n.as_os_str().len()));
    for name in names {
        let path = name
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .replace("%2F", "/")
            .replace("%25", "%");
        let _ = std::fs::remove_dir(&path);
        if !Path::new(&path).exists() {
            let _ = std::fs::remove_file(name);
        }
    }
    // What plain containers had in here, then the registry itself: each only if it is empty.
    for folder in ["bundles", "runc", ""] {
        let _ = std::fs::remove_dir(Path::new(REGISTRY).join(folder));
    }
    Ok(())
}

/// Writes a file of the registry. Another test may remove the empty registry at any moment: then again.
fn register(file: &Path, text: &str) -> Result<()> {
    let mut written = Ok(());
    for _ in 0..10 {
        std::fs::create_dir_all(REGISTRY).with_context(|| format!("cannot make {REGISTRY}"))?;
        written = std::fs::write(file, text);
        if written.is_ok() {
            break;
        }
    }
    written.with_context(|| format!("cannot write {}", file.display()))
}

/// Ends processes whose command line names a path of ours, and takes away what is mounted below it.
fn release(path: &Path) -> Result<()> {
    let name = path.to_string_lossy();
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let process = entry.file_name();
        if String::from_utf8_lossy(&command).contains(&*name)
            && process.to_str() != Some(&std::process::id().to_string())
        {
            let _ = Command::new("kill").arg("-9").arg(process).stderr(Stdio::null()).status();
        }
    }
    let mounts = std::fs::read_to_string("/proc/self/mounts")?;
    let mut points: Vec<_> = mounts.lines().filter_map(|l| l.split(' ').nth(1)).collect();
    points.reverse();
    for point in points.into_iter().filter(|p| Path::new(p).starts_with(path)) {
        let _ = Command::new("umount").args(["-l", point]).status();
    }
    Ok(())
}

/// Kills what runs in a group and removes it from every hierarchy.
fn remove_group(id: &str) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let mut left = Vec::new();
        for root in cgroup::hierarchies()? {
            let folder = root.join(id.trim_start_matches('/'));
            for process in
                std::fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default().lines()
            {
                let _ = Command::new("kill").args(["-9", process]).status();
            }
            if folder.exists() && std::fs::remove_dir(&folder).is_err() {
                left.push(folder);
            }
        }
        if left.is_empty() {
            return Ok(());
        }
        anyhow::ensure!(Instant::now() < deadline, "cannot remove {left:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A v1 cpuset takes no process before its CPUs and memory nodes are named, parents first.
fn fill_cpuset(root: &Path, folder: &Path) -> Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let all = std::fs::read_to_string(root.join(file))?;
        let parents: Vec<_> = folder.ancestors().skip(1).take_while(|f| *f != root).collect();
        for parent in parents.into_iter().rev() {
            if std::fs::read_to_string(parent.join(file))?.trim().is_empty() {
                std::fs::write(parent.join(file), all.trim())?;
            }
        }
    }
    Ok(())
}

/// Gives a v2 group's children the controllers that it has, parents first.
fn delegate(root: &Path, parent: &Path) -> Result<()> {
    let mut chain: Vec<_> = parent.ancestors().take_while(|f| f.starts_with(root)).collect();
    chain.reverse();
    for group in chain {
        for controller in
            std::fs::read_to_string(group.join("cgroup.controllers"))?.split_whitespace()
        {
            let _ = std::fs::write(group.join("cgroup.subtree_control"), format!("+{controller}"));
        }
    }
    Ok(())
}

/// When a process started, in ticks since boot, as text; tells a process from a later one of the same id.
fn started(process: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(19).map(Into::into)
}
