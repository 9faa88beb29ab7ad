//! What is collected, and from where.

use crate::{Error, host};
use kernel::Paths;
use std::path::PathBuf;
use std::time::Duration;

/// The options of a [`Node`](crate::Node). The defaults are node_exporter's.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Where the kernel's file systems are.
    pub paths: Paths,
    /// Which collectors are on.
    pub collectors: Collectors,
    /// Folders whose `*.prom` files are served (`--collector.textfile.directory`); patterns with `*`
    /// and `?` are allowed.
    pub textfile_directories: Vec<PathBuf>,
    /// The other flags of the collectors.
    pub flags: Flags,
    /// How long the last reading of a container that ended stays among cAdvisor's families, with its
    /// own time. Each is there in the round after its end at least, which is enough for who takes every
    /// round (a store); who is read by others now and then gives them time to come.
    pub ended_containers_shown: Duration,
}

/// A flag of a collector, spelled as node_exporter spells it.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    /// Its name without the dashes in front.
    pub name: &'static str,
    /// What holds where it is not given.
    pub default: &'static str,
    /// One line for people.
    pub help: &'static str,
}

const fn flag(name: &'static str, default: &'static str, help: &'static str) -> Flag {
    Flag { name, default, help }
}

/// All flags of the collectors, by name. Patterns are regular expressions that may match anywhere.
pub const FLAGS: &[Flag] = &[
    flag("collector.arp.device-exclude", "", "Leave out ARP entries of devices that match."),
    flag("collector.arp.device-include", "", "Serve ARP entries of devices that match only."),
    flag("collector.cpu.guest", "true", "Serve node_cpu_guest_seconds_total."),
    flag(
        "collector.diskstats.device-exclude",
        r"^(z?ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$",
        "Leave out block devices that match.",
    ),
    flag("collector.diskstats.device-include", "", "Serve block devices that match only."),
    flag(
        "collector.filesystem.fs-types-exclude",
        "^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|hugetlbfs|iso9660|\
         mqueue|nsfs|overlay|proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|erofs|sysfs|\
         tracefs)$",
        "Leave out file systems whose type matches.",
    ),
    flag(
        "collector.filesystem.fs-types-include",
        "",
        "Serve file systems whose type matches only.",
    ),
    flag(
        "collector.filesystem.mount-points-exclude",
        "^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)",
        "Leave out mount points that match.",
    ),
    flag("collector.filesystem.mount-points-include", "", "Serve mount points that match only."),
    flag(
        "collector.filesystem.mount-timeout",
        "5s",
        "How long a mount may stay without an answer before it is reported as failed.",
    ),
    flag("collector.hwmon.chip-exclude", "", "Leave out sensor chips that match."),
    flag("collector.hwmon.chip-include", "", "Serve sensor chips that match only."),
    flag("collector.hwmon.sensor-exclude", "", "Leave out sensors whose chip;sensor matches."),
    flag("collector.hwmon.sensor-include", "", "Serve sensors whose chip;sensor matches only."),
    flag("collector.netdev.device-exclude", "", "Leave out network devices that match."),
    flag("collector.netdev.device-include", "", "Serve network devices that match only."),
    flag(
        "collector.netstat.fields",
        "^(.*_(InErrors|InErrs)|Ip_Forwarding|Ip(6|Ext)_(InOctets|OutOctets)|Icmp6?_(InMsgs|OutMsgs)|\
         TcpExt_(Listen.*|Syncookies.*|TCPSynRetrans|TCPTimeouts|TCPOFOQueue|TCPRcvQDrop)|\
         Tcp_(ActiveOpens|InSegs|OutSegs|OutRsts|PassiveOpens|RetransSegs|CurrEstab)|\
         Udp6?_(InDatagrams|OutDatagrams|NoPorts|RcvbufErrors|SndbufErrors))$",
        "Serve fields of netstat that match.",
    ),
    flag("collector.stat.softirq", "false", "Serve node_softirqs_total."),
    flag(
        "collector.vmstat.fields",
        "^(oom_kill|pgpg|pswp|pg.*fault).*",
        "Serve fields of vmstat that match.",
    ),
    flag("path.udev.data", "/run/udev/data", "Where udev keeps what it knows of block devices."),
];

/// The flags that were given.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    given: Vec<(&'static str, String)>,
}

impl Flags {
    /// Gives a flag by its name without dashes; the last value holds.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), Error> {
        let known = FLAGS.iter().find(|f| f.name == name);
        let known = known.ok_or_else(|| Error::UnknownFlag { name: name.into() })?;
        self.given.push((known.name, value.into()));
        Ok(())
    }

    /// The value that holds.
    pub fn get(&self, name: &'static str) -> &str {
        let default = || FLAGS.iter().find(|f| f.name == name).map_or("", |f| f.default);
        self.given(name).unwrap_or_else(default)
    }

    /// The value that was given, if any.
    pub(crate) fn given(&self, name: &str) -> Option<&str> {
        self.given.iter().rev().find(|g| g.0 == name).map(|g| g.1.as_str())
    }
}

/// Which collectors are on: node_exporter's defaults, and what was changed of them.
#[derive(Clone, Debug, Default)]
pub struct Collectors {
    changed: Vec<(String, bool)>,
    defaults_off: bool,
}

impl Collectors {
    /// The names of all collectors of the host, in the order in which they are written.
    pub fn names() -> impl Iterator<Item = &'static str> {
        host::LIST.iter().map(|entry| entry.name)
    }

    /// No collector is on but those that are switched on by name (`--collector.disable-defaults`).
    pub fn disable_defaults(&mut self) {
        self.defaults_off = true;
    }

    /// Switches one on or off (`--collector.NAME`, `--no-collector.NAME`).
    pub fn set(&mut self, name: &str, on: bool) -> Result<(), Error> {
        if !Collectors::names().any(|known| known == name) {
            let known = Collectors::names().collect::<Vec<_>>().join(", ");
            return Err(Error::UnknownCollector { name: name.into(), known });
        }
        self.changed.push((name.into(), on));
        Ok(())
    }

    /// Whether one is on.
    pub fn is_on(&self, name: &str) -> bool {
        let changed = self.changed.iter().rev().find(|c| c.0 == name);
        changed.map_or(!self.defaults_off, |c| c.1)
    }
}
