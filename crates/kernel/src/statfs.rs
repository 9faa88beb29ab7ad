//! How much room a file system has (statfs(2)).

use std::path::Path;

/// What statfs(2) says, in bytes and file nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Space {
    /// Size in bytes.
    pub size: f64,
    /// Free bytes.
    pub free: f64,
    /// Free bytes that others than root may use.
    pub available: f64,
    /// File nodes.
    pub files: f64,
    /// Free file nodes.
    pub files_free: f64,
}

/// Asks the file system at a path. This may hang for as long as its server does not answer: see to it that
/// nothing waits for it.
pub fn statfs(path: &Path) -> std::io::Result<Space> {
    let s = rustix::fs::statfs(path)?;
    let block = s.f_bsize as f64;
    Ok(Space {
        size: s.f_blocks as f64 * block,
        free: s.f_bfree as f64 * block,
        available: s.f_bavail as f64 * block,
        files: s.f_files as f64,
        files_free: s.f_ffree as f64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_this_machine() {
        let space = statfs(Path::new("/")).expect("there is a root");
        assert!(space.size >= space.free && space.free >= space.available && space.size > 0.0);
        let error = statfs(Path::new("/no such folder")).expect_err("is not there");
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    }
}
