//! Typed readers of what the Linux kernel says about one machine: procfs, sysfs, statfs and control
//! groups, each from a directory handle, so that a test (or a program beside a container) can give
//! another tree.
//!
//! The crate never keeps history, computes no rates and knows no metric names. A file that this
//! kernel does not have is a value (`None`, `false`), never an error. Formats: the kernel's
//! `Documentation/filesystems/proc.rst`, `Documentation/ABI` and
//! `Documentation/admin-guide/cgroup-{v1,v2}`.

pub mod cgroup;
pub mod dir;
pub mod error;
#[doc(hidden)]
pub mod fuzz;
pub mod parse;
pub mod paths;
pub mod procfs;
pub mod statfs;
pub mod sysfs;
pub mod system;

pub use dir::{Dir, KeptFile};
pub use error::{Error, Unexpected};
pub use paths::Paths;
