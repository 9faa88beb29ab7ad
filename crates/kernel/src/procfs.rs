//! Readers of procfs: pure functions from a file's bytes to plain data. Formats: proc(5) and the
//! kernel's `Documentation/filesystems/proc.rst`.

pub mod loadavg;
