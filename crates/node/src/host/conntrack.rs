//! `conntrack`: the connection tracking table.

use super::Collector;
use super::entropy::parse_number;
use crate::{Failure, Families, Files, Missing};
use kernel::KeptFile;
use kernel::procfs::conntrack;

pub(super) struct Conntrack {
    entries_file: KeptFile,
    limit_file: KeptFile,
    stat_file: KeptFile,
    entries: Option<u64>,
    limit: Option<u64>,
    stat: Option<conntrack::Conntrack>,
}

impl Default for Conntrack {
    fn default() -> Conntrack {
        Conntrack {
            entries_file: KeptFile::new("sys/net/netfilter/nf_conntrack_count"),
            limit_file: KeptFile::new("sys/net/netfilter/nf_conntrack_max"),
            stat_file: KeptFile::new("net/stat/nf_conntrack"),
            entries: None,
            limit: None,
            stat: None,
        }
    }
}

impl Collector for Conntrack {
    fn read(&mut self, files: &mut Files) -> Result<(), Failure> {
        (self.entries, self.limit, self.stat) = (None, None, None);
        let dir = files.procfs();
        self.entries = self.entries_file.parse(dir, parse_number)?;
        if self.entries.is_some() {
            self.limit = self.limit_file.parse(dir, parse_number)?;
        }
        if self.limit.is_some() {
            self.stat = self.stat_file.parse(dir, conntrack::parse)?;
        }
        if self.stat.is_some() {
            return Ok(());
        }
        let missing = Missing::new("connection tracking", "the kernel does not track connections");
        Err(Failure::Missing(missing.with_remedy("load the module nf_conntrack")))
    }

    fn write(&self, out: &mut Families<'_>) {
        let mut gauge = |name: &str, help: &str, value: u64| out.gauge(name, help, value as f64);
        if let Some(entries) = self.entries {
            gauge(
                "node_nf_conntrack_entries",
                "Number of currently allocated flow entries for connection tracking.",
                entries,
            );
        }
        if let Some(limit) = self.limit {
            gauge(
                "node_nf_conntrack_entries_limit",
                "Maximum size of connection tracking table.",
                limit,
            );
        }
        let Some(stat) = self.stat else { return };
        gauge(
            "node_nf_conntrack_stat_found",
            "Number of searched entries which were successful.",
            stat.found,
        );
        gauge(
            "node_nf_conntrack_stat_invalid",
            "Number of packets seen which can not be tracked.",
            stat.invalid,
        );
        gauge(
            "node_nf_conntrack_stat_ignore",
            "Number of packets seen which are already connected to a conntrack entry.",
            stat.ignore,
        );
        gauge(
            "node_nf_conntrack_stat_insert",
            "Number of entries inserted into the list.",
            stat.insert,
        );
        gauge(
            "node_nf_conntrack_stat_insert_failed",
            "Number of entries for which list insertion was attempted but failed.",
            stat.insert_failed,
        );
        gauge(
            "node_nf_conntrack_stat_drop",
            "Number of packets dropped due to conntrack failure.",
            stat.drop,
        );
        gauge(
            "node_nf_conntrack_stat_early_drop",
            "Number of dropped conntrack entries to make room for new ones, if maximum table size was \
             reached.",
            stat.early_drop,
        );
        gauge(
            "node_nf_conntrack_stat_search_restart",
            "Number of conntrack table lookups which had to be restarted due to hashtable resizes.",
            stat.search_restart,
        );
    }
}
