//! `udp_queues`: bytes waiting in UDP sockets (`/proc/net/udp`, `udp6`).

use super::Collector;
use crate::{Failure, Families, Files};
use kernel::KeptFile;
use kernel::procfs::udp;
use model::Kind;

pub(super) struct UdpQueues {
    files: [(KeptFile, &'static str, Option<udp::Queues>); 2],
}

impl Default for UdpQueues {
    fn default() -> UdpQueues {
        let v4 = (KeptFile::new("net/udp"), "v4", None);
        UdpQueues { files: [v4, (KeptFile::new("net/udp6"), "v6", None)] }
    }
}

impl Collector for UdpQueues {
    fn read(&mut self, files: &mut Files) -> Result<(), Failure> {
        for (file, _, queues) in &mut self.files {
            *queues = None;
            *queues = file.parse(files.procfs(), udp::parse)?;
        }
        if self.files.iter().all(|f| f.2.is_none()) {
            return Err(Failure::absent("UDP queues", "/proc/net/udp"));
        }
        Ok(())
    }

    fn write(&self, out: &mut Families<'_>) {
        let name = "node_udp_queues";
        let help = "Number of allocated memory in the kernel for UDP datagrams in bytes.";
        out.begin(name, help, Kind::Gauge);
        for (_, ip, queues) in &self.files {
            if let Some(queues) = queues {
                out.sample(name, &[("ip", ip), ("queue", "tx")], queues.transmit as f64);
                out.sample(name, &[("ip", ip), ("queue", "rx")], queues.receive as f64);
            }
        }
    }
}
