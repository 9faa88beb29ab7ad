//! Readers of procfs: pure functions from a file's bytes to plain data that the caller keeps and has
//! filled anew each round. Formats: proc(5) and the kernel's `Documentation/filesystems/proc.rst`.

pub mod arp;
pub mod conntrack;
pub mod diskstats;
pub mod loadavg;
pub mod meminfo;
pub mod mountinfo;
pub mod netdev;
pub mod netstat;
pub mod pid;
pub mod pressure;
pub mod schedstat;
pub mod sockstat;
pub mod softnet;
pub mod stat;
pub mod udp;
pub mod uptime;
pub mod vmstat;
