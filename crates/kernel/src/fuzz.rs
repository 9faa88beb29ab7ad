//! Fuzz bodies: each takes any bytes and must not panic.

use crate::{procfs, sysfs};

/// All readers of procfs.
pub fn procfs(data: &[u8]) {
    let _ = procfs::arp::each_device(data, |_| ());
    let _ = procfs::conntrack::parse(data);
    let _ = procfs::diskstats::read(data, &mut Vec::new());
    let _ = procfs::loadavg::parse(data);
    let _ = procfs::meminfo::Meminfo::default().read(data);
    let _ = procfs::mountinfo::parse(data);
    let _ = procfs::netdev::read(data, &mut Vec::new());
    let _ = procfs::netstat::each(data, |_, _, _| ());
    let _ = procfs::netstat::each6(data, |_, _, _| ());
    let _ = procfs::pid::parse_stat(data);
    let _ = procfs::pid::status_field(data, "Uid");
    let _ = procfs::pid::each_cgroup(data, |_, _, _| ());
    let _ = procfs::pressure::parse(data);
    let _ = procfs::schedstat::read(data, &mut Vec::new());
    let _ = procfs::sockstat::each(data, |_, _, _| ());
    let _ = procfs::softnet::read(data, &mut Vec::new());
    let _ = procfs::stat::Stat::default().read(data);
    let _ = procfs::udp::parse(data);
    let _ = procfs::uptime::parse(data);
    let _ = procfs::vmstat::each(data, |_, _| ());
}

/// All readers of sysfs that take bytes.
pub fn sysfs(data: &[u8]) {
    let _ = sysfs::cpu::parse_list(data);
    if let Ok(name) = std::str::from_utf8(data) {
        let _ = sysfs::hwmon::split_name(name);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes(data in prop::collection::vec(any::<u8>(), 0..300)) {
            super::procfs(&data);
            super::sysfs(&data);
        }

        /// Words of the real formats in any order come further into the readers than noise does.
        #[test]
        fn any_words(words in prop::collection::vec(prop::sample::select(vec![
            "cpu", "cpu0", "cpu99999999999", "intr", "softirq", " ", "\n", ":", "/", "-", "=", "0", "7",
            "18446744073709551615", "18446744073709551616", "-9223372036854775808", "kB", "some", "full",
            "total", "avg10", "(", ")", "ffffffff", "0x", "\\0", "\\040", "eth0", "6", "Tcp", "\u{fffd}",
        ]), 0..80)) {
            super::procfs(words.concat().as_bytes());
            super::procfs(words.join(" ").as_bytes());
            super::sysfs(words.concat().as_bytes());
        }
    }
}
