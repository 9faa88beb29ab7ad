//! `filesystem`: how much room each mounted file system has.
//!
//! File systems of this machine are asked at once. All others, and what lies below one of them, may hang
//! when their server is gone; those are left to [`MountWatch`].

use super::Collector;
use super::filter::Filter;
use super::mount_watch::{self, Answer, MountWatch, Statfs};
use crate::{Error, Failure, Families, Files, Options};
use kernel::procfs::mountinfo::Mount;
use kernel::statfs::Space;
use model::Kind;
use std::path::{Path, PathBuf};
use std::time::Duration;

const TIMEOUT: &str = "collector.filesystem.mount-timeout";

/// Types whose statfs answers from this kernel's memory.
const LOCAL: [&str; 34] = [
    "bcachefs",
    "bpf",
    "btrfs",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "erofs",
    "exfat",
    "ext2",
    "ext3",
    "ext4",
    "f2fs",
    "hugetlbfs",
    "iso9660",
    "jfs",
    "mqueue",
    "nsfs",
    "ntfs3",
    "proc",
    "pstore",
    "ramfs",
    "rootfs",
    "securityfs",
    "squashfs",
    "sysfs",
    "tmpfs",
    "tracefs",
    "udf",
    "vfat",
    "xfs",
    "zfs",
];

pub(super) struct Filesystem {
    points: Filter,
    types: Filter,
    statfs: Statfs,
    watch: MountWatch,
    mounts_version: u64,
    mounts: Vec<Served>,
    answers: Vec<Answer>,
}

/// A mount that is served.
struct Served {
    /// Where to ask.
    path: PathBuf,
    is_local: bool,
    is_read_only: bool,
    device: String,
    fs_type: String,
    mount_point: String,
    major: String,
    minor: String,
}

impl Filesystem {
    pub fn open(options: &Options) -> Result<Filesystem, Error> {
        let timeout = options.flags.get(TIMEOUT);
        let timeout = parse_duration(timeout).ok_or_else(|| Error::Value {
            flag: TIMEOUT.into(),
            value: timeout.into(),
            reason: "not a duration such as 5s or 500ms".into(),
        })?;
        Ok(Filesystem {
            points: Filter::open(options, "collector.filesystem.mount-points")?,
            types: Filter::open(options, "collector.filesystem.fs-types")?,
            statfs: mount_watch::real(),
            watch: MountWatch::new(timeout, mount_watch::real()),
            mounts_version: 0,
            mounts: Vec::new(),
            answers: Vec::new(),
        })
    }

    /// The mounts that are served, each label set once.
    fn choose(&mut self, mounts: &[Mount], rootfs: &Path) {
        self.mounts.clear();
        for mount in mounts {
            let mount_point = strip_root(&mount.point, rootfs);
            if self.points.ignores(mount_point) || self.types.ignores(&mount.fs_type) {
                continue;
            }
            let known = |s: &Served| {
                s.device == mount.source
                    && s.mount_point == mount_point
                    && s.fs_type == mount.fs_type
            };
            if self.mounts.iter().any(known) {
                continue;
            }
            self.mounts.push(Served {
                path: rootfs.join(mount_point.trim_start_matches('/')),
                is_local: is_local(mount, mounts),
                is_read_only: mount.is_read_only(),
                device: mount.source.clone(),
                fs_type: mount.fs_type.clone(),
                mount_point: mount_point.into(),
                major: mount.major.to_string(),
                minor: mount.minor.to_string(),
            });
        }
    }

    fn ask(&mut self) -> Result<(), Failure> {
        let remote: Vec<PathBuf> =
            self.mounts.iter().filter(|m| !m.is_local).map(|m| m.path.clone()).collect();
        let mut remote = self.watch.ask(&remote).into_iter();
        self.answers.clear();
        let mut silent = Vec::new();
        for mount in &self.mounts {
            let answer = match mount.is_local {
                true => mount_watch::ask(&self.statfs, &mount.path),
                false => remote.next().unwrap_or(Answer::Waiting),
            };
            match answer {
                Answer::Stuck | Answer::Waiting => silent.push(mount.mount_point.as_str()),
                Answer::Space(_) | Answer::Error(_) => {}
            }
            self.answers.push(answer);
        }
        if silent.is_empty() {
            return Ok(());
        }
        Err(Failure::Warning(format!("no answer from the file system at {}", silent.join(", "))))
    }
}

/// Whether neither the mount nor any on the way to it can hang.
fn is_local(mount: &Mount, all: &[Mount]) -> bool {
    let mut mount = mount;
    // A path has fewer mounts on it than there are; a loop in a broken file ends here too.
    for _ in 0..=all.len() {
        if LOCAL.binary_search(&mount.fs_type.as_str()).is_err() {
            return false;
        }
        match all.iter().find(|m| m.id == mount.parent && m.id != mount.id) {
            Some(parent) => mount = parent,
            None => return true,
        }
    }
    false
}

/// The mount point as the host sees it, where the host's root is another folder than `/`.
fn strip_root<'a>(point: &'a str, rootfs: &Path) -> &'a str {
    if rootfs == Path::new("/") {
        return point;
    }
    match point.strip_prefix(rootfs.to_string_lossy().as_ref()) {
        Some("") => "/",
        Some(rest) => rest,
        None => point,
    }
}

/// `5s`, `500ms`, `1m`.
fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..digits].parse().ok()?;
    let unit_ms = match &text[digits..] {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        _ => return None,
    };
    number.checked_mul(unit_ms).map(Duration::from_millis)
}

impl Collector for Filesystem {
    fn read(&mut self, files: &mut Files) -> Result<(), Failure> {
        let rootfs = files.paths().rootfs.clone();
        match files.mounts() {
            Ok(Some(mounts)) => {
                if mounts.version != self.mounts_version {
                    self.mounts_version = mounts.version;
                    self.choose(&mounts.list, &rootfs);
                }
                self.ask()
            }
            Ok(None) => {
                (self.mounts_version, self.mounts) = (0, Vec::new());
                Err(Failure::absent("file systems", "/proc/1/mountinfo"))
            }
            Err(error) => {
                (self.mounts_version, self.mounts) = (0, Vec::new());
                Err(error.into())
            }
        }
    }

    fn write(&self, out: &mut Families<'_>) {
        let mut family =
            |name: &str, help: &str, value: &dyn Fn(&Served, &Answer) -> Option<f64>| {
                out.begin(name, help, Kind::Gauge);
                for (mount, answer) in self.mounts.iter().zip(&self.answers) {
                    let device_error = match answer {
                        Answer::Error(error) => error.as_str(),
                        Answer::Stuck => "mountpoint timeout",
                        Answer::Space(_) => "",
                        Answer::Waiting => continue,
                    };
                    if let Some(value) = value(mount, answer) {
                        let labels = [
                            ("device", mount.device.as_str()),
                            ("device_error", device_error),
                            ("fstype", &mount.fs_type),
                            ("mountpoint", &mount.mount_point),
                        ];
                        out.sample(name, &labels, value);
                    }
                }
            };
        family(
            "node_filesystem_device_error",
            "Whether an error occurred while getting statistics for the given device.",
            &|_, answer| Some(f64::from(!matches!(answer, Answer::Space(_)))),
        );
        family("node_filesystem_readonly", "Filesystem read-only status.", &|mount, _| {
            Some(f64::from(mount.is_read_only))
        });
        for (name, help, field) in SPACES {
            family(name, help, &|_, answer| match answer {
                Answer::Space(space) => Some(field(space)),
                _ => None,
            });
        }
        let name = "node_filesystem_mount_info";
        out.begin(name, "Filesystem mount information.", Kind::Gauge);
        for (mount, answer) in self.mounts.iter().zip(&self.answers) {
            if matches!(answer, Answer::Space(_)) {
                let labels = [
                    ("device", mount.device.as_str()),
                    ("major", &mount.major),
                    ("minor", &mount.minor),
                    ("mountpoint", &mount.mount_point),
                ];
                out.sample(name, &labels, 1.0);
            }
        }
    }
}

type Field = fn(&Space) -> f64;

const SPACES: [(&str, &str, Field); 6] = [
    ("node_filesystem_size_bytes", "Filesystem size in bytes.", |s| s.size),
    ("node_filesystem_free_bytes", "Filesystem free space in bytes.", |s| s.free),
    (
        "node_filesystem_avail_bytes",
        "Filesystem space available to non-root users in bytes.",
        |s| s.available,
    ),
    ("node_filesystem_files", "Filesystem total file nodes.", |s| s.files),
    ("node_filesystem_files_free", "Filesystem total free file nodes.", |s| s.files_free),
    // Always 0 on Linux, as node_exporter has it.
    (
        "node_filesystem_purgeable_bytes",
        "Filesystem space available including purgeable space (MacOS specific).",
        |_| 0.0,
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Node;
    use kernel::Paths;
    use std::sync::Arc;
    use std::time::Instant;

    #[test]
    fn local_is_what_no_server_is_needed_for() {
        assert!(LOCAL.is_sorted(), "it is searched by halves");
        let mount = |id, parent, fs_type: &str| Mount {
            id,
            parent,
            fs_type: fs_type.into(),
            ..Mount::default()
        };
        let all =
            [mount(1, 0, "ext4"), mount(2, 1, "nfs4"), mount(3, 2, "tmpfs"), mount(4, 4, "xfs")];
        let local: Vec<bool> = all.iter().map(|m| is_local(m, &all)).collect();
        assert_eq!(local, [true, false, false, true]);
        let ring = [mount(1, 2, "ext4"), mount(2, 1, "ext4")];
        assert!(!is_local(&ring[0], &ring));
    }

    #[test]
    fn mount_points_are_the_hosts() {
        let host = Path::new("/host");
        let stripped = ["/host", "/host/a", "/a"].map(|p| strip_root(p, host));
        assert_eq!(stripped, ["/", "/a", "/a"]);
        assert_eq!(strip_root("/host/a", Path::new("/")), "/host/a");
        assert_eq!(parse_duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(
            (parse_duration("5"), parse_duration("s"), parse_duration("-1s")),
            (None, None, None)
        );
    }

    /// Collects text lines of samples.
    #[derive(Default)]
    struct Lines(Vec<String>);

    impl model::Sink for Lines {
        fn family(&mut self, _: &model::Family<'_>) {}

        fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64, _: Option<i64>) {
            self.0.push(format!("{name} {labels:?} {value}"));
        }
    }

    #[test]
    fn a_dead_mount_is_reported_and_nothing_waits_for_it() {
        let tree = tempfile::tempdir().expect("a folder");
        let write = |path: &str, text: &str| {
            let path = tree.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            std::fs::write(path, text).expect("a file");
        };
        write(
            "proc/1/mountinfo",
            "1 0 8:1 / / rw - ext4 /dev/sda rw\n2 1 0:9 / /mnt/dead rw - nfs4 server:/x ro\n",
        );
        let paths = Paths {
            procfs: tree.path().join("proc"),
            sysfs: tree.path().join("sys"),
            ..Paths::default()
        };
        let mut options = Options { paths: paths.clone(), ..Options::default() };
        options.flags.set(TIMEOUT, "150ms").expect("known");
        let mut collector = Filesystem::open(&options).expect("opens");
        let hang: Statfs = Arc::new(|path: &Path| {
            if path.ends_with("dead") {
                std::thread::sleep(Duration::from_secs(3600));
            }
            Ok(Space::default())
        });
        collector.statfs = hang.clone();
        collector.watch = MountWatch::new(Duration::from_millis(150), hang);
        let mut files = Files::open(&paths).expect("opens");
        let start = Instant::now();
        files.begin(0);
        assert!(collector.read(&mut files).is_err());
        std::thread::sleep(Duration::from_millis(160));
        files.begin(1);
        let error = collector.read(&mut files).expect_err("one does not answer");
        assert_eq!(error.to_string(), "no answer from the file system at /mnt/dead");
        assert!(start.elapsed() < Duration::from_secs(1));
        let mut lines = Lines::default();
        collector.write(&mut Families(&mut lines));
        let dead = |name: &str, value: u8| {
            format!(
                "node_filesystem_{name} [(\"device\", \"server:/x\"), (\"device_error\", \
                 \"mountpoint timeout\"), (\"fstype\", \"nfs4\"), (\"mountpoint\", \"/mnt/dead\")] {value}"
            )
        };
        assert!(lines.0.contains(&dead("device_error", 1)), "{:#?}", lines.0);
        assert!(lines.0.contains(&dead("readonly", 1)));
        assert!(!lines.0.iter().any(|l| l.contains("size_bytes") && l.contains("dead")));
        assert!(lines.0.iter().any(|l| l.contains("size_bytes") && l.contains("/dev/sda")));
    }

    #[test]
    fn this_machine_has_file_systems() {
        let mut node = Node::open(Options::default()).expect("opens");
        node.collect(0);
        let mut lines = Lines::default();
        node.write_node(&mut lines);
        let root = |l: &&String| l.contains("size_bytes") && l.contains("(\"mountpoint\", \"/\")");
        assert!(lines.0.iter().find(root).is_some(), "{:#?}", lines.0);
    }
}
