//! What the machine is: the `machine_*` families, cadvisor_version_info, the limits of the root group,
//! names of block devices, and the file systems that cAdvisor counts to the root group.

use super::reading::Reading;
use kernel::{Dir, Paths, parse};
use std::collections::{BTreeMap, BTreeSet};

/// What does not change while the machine runs (but for memory and CPUs that are plugged in).
#[derive(Debug, Default)]
pub(super) struct Machine {
    pub boot_id: String,
    pub machine_id: String,
    pub system_uuid: String,
    pub kernel_version: String,
    pub os_version: String,
    pub cores: u64,
    pub physical_cores: u64,
    pub sockets: u64,
    pub memory_bytes: u64,
    pub swap_bytes: u64,
    /// When it booted, cut to the minute: no group is older.
    pub boot_ms: i64,
}

impl Machine {
    /// Reads it. What is not there stays empty.
    pub fn read(paths: &Paths, now_ms: i64) -> Machine {
        let text = |dir: &std::path::Path, file: &str| {
            let mut bytes = Vec::new();
            let read = Dir::open(dir).is_ok_and(|d| d.read(file, &mut bytes).is_ok_and(|r| r));
            read.then(|| String::from_utf8_lossy(&bytes).trim().to_string())
        };
        let proc = |file| text(&paths.procfs, file).unwrap_or_default();
        let root = |file| text(&paths.rootfs, file);
        let cpuinfo = proc("cpuinfo");
        let (cores, physical_cores, sockets) = count_cpus(&cpuinfo);
        let meminfo = proc("meminfo");
        let release = root("etc/os-release").or_else(|| root("usr/lib/os-release"));
        let uptime: f64 =
            proc("uptime").split(' ').next().and_then(|u| u.parse().ok()).unwrap_or(0.0);
        let boot_ms = now_ms - (uptime * 1000.0) as i64;
        let machine_id =
            root("etc/machine-id").or_else(|| root("var/lib/dbus/machine-id")).unwrap_or_default();
        Machine {
            boot_id: proc("sys/kernel/random/boot_id"),
            // A machine without DMI has no other name for itself (cAdvisor does the same).
            system_uuid: text(&paths.sysfs, "class/dmi/id/product_uuid")
                .unwrap_or_else(|| machine_id.clone()),
            machine_id,
            kernel_version: proc("sys/kernel/osrelease"),
            os_version: release.and_then(|r| pretty_name(&r)).unwrap_or_else(|| "Linux".into()),
            cores,
            physical_cores,
            sockets,
            memory_bytes: meminfo_bytes(&meminfo, "MemTotal:"),
            swap_bytes: meminfo_bytes(&meminfo, "SwapTotal:"),
            boot_ms: boot_ms - boot_ms.rem_euclid(60_000),
        }
    }

    /// Fills what the root group's files do not say: on v2 it has no memory.current, and nowhere has
    /// it limits, since the machine is the limit.
    pub fn complete(&self, root: &mut Reading) {
        let limits = root.memory_limits.get_or_insert_default();
        limits.limit = Some(self.memory_bytes);
        limits.swap_limit = Some(self.swap_bytes);
        if root.memory.usage.is_none() {
            root.memory.usage = match (root.memory.rss, root.memory.cache) {
                (Some(rss), Some(cache)) => Some(rss + cache),
                _ => None,
            };
        }
    }
}

/// Logical CPUs, cores and sockets of /proc/cpuinfo; machines that do not name cores there have as many
/// as CPUs, and one socket.
fn count_cpus(cpuinfo: &str) -> (u64, u64, u64) {
    let (mut cpus, mut cores, mut sockets) = (0, BTreeSet::new(), BTreeSet::new());
    let mut socket = "";
    for line in cpuinfo.lines() {
        let Some((key, value)) = line.split_once(':') else { continue };
        match key.trim() {
            "processor" => cpus += 1,
            "physical id" => {
                socket = value.trim();
                sockets.insert(socket);
            }
            "core id" => {
                cores.insert((socket, value.trim()));
            }
            _ => {}
        }
    }
    let or = |n: usize, other: u64| if n == 0 { other } else { n as u64 };
    (cpus, or(cores.len(), cpus), or(sockets.len(), 1))
}

fn meminfo_bytes(meminfo: &str, key: &str) -> u64 {
    let line = meminfo.lines().find_map(|l| l.strip_prefix(key)).unwrap_or("");
    let kib = line.split_whitespace().next().and_then(|n| n.parse::<u64>().ok());
    kib.unwrap_or(0).saturating_mul(1024)
}

fn pretty_name(release: &str) -> Option<String> {
    release.lines().find_map(|l| Some(l.strip_prefix("PRETTY_NAME=")?.trim_matches('"').into()))
}

/// Names of block devices, looked up once each.
#[derive(Debug, Default)]
pub(super) struct Devices {
    names: BTreeMap<(u32, u32), DeviceName>,
}

/// A device as labels show it.
#[derive(Debug)]
pub(super) struct DeviceName {
    /// `/dev/sda`; empty where it is unknown, or a kind that cAdvisor does not name.
    pub path: String,
    pub major: String,
    pub minor: String,
}

impl Devices {
    /// Looks up the devices of a reading that were not seen before.
    pub fn learn(&mut self, sysfs: Option<&Dir>, reading: &Reading) {
        for device in reading.io.iter().flatten() {
            let numbers = (device.major, device.minor);
            self.names.entry(numbers).or_insert_with(|| DeviceName {
                path: device_path(sysfs, numbers).unwrap_or_default(),
                major: numbers.0.to_string(),
                minor: numbers.1.to_string(),
            });
        }
    }

    pub fn get(&self, major: u32, minor: u32) -> Option<&DeviceName> {
        self.names.get(&(major, minor))
    }
}

/// `/dev/NAME` by /sys/dev/block/MAJOR:MINOR/uevent; none for loop, ram and optical devices.
fn device_path(sysfs: Option<&Dir>, (major, minor): (u32, u32)) -> Option<String> {
    let mut bytes = Vec::new();
    sysfs?.read(&format!("dev/block/{major}:{minor}/uevent"), &mut bytes).ok()?;
    let name = parse::lines(&bytes).find_map(|l| l.strip_prefix(b"DEVNAME="))?;
    let name = String::from_utf8_lossy(name);
    let ignored = ["loop", "ram", "sr"].iter().any(|p| name.starts_with(p));
    (!ignored).then(|| format!("/dev/{name}"))
}

/// A file system that is counted to a group.
#[derive(Clone, Debug, Default)]
pub(super) struct Filesystem {
    pub device: String,
    mount_point: String,
    numbers: (u32, u32),
    pub limit_bytes: f64,
    pub usage_bytes: f64,
    pub inodes: f64,
    pub inodes_free: f64,
    /// The eleven counters of /proc/diskstats, zero where the device has none there.
    pub disk: [u64; 11],
}

impl Filesystem {
    /// Asks how much room it has, by a path in it. All that are counted are local, so none holds this up.
    pub fn read_space(&mut self, path: &std::path::Path) {
        let Ok(space) = kernel::statfs::statfs(path) else { return };
        self.limit_bytes = space.size;
        self.usage_bytes = space.size - space.free;
        (self.inodes, self.inodes_free) = (space.files, space.files_free);
    }
}

/// The file systems of the root group: local ones, each device once.
#[derive(Debug, Default)]
pub(super) struct Filesystems {
    pub all: Vec<Filesystem>,
    mounts: Vec<u8>,
    buffer: Vec<u8>,
}

impl Filesystems {
    /// Reads them anew; with `mounts` also which there are.
    pub fn read(&mut self, procfs: &Dir, paths: &Paths, mounts: bool) -> Result<(), kernel::Error> {
        if mounts && procfs.read("self/mountinfo", &mut self.buffer)? && self.buffer != self.mounts
        {
            std::mem::swap(&mut self.buffer, &mut self.mounts);
            self.all = counted(&String::from_utf8_lossy(&self.mounts));
        }
        self.read_space(paths);
        if procfs.read("diskstats", &mut self.buffer)? {
            self.take_diskstats();
        }
        Ok(())
    }

    fn read_space(&mut self, paths: &Paths) {
        for fs in &mut self.all {
            fs.read_space(&paths.rootfs.join(fs.mount_point.trim_start_matches('/')));
        }
    }

    /// The file system that is the root of a process and not one of the machine's: a disk or an image
    /// of its own. Layers over the machine's disk have no size of their own, so they are none.
    pub fn own_root(&mut self, procfs: &Dir, pid: u32) -> Option<Filesystem> {
        procfs.read(&format!("{pid}/mountinfo"), &mut self.buffer).ok().filter(|&r| r)?;
        let mounts = counted(&String::from_utf8_lossy(&self.buffer));
        let root = mounts.into_iter().find(|fs| fs.mount_point == "/")?;
        let of_machine = self.all.iter().any(|fs| fs.numbers == root.numbers);
        (!of_machine && root.device.starts_with("/dev/")).then_some(root)
    }

    /// Only devices of the kinds that cAdvisor reads: sd, vd, xvd and their partitions, and dm.
    fn take_diskstats(&mut self) {
        for line in parse::lines(&self.buffer) {
            let mut fields = parse::fields(line);
            let (Some(major), Some(minor), Some(name)) = (
                fields.next().and_then(parse::number),
                fields.next().and_then(parse::number),
                fields.next(),
            ) else {
                continue;
            };
            if ![&b"sd"[..], b"vd", b"xvd", b"dm-"].iter().any(|p| name.starts_with(p)) {
                continue;
            }
            let numbers = (major as u32, minor as u32);
            for fs in self.all.iter_mut().filter(|fs| fs.numbers == numbers) {
                let mut rest = fields.clone();
                fs.disk = std::array::from_fn(|_| rest.next().and_then(parse::number).unwrap_or(0));
            }
        }
    }
}

/// The mounts that are counted, each device at its first mount point.
fn counted(mountinfo: &str) -> Vec<Filesystem> {
    let mut found: Vec<Filesystem> = Vec::new();
    for line in mountinfo.lines() {
        let Some((before, after)) = line.split_once(" - ") else { continue };
        let mut before = before.split(' ');
        let (Some(numbers), Some(point)) = (before.nth(2), before.nth(1)) else { continue };
        let mut after = after.split(' ');
        let (Some(kind), Some(source)) = (after.next(), after.next()) else { continue };
        let Some((major, minor)) = numbers.split_once(':') else { continue };
        let (Ok(major), Ok(minor)) = (major.parse(), minor.parse()) else { continue };
        let device = match kind {
            "tmpfs" => point.to_string(),
            "overlay" => format!("{source}_{major}-{minor}"),
            "xfs" | "squashfs" | "f2fs" | "jfs" | "reiserfs" | "hfs" | "hfsplus" | "ntfs"
            | "vfat" | "fat" | "msdos" | "exfat" | "udf" | "iso9660" | "btrfs" | "zfs" => {
                source.to_string()
            }
            kind if kind.starts_with("ext") => source.to_string(),
            _ => continue,
        };
        if found.iter().any(|fs| fs.device == device) || point.contains('\\') {
            continue;
        }
        found.push(Filesystem {
            device,
            mount_point: point.into(),
            numbers: (major, minor),
            ..Filesystem::default()
        });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpus_of_two_sockets() {
        let cpu = |p, s, c| format!("processor\t: {p}\nphysical id\t: {s}\ncore id\t\t: {c}\n\n");
        let text = [cpu(0, 0, 0), cpu(1, 0, 0), cpu(2, 1, 0), cpu(3, 1, 0)].concat();
        assert_eq!(count_cpus(&text), (4, 2, 2));
        assert_eq!(count_cpus("processor\t: 0\n"), (1, 1, 1));
        assert_eq!(count_cpus(""), (0, 0, 1));
    }

    #[test]
    fn mounts_that_are_counted() {
        let table = "27 1 254:0 / / rw - ext4 /dev/vda rw\n\
            28 27 254:0 /x /mnt rw - ext4 /dev/vda rw\n\
            31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
            32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
            33 27 0:40 / /nfs rw - nfs4 server:/ rw\n\
            34 27 0:41 / /o rw - overlay overlay rw\n";
        let devices: Vec<_> = counted(table).into_iter().map(|f| f.device).collect();
        assert_eq!(devices, ["/dev/vda", "/sys/fs/cgroup", "overlay_0-41"]);
    }
}
