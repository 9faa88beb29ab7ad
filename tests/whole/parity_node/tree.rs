//! A made-up machine as file trees: content in every file that the collectors of the host read.

use anyhow::{Context, Result};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// The trees, removed when dropped.
pub struct Tree {
    root: tempfile::TempDir,
}

impl Tree {
    /// Writes everything.
    pub fn write() -> Result<Tree> {
        let tree = Tree { root: tempfile::tempdir()? };
        for (path, text) in PROCFS.iter().chain(SYSFS).chain(OTHERS) {
            let path = tree.path(path);
            std::fs::create_dir_all(path.parent().context("no parent")?)?;
            std::fs::write(&path, text).with_context(|| path.display().to_string())?;
        }
        for folder in ["root/srv/space here", "root/var/lib/data"] {
            std::fs::create_dir_all(tree.path(folder))?;
        }
        let devices = tree.path("sys/devices/platform/heat.0");
        std::fs::create_dir_all(&devices)?;
        symlink(&devices, tree.path("sys/class/hwmon/hwmon0/device"))?;
        Ok(tree)
    }

    /// A path below it.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.root.path().join(path)
    }

    /// The same as a flag's value.
    pub fn text(&self, path: &str) -> String {
        self.path(path).display().to_string()
    }
}

const PROCFS: &[(&str, &str)] = &[
    (
        "proc/stat",
        "cpu  731 12 340 90417 88 3 41 9 5 2\n\
         cpu0 401 7 190 45208 44 1 30 4 3 1\n\
         cpu1 330 5 150 45209 44 2 11 5 2 1\n\
         intr 881234 12 0 7 0 0 99\n\
         ctxt 5550123\n\
         btime 1790000123\n\
         processes 40411\n\
         procs_running 3\n\
         procs_blocked 1\n\
         softirq 91011 1 2 3 4 5 6 7 8 9 10\n",
    ),
    (
        "proc/meminfo",
        "MemTotal:       16309248 kB\nMemFree:         2209248 kB\nMemAvailable:    9309248 kB\n\
         Buffers:          210248 kB\nCached:          4209248 kB\nSwapCached:            4 kB\n\
         Active:          5309248 kB\nInactive:        3309248 kB\nActive(anon):    1309248 kB\n\
         Inactive(anon):    12248 kB\nActive(file):    4000000 kB\nInactive(file):  3297000 kB\n\
         Unevictable:          16 kB\nMlocked:              16 kB\nSwapTotal:       2097148 kB\n\
         SwapFree:        2097100 kB\nZswap:                 8 kB\nZswapped:             24 kB\n\
         Dirty:               188 kB\nWriteback:             0 kB\nAnonPages:       1302248 kB\n\
         Mapped:           408576 kB\nShmem:             20972 kB\nKReclaimable:     310248 kB\n\
         Slab:             420972 kB\nSReclaimable:     310248 kB\nSUnreclaim:       110724 kB\n\
         KernelStack:        9312 kB\nPageTables:        19072 kB\nNFS_Unstable:          0 kB\n\
         Bounce:                0 kB\nWritebackTmp:          0 kB\nCommitLimit:    10251772 kB\n\
         Committed_AS:    4409248 kB\nVmallocTotal:   34359738367 kB\nVmallocUsed:       38372 kB\n\
         VmallocChunk:          0 kB\nPercpu:             2208 kB\nHardwareCorrupted:     0 kB\n\
         AnonHugePages:    245760 kB\nShmemHugePages:        0 kB\nShmemPmdMapped:        0 kB\n\
         CmaTotal:              0 kB\nCmaFree:               0 kB\nHugePages_Total:       6\n\
         HugePages_Free:        2\nHugePages_Rsvd:        1\nHugePages_Surp:        0\n\
         Hugepagesize:       2048 kB\nHugetlb:           12288 kB\nDirectMap4k:      203520 kB\n\
         DirectMap2M:     8087552 kB\nDirectMap1G:     8388608 kB\n",
    ),
    (
        "proc/diskstats",
        "   8       0 sda 25354 34378 1003300 18492 28444 11134 505698 63916 1 47384 64000 11 2 30004 5 7 9\n   \
         8       1 sda1 250 34 10033 184 284 111 5056 639 0 473 653\n \
         259       0 nvme0n1 101 0 8080 33 0 0 0 0 0 21 33 0 0 0 0\n \
         253       0 dm-0 59910 0 468290 262 39231 0 313848 114 7 3 377\n   \
         7       0 loop0 5 0 22 0 0 0 0 0 0 0 0\n",
    ),
    ("proc/loadavg", "0.21 0.37 1.39 3/719 19737\n"),
    (
        "proc/vmstat",
        "nr_free_pages 977769\npgpgin 7344136\npgpgout 1541180576\npswpin 1476\npswpout 35045\n\
         pgfault 2320168809\npgmajfault 507162\npgalloc_dma 7\noom_kill 2\n",
    ),
    ("proc/pressure/cpu", "some avg10=0.00 avg60=0.10 avg300=0.20 total=14036781\n"),
    (
        "proc/pressure/io",
        "some avg10=0.18 avg60=0.34 avg300=0.10 total=159229614\n\
         full avg10=0.18 avg60=0.34 avg300=0.10 total=159229333\n",
    ),
    (
        "proc/pressure/memory",
        "some avg10=0.00 avg60=0.00 avg300=0.00 total=5\n\
         full avg10=0.00 avg60=0.00 avg300=0.00 total=3\n",
    ),
    ("proc/pressure/irq", "full avg10=0.00 avg60=0.00 avg300=0.00 total=8494\n"),
    (
        "proc/1/mountinfo",
        "20 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro\n\
         21 20 0:5 / /dev rw,nosuid shared:2 - devtmpfs udev rw,size=8100000k\n\
         22 20 0:21 / /proc rw - proc proc rw\n\
         23 20 253:0 / /srv/space\\040here ro,relatime - xfs /dev/mapper/vg-space rw\n\
         24 20 253:1 / /var/lib/data rw - btrfs /dev/mapper/a\\040b rw,emergency_ro\n\
         25 20 253:0 / /srv/space\\040here ro,relatime - xfs /dev/mapper/vg-space rw\n\
         26 20 0:33 / /not/there rw - ext2 /dev/sdz9 rw\n\
         27 20 0:34 / /remote rw - nfs4 server:/export rw\n\
         28 20 0:35 / /var/lib/docker/overlay2/x/merged rw - ext4 /dev/sdq rw\n",
    ),
    ("proc/sys/fs/file-nr", "3328\t0\t1631329\n"),
    ("proc/sys/kernel/random/entropy_avail", "251\n"),
    ("proc/sys/kernel/random/poolsize", "256\n"),
    ("proc/sys/net/netfilter/nf_conntrack_count", "123\n"),
    ("proc/sys/net/netfilter/nf_conntrack_max", "65536\n"),
    (
        "proc/net/stat/nf_conntrack",
        "entries searched found new invalid ignore delete delete_list insert insert_failed drop early_drop \
         icmp_error  expect_new expect_create expect_delete search_restart\n\
         00000021  00000000 00000001 00000000 00000003 0000588a 00000000 00000000 00000002 00000004 \
         00000005 00000006 00000000  00000000 00000000 00000000 0000000a\n\
         00000021  00000000 00000010 00000000 00000002 000056a4 00000000 00000000 00000000 00000001 \
         00000000 00000000 00000000  00000000 00000000 00000000 00000002\n",
    ),
    (
        "proc/schedstat",
        "version 15\ntimestamp 15819019232\n\
         cpu0 498494191 0 3533438552 2553969831 3853684107 2465731542 2045936778163039 343796328169361 \
         4767485306\n\
         domain0 00000000,00000003 212499247 210112015 1861015 1860405436 536440 369895 32599 210079416\n\
         cpu1 518377256 0 4155211005 2778589869 10466382 2867629021 1904686152592476 364107263788241 \
         5145567945\n",
    ),
    (
        "proc/net/dev",
        "Inter-|   Receive                                                |  Transmit\n \
         face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo \
         colls carrier compressed\n  \
         eth0: 10437182923 13899359 1 2 3 4 5 6 2851649360 10211410 7 8 9 10 11 12\n    \
         lo: 1664039048 1566805 0 0 0 0 0 0 1664039048 1566805 0 0 0 0 0 0\n\
         veth4B09XN: 648 8 0 0 0 0 0 0 1943284 10640 0 0 0 0 0 0\n\
         alias0:1: 1 2 0 0 0 0 0 0 3 4 0 0 0 0 0 0\n",
    ),
    (
        "proc/net/snmp",
        "Ip: Forwarding DefaultTTL InReceives\nIp: 1 64 57740232\n\
         Icmp: InMsgs InErrors InCsumErrors OutMsgs\nIcmp: 104 1 0 120\n\
         Tcp: RtoAlgorithm MaxConn ActiveOpens PassiveOpens CurrEstab InSegs OutSegs RetransSegs InErrs OutRsts\n\
         Tcp: 1 -1 3556 230 8 57252008 54915039 227 5 1003\n\
         Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors\n\
         Udp: 88542 120 1 53028 9 8\n\
         UdpLite: InDatagrams NoPorts InErrors\nUdpLite: 0 0 2\n",
    ),
    (
        "proc/net/netstat",
        "TcpExt: SyncookiesSent SyncookiesRecv SyncookiesFailed TW ListenOverflows ListenDrops TCPTimeouts \
         TCPSynRetrans TCPOFOQueue TCPRcvQDrop\n\
         TcpExt: 1 2 3 388812 4 5 115 99 42 6\n\
         IpExt: InNoRoutes InOctets OutOctets\nIpExt: 7 6286396970 2786264347\n",
    ),
    (
        "proc/net/snmp6",
        "Ip6InReceives                   \t7\nIp6InOctets                     \t460\n\
         Ip6OutOctets                    \t536\nIcmp6InMsgs                     \t1\n\
         Icmp6InErrors                   \t2\nIcmp6OutMsgs                    \t8\n\
         Udp6InDatagrams                 \t3\nUdp6NoPorts                     \t4\n\
         Udp6InErrors                    \t5\nUdp6OutDatagrams                \t6\n\
         Udp6RcvbufErrors                \t7\nUdp6SndbufErrors                \t8\n\
         UdpLite6InErrors                \t9\n",
    ),
    (
        "proc/net/sockstat",
        "sockets: used 229\nTCP: inuse 4 orphan 1 tw 5 alloc 17 mem 2\nUDP: inuse 3 mem 1\n\
         UDPLITE: inuse 0\nRAW: inuse 6\nFRAG: inuse 7 memory 8\n",
    ),
    (
        "proc/net/sockstat6",
        "TCP6: inuse 17\nUDP6: inuse 9\nUDPLITE6: inuse 0\nRAW6: inuse 1\nFRAG6: inuse 2 memory 3\n",
    ),
    (
        "proc/net/softnet_stat",
        "00049279 00000001 00000002 00000000 00000000 00000000 00000000 00000000 00000003 00000004 00000005 \
         00000006 00000000\n\
         000dfb82 00000029 0000000a 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 \
         00000000 00000001\n",
    ),
    (
        "proc/net/udp",
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref \
         pointer drops\n    \
         0: 0A000005:0016 00000000:0000 0A 00000015:00000001 00:00000000 00000000     0        0 2740 1 \
         ffff88003d3af3c0 100\n    \
         1: 00000000:0016 00000000:0000 0A 00000000:000000F2 00:00000000 00000000     0        0 2740 1 \
         ffff88003d3af3c0 0\n",
    ),
    (
        "proc/net/udp6",
        "  sl  local_address                         remote_address                        st tx_queue \
         rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n \
         1315: 00000000000000000000000000000000:14EB 00000000000000000000000000000000:0000 07 \
         00000003:0000000A 00:00000000 00000000   981        0 21040 2 0000000013726323 0\n",
    ),
    (
        "proc/net/arp",
        "IP address       HW type     Flags       HW address            Mask     Device\n\
         192.168.1.5      0x1         0x2         cc:aa:dd:ee:aa:bb     *        eth0\n\
         192.168.1.6      0x1         0x0         00:00:00:00:00:00     *        eth0\n\
         10.0.3.2         0x1         0x2         cc:aa:dd:ee:aa:bc     *        br-x\n",
    ),
];

const SYSFS: &[(&str, &str)] = &[
    ("sys/block/sda/queue/rotational", "1\n"),
    ("sys/block/nvme0n1/queue/rotational", "0\n"),
    ("sys/devices/system/cpu/isolated", "1\n"),
    ("sys/devices/system/cpu/offline", "3\n"),
    ("sys/devices/system/cpu/online", "0-2\n"),
    ("sys/devices/system/cpu/cpu0/online", "1\n"),
    ("sys/devices/system/cpu/cpu0/topology/physical_package_id", "0\n"),
    ("sys/devices/system/cpu/cpu0/topology/core_id", "0\n"),
    ("sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count", "5\n"),
    ("sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count", "30\n"),
    ("sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_cur_freq", "1699981\n"),
    ("sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_avg_freq", "1600000\n"),
    ("sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", "3700000\n"),
    ("sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_min_freq", "800000\n"),
    ("sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "1699980\n"),
    ("sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq", "3600000\n"),
    ("sys/devices/system/cpu/cpu0/cpufreq/scaling_min_freq", "900000\n"),
    ("sys/devices/system/cpu/cpu0/cpufreq/scaling_available_governors", "performance powersave\n"),
    ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n"),
    ("sys/devices/system/cpu/cpu0/cpufreq/scaling_driver", "made_up\n"),
    ("sys/devices/system/cpu/cpu0/cpufreq/scaling_setspeed", "<unsupported>\n"),
    ("sys/devices/system/cpu/cpu0/cpufreq/related_cpus", "0\n"),
    ("sys/devices/system/cpu/cpu1/online", "1\n"),
    ("sys/devices/system/cpu/cpu1/topology/physical_package_id", "0\n"),
    ("sys/devices/system/cpu/cpu1/topology/core_id", "1\n"),
    ("sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count", "9\n"),
    ("sys/devices/system/cpu/cpu1/thermal_throttle/package_throttle_count", "30\n"),
    ("sys/devices/system/cpu/cpu2/online", "1\n"),
    ("sys/devices/system/cpu/cpu2/topology/physical_package_id", "1\n"),
    ("sys/devices/system/cpu/cpu2/topology/core_id", "0\n"),
    ("sys/devices/system/cpu/cpu2/thermal_throttle/core_throttle_count", "4\n"),
    ("sys/devices/system/cpu/cpu2/thermal_throttle/package_throttle_count", "6\n"),
    ("sys/devices/system/cpu/cpu3/online", "0\n"),
    ("sys/devices/system/clocksource/clocksource0/available_clocksource", "tsc hpet acpi_pm \n"),
    ("sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n"),
    ("sys/class/thermal/thermal_zone0/type", "bcm_thermal\n"),
    ("sys/class/thermal/thermal_zone0/policy", "step_wise\n"),
    ("sys/class/thermal/thermal_zone0/temp", "41925\n"),
    ("sys/class/thermal/thermal_zone12/type", "cold\n"),
    ("sys/class/thermal/thermal_zone12/policy", "step_wise\n"),
    ("sys/class/thermal/thermal_zone12/temp", "-3050\n"),
    ("sys/class/thermal/cooling_device0/type", "Processor\n"),
    ("sys/class/thermal/cooling_device0/cur_state", "-1\n"),
    ("sys/class/thermal/cooling_device0/max_state", "27\n"),
    ("sys/class/hwmon/hwmon0/name", "heat\n"),
    ("sys/class/hwmon/hwmon0/temp1_input", "55000\n"),
    ("sys/class/hwmon/hwmon0/temp1_max", "84000\n"),
    ("sys/class/hwmon/hwmon0/temp1_crit", "100000\n"),
    ("sys/class/hwmon/hwmon0/temp1_crit_alarm", "0\n"),
    ("sys/class/hwmon/hwmon0/temp1_alarm", "1\n"),
    ("sys/class/hwmon/hwmon0/temp1_fault", "0\n"),
    ("sys/class/hwmon/hwmon0/temp1_label", "Core 0\n"),
    ("sys/class/hwmon/hwmon0/temp1_type", "2\n"),
    ("sys/class/hwmon/hwmon0/temp2_input", "not a number\n"),
    ("sys/class/hwmon/hwmon0/in0_input", "1216\n"),
    ("sys/class/hwmon/hwmon0/in0_beep", "1\n"),
    ("sys/class/hwmon/hwmon0/beep_enable", "1\n"),
    ("sys/class/hwmon/hwmon0/vrm", "90\n"),
    ("sys/class/hwmon/hwmon0/update_interval", "1500\n"),
    ("sys/class/hwmon/hwmon0/intrusion0_alarm", "1\n"),
    ("sys/class/hwmon/hwmon1/name", "board\n"),
    ("sys/class/hwmon/hwmon1/fan1_input", "1098\n"),
    ("sys/class/hwmon/hwmon1/fan1_min", "300\n"),
    ("sys/class/hwmon/hwmon1/fan1_div", "4\n"),
    ("sys/class/hwmon/hwmon1/fan2", "700\n"),
    ("sys/class/hwmon/hwmon1/pwm1", "153\n"),
    ("sys/class/hwmon/hwmon1/pwm1_enable", "2\n"),
    ("sys/class/hwmon/hwmon1/curr1_input", "1500\n"),
    ("sys/class/hwmon/hwmon1/power1_average", "21000000\n"),
    ("sys/class/hwmon/hwmon1/power1_average_interval", "1000\n"),
    ("sys/class/hwmon/hwmon1/power1_accuracy", "95000\n"),
    ("sys/class/hwmon/hwmon1/energy1_input", "40500000\n"),
    ("sys/class/hwmon/hwmon1/humidity1_input", "43000\n"),
    ("sys/class/hwmon/hwmon1/freq1_input", "300000000\n"),
    ("sys/class/hwmon/hwmon1/freq1_label", "sclk\n"),
    ("sys/class/hwmon/hwmon1/freq2_input", "1\n"),
];

const OTHERS: &[(&str, &str)] = &[
    (
        "root/etc/os-release",
        "PRETTY_NAME=\"Made Up Linux 9.4.1 (Quiet)\"\nNAME=\"Made Up Linux\"\nVERSION_ID=\"9.4.1\"\n\
         VERSION=\"9.4.1 (Quiet)\"\nVERSION_CODENAME=quiet\nID=madeup\nID_LIKE='debian other'\n\
         BUILD_ID=77\nSUPPORT_END=2031-05-29\n# a comment\nHOME_URL=\"https://example.org/\"\n",
    ),
    (
        "udev/b8:0",
        "S:disk/by-id/wwn-x\nE:ID_ATA=1\nE:ID_ATA_WRITE_CACHE=1\nE:ID_ATA_WRITE_CACHE_ENABLED=0\n\
         E:ID_ATA_ROTATION_RATE_RPM=7200\nE:ID_MODEL=TURNING_DISK\nE:ID_PATH=pci-0000:00:1f.2-ata-1\n\
         E:ID_REVISION=01A\nE:ID_SERIAL_SHORT=S-77\nE:ID_WWN=0x5000\n",
    ),
    (
        "udev/b253:0",
        "E:DM_LV_LAYER=\nE:DM_LV_NAME=space\nE:DM_NAME=vg-space\nE:DM_UUID=LVM-1\nE:DM_VG_NAME=vg\n\
         E:ID_FS_TYPE=xfs\nE:ID_FS_USAGE=filesystem\nE:ID_FS_UUID=1-2-3\nE:ID_FS_VERSION=\n",
    ),
    ("udev/b259:0", "E:SCSI_IDENT_SERIAL=ident\nE:ID_SERIAL=other\n"),
    (
        "text/a.prom",
        "# HELP backup_seconds How long the backup took.\n# TYPE backup_seconds gauge\n\
         backup_seconds{disk=\"a\",to=\"tape\"} 12.5\nbackup_seconds{disk=\"b\"} 7\n\
         # TYPE runs_total counter\nruns_total 3\nplain_value -1e-3\n",
    ),
    (
        "text/b.prom",
        "# HELP waiting_seconds Time in the queue.\n# TYPE waiting_seconds histogram\n\
         waiting_seconds_bucket{le=\"0.1\"} 1\nwaiting_seconds_bucket{le=\"1\"} 4\n\
         waiting_seconds_bucket{le=\"+Inf\"} 5\nwaiting_seconds_sum 8.25\nwaiting_seconds_count 5\n\
         # HELP size_bytes Sizes.\n# TYPE size_bytes summary\nsize_bytes{quantile=\"0.5\"} 100\n\
         size_bytes_sum 1000\nsize_bytes_count 9\n\
         # TYPE runs_total counter\nruns_total{where=\"here\"} 4\n",
    ),
    ("text/broken.prom", "# TYPE fine gauge\nfine 1\nbroken{a=\"b} 2\n"),
    ("text/timed.prom", "timed 1 1700000000000\n"),
    ("text/not_ours.txt", "other 1\n"),
];
