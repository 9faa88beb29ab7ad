//! Peers: the systems that we are compared with, built from their Go modules.
//!
//! Each folder of `tests/peers/` is a small Go module whose go.mod pins the peer. Built programs are
//! cached outside the checkout, in a folder named by the hash of the module's files.

use crate::program::repository;
use anyhow::{Context, Result, bail};
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
/// The folder `tests/peers/NAME` pins it; `tests/peers/build` says what lies in there and builds it. Where a
/// peer has several programs, they lie beside the one that is named like it.
pub fn build(name: &str) -> Result<PathBuf> {
    let peers = repository().join("tests/peers");
    let output = Command::new(peers.join("build"))
        .arg(peers.join(name))
        .output()
        .context("cannot run tests/peers/build")?;
    if !output.status.success() {
        bail!("build of peer {name} failed:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()).join(name))
}
