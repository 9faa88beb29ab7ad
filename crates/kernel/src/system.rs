//! What system calls say of the machine, without a file: its name and release, the page size.

/// uname(2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // the names are uname's own
pub struct Uname {
    pub sysname: String,
    pub release: String,
    pub version: String,
    pub machine: String,
    pub nodename: String,
    pub domainname: String,
}

/// Asks the kernel.
pub fn uname() -> Uname {
    let u = rustix::system::uname();
    let text = |c: &std::ffi::CStr| c.to_string_lossy().into_owned();
    Uname {
        sysname: text(u.sysname()),
        release: text(u.release()),
        version: text(u.version()),
        machine: text(u.machine()),
        nodename: text(u.nodename()),
        domainname: text(u.domainname()),
    }
}

/// Bytes of a page of memory.
pub fn page_size() -> usize {
    rustix::param::page_size()
}
