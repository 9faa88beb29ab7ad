//! Peers: the systems that we are compared with, built from their Go modules.
//!
//! Each folder of `tests/peers/` is a small Go module whose go.mod pins the peer. Built programs are
//! cached outside the checkout, in a folder named by the hash of the module's files.

use crate::program::repository;
use anyhow::{Context, Result, bail};
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::PathBuf;
use std::process::Command;

/// Where built peers are kept: `$KUBEVIGIL_CACHE`, or `kubevigil` in the user's cache folder.
pub fn cache() -> PathBuf {
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    variable("KUBEVIGIL_CACHE")
        .or_else(|| variable("XDG_CACHE_HOME").map(|d| d.join("kubevigil")))
        .or_else(|| variable("HOME").map(|d| d.join(".cache/kubevigil")))
        .unwrap_or_else(|| std::env::temp_dir().join("kubevigil"))
}

/// Builds the peer `name` unless it is cached, and gives the path of its program.
///
/// The folder `tests/peers/NAME` holds go.mod, go.sum, and either a main package or a file `package`
/// with the import path of the peer's own main package. If that file names several, one a line, the
/// first is the peer; the others lie beside its program. A file `tags` names Go build tags.
pub fn build(name: &str) -> Result<PathBuf> {
    let folder = repository().join("tests/peers").join(name);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .with_context(|| format!("no peer {name} at {}", folder.display()))?
        .collect::<Result<_, _>>()?;
    files.sort_by_key(|f| f.file_name());
    let mut hasher = DefaultHasher::new();
    for file in files {
        file.file_name().hash(&mut hasher);
        std::fs::read(file.path())?.hash(&mut hasher);
    }
    let place = cache().join("peers").join(format!("{name}-{:016x}", hasher.finish()));
    let program = place.join(name);
    if program.is_file() {
        return Ok(program);
    }
    let packages = std::fs::read_to_string(folder.join("package")).unwrap_or_else(|_| ".".into());
    let tags = std::fs::read_to_string(folder.join("tags")).unwrap_or_default();
    let unfinished = place.with_extension(std::process::id().to_string());
    for (at, package) in packages.split_whitespace().enumerate() {
        let output_name = if at == 0 { name } else { package.rsplit('/').next().unwrap_or(name) };
        let output = Command::new("go")
            .args(["build", "-tags", tags.trim(), "-trimpath", "-ldflags=-s -w", "-o"])
            .args([unfinished.join(output_name).as_os_str(), package.as_ref()])
            .env("CGO_ENABLED", "0")
            .current_dir(&folder)
            .output()
            .context("cannot run go")?;
        if !output.status.success() {
            bail!("go build of peer {name} failed:\n{}", String::from_utf8_lossy(&output.stderr));
        }
    }
    if let Err(error) = std::fs::rename(&unfinished, &place) {
        std::fs::remove_dir_all(&unfinished)?;
        if !program.is_file() {
            return Err(error)
                .with_context(|| format!("cannot put peer {name} at {}", place.display()));
        }
    }
    Ok(program)
}
