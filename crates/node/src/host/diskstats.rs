//! `diskstats`: counters of block devices (`/proc/diskstats`), and what udev and sysfs know of them.

use super::every::Every;
use super::filter::Filter;
use super::udev::Properties;
use super::{Collector, column};
use crate::{Error, Failure, Families, Files, Options};
use kernel::procfs::diskstats::Disk;
use kernel::{Dir, sysfs};
use model::Kind;
use std::path::PathBuf;

/// How often udev and sysfs are asked again what a device is.
const INFO_PERIOD_MS: i64 = 60_000;

/// Family, help, kind and unit of each column.
const COLUMNS: [(&str, &str, Kind, f64); 17] = {
    const SECTOR: f64 = 512.0;
    const MS: f64 = 0.001;
    use Kind::{Counter, Gauge};
    [
        (
            "node_disk_reads_completed_total",
            "The total number of reads completed successfully.",
            Counter,
            1.0,
        ),
        ("node_disk_reads_merged_total", "The total number of reads merged.", Counter, 1.0),
        (
            "node_disk_read_bytes_total",
            "The total number of bytes read successfully.",
            Counter,
            SECTOR,
        ),
        (
            "node_disk_read_time_seconds_total",
            "The total number of seconds spent by all reads.",
            Counter,
            MS,
        ),
        (
            "node_disk_writes_completed_total",
            "The total number of writes completed successfully.",
            Counter,
            1.0,
        ),
        ("node_disk_writes_merged_total", "The number of writes merged.", Counter, 1.0),
        (
            "node_disk_written_bytes_total",
            "The total number of bytes written successfully.",
            Counter,
            SECTOR,
        ),
        (
            "node_disk_write_time_seconds_total",
            "This is the total number of seconds spent by all writes.",
            Counter,
            MS,
        ),
        ("node_disk_io_now", "The number of I/Os currently in progress.", Gauge, 1.0),
        ("node_disk_io_time_seconds_total", "Total seconds spent doing I/Os.", Counter, MS),
        (
            "node_disk_io_time_weighted_seconds_total",
            "The weighted # of seconds spent doing I/Os.",
            Counter,
            MS,
        ),
        (
            "node_disk_discards_completed_total",
            "The total number of discards completed successfully.",
            Counter,
            1.0,
        ),
        ("node_disk_discards_merged_total", "The total number of discards merged.", Counter, 1.0),
        (
            "node_disk_discarded_sectors_total",
            "The total number of sectors discarded successfully.",
            Counter,
            1.0,
        ),
        (
            "node_disk_discard_time_seconds_total",
            "This is the total number of seconds spent by all discards.",
            Counter,
            MS,
        ),
        (
            "node_disk_flush_requests_total",
            "The total number of flush requests completed successfully",
            Counter,
            1.0,
        ),
        (
            "node_disk_flush_requests_time_seconds_total",
            "This is the total number of seconds spent by all flush requests.",
            Counter,
            MS,
        ),
    ]
};

/// Udev property, family and help of what ATA disks have.
const ATA: [(&str, &str, &str); 3] = [
    ("ID_ATA_WRITE_CACHE", "node_disk_ata_write_cache", "ATA disk has a write cache."),
    (
        "ID_ATA_WRITE_CACHE_ENABLED",
        "node_disk_ata_write_cache_enabled",
        "ATA disk has its write cache enabled.",
    ),
    (
        "ID_ATA_ROTATION_RATE_RPM",
        "node_disk_ata_rotation_rate_rpm",
        "ATA disk rotation rate in RPMs (0 for SSDs).",
    ),
];

pub(super) struct Diskstats {
    filter: Filter,
    udev: PathBuf,
    /// Those that are served, with what they are.
    disks: Vec<(Disk, Info)>,
    refresh: Every,
}

struct Info {
    major: String,
    minor: String,
    rotational: &'static str,
    udev: Properties,
}

impl Diskstats {
    pub fn open(options: &Options) -> Result<Diskstats, Error> {
        Ok(Diskstats {
            filter: Filter::open(options, "collector.diskstats.device")?,
            udev: options.flags.get("path.udev.data").into(),
            disks: Vec::new(),
            refresh: Every::default(),
        })
    }

    /// The list of served devices anew, with what they are.
    fn look_up(&mut self, disks: Vec<Disk>, files: &Files) {
        let udev = Dir::open(&self.udev).ok();
        let mut buffer = Vec::new();
        self.disks.clear();
        for disk in disks {
            let path = format!("block/{}/queue/rotational", disk.name.replace('/', "!"));
            let rotational = files
                .sysfs()
                .and_then(|s| sysfs::read_number(s, &path, &mut buffer).ok().flatten());
            let info = Info {
                major: disk.major.to_string(),
                minor: disk.minor.to_string(),
                rotational: if rotational == Some(1) { "1" } else { "0" },
                udev: udev
                    .as_ref()
                    .map(|u| Properties::read(u, disk.major, disk.minor))
                    .unwrap_or_default(),
            };
            self.disks.push((disk, info));
        }
    }
}

fn is_same(a: &Disk, b: &Disk) -> bool {
    a.name == b.name && (a.major, a.minor) == (b.major, b.minor)
}

impl Collector for Diskstats {
    fn read(&mut self, files: &mut Files) -> Result<(), Failure> {
        let now_ms = files.now_ms();
        let read = files.diskstats();
        let Ok(Some(all)) = &read else {
            self.disks.clear();
            return match read {
                Err(error) => Err(error.into()),
                Ok(_) => Err(Failure::absent("block devices", "/proc/diskstats")),
            };
        };
        // In most rounds the devices are the same: only their numbers are taken over.
        let mut served = self.disks.iter_mut();
        let mut next = served.next();
        let mut same = true;
        for disk in all.iter() {
            match &mut next {
                Some((known, _)) if is_same(known, disk) => {
                    (known.count, known.values) = (disk.count, disk.values);
                    next = served.next();
                }
                _ if self.filter.ignores(&disk.name) => {}
                _ => same = false,
            }
        }
        let same = same && next.is_none();
        if !same || self.refresh.is_due(now_ms, INFO_PERIOD_MS) {
            let served = all.iter().filter(|d| !self.filter.ignores(&d.name)).cloned().collect();
            self.look_up(served, files);
        }
        Ok(())
    }

    fn write(&self, out: &mut Families<'_>) {
        self.write_info(out);
        for (index, (name, help, kind, unit)) in COLUMNS.into_iter().enumerate() {
            let has = self.disks.iter().filter(|d| index < d.0.count);
            let rows = has.map(|(d, _)| (d.name.as_str(), d.values[index] as f64 * unit));
            column(out, name, help, kind, "device", rows);
        }
        let with = |property: &'static str| {
            self.disks.iter().filter(move |d| !d.1.udev.get(property).is_empty())
        };
        let name = "node_disk_filesystem_info";
        out.begin(name, "Info about disk filesystem.", Kind::Gauge);
        for (disk, Info { udev, .. }) in with("ID_FS_TYPE") {
            let labels = [
                ("device", disk.name.as_str()),
                ("type", udev.get("ID_FS_TYPE")),
                ("usage", udev.get("ID_FS_USAGE")),
                ("uuid", udev.get("ID_FS_UUID")),
                ("version", udev.get("ID_FS_VERSION")),
            ];
            out.sample(name, &labels, 1.0);
        }
        let name = "node_disk_device_mapper_info";
        out.begin(name, "Info about disk device mapper.", Kind::Gauge);
        for (disk, Info { udev, .. }) in with("DM_NAME") {
            let labels = [
                ("device", disk.name.as_str()),
                ("lv_layer", udev.get("DM_LV_LAYER")),
                ("lv_name", udev.get("DM_LV_NAME")),
                ("name", udev.get("DM_NAME")),
                ("uuid", udev.get("DM_UUID")),
                ("vg_name", udev.get("DM_VG_NAME")),
            ];
            out.sample(name, &labels, 1.0);
        }
        for (property, name, help) in ATA {
            let value = |udev: &Properties| udev.get(property).parse::<f64>().ok();
            let rows = with("ID_ATA").filter_map(|(d, i)| Some((d.name.as_str(), value(&i.udev)?)));
            column(out, name, help, Kind::Gauge, "device", rows);
        }
    }
}

impl Diskstats {
    fn write_info(&self, out: &mut Families<'_>) {
        let name = "node_disk_info";
        out.begin(name, "Info of /sys/block/<block_device>.", Kind::Gauge);
        for (disk, info) in &self.disks {
            let udev = &info.udev;
            let labels = [
                ("device", disk.name.as_str()),
                ("major", &info.major),
                ("minor", &info.minor),
                ("model", udev.get("ID_MODEL")),
                ("path", udev.get("ID_PATH")),
                ("revision", udev.get("ID_REVISION")),
                ("rotational", info.rotational),
                ("serial", udev.first(&["SCSI_IDENT_SERIAL", "ID_SERIAL_SHORT", "ID_SERIAL"])),
                ("wwn", udev.get("ID_WWN")),
            ];
            out.sample(name, &labels, 1.0);
        }
    }
}
