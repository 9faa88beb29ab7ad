//! Memory: memory.stat, memory.current/usage_in_bytes, peaks, limits, events and OOM kills.

use super::text;
use crate::Unexpected;

/// What a group holds, in bytes, and what happened to it. A member is `None` where its file is not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// All memory charged to the group and the groups below it.
    pub usage: Option<u64>,
    /// The highest usage so far (v2: kernel 5.19 and newer).
    pub peak: Option<u64>,
    /// How often usage hit the limit (v1).
    pub failcnt: Option<u64>,
    /// Kernel memory (v1: memory.kmem.usage_in_bytes; v2: `kernel` of memory.stat).
    pub kernel: Option<u64>,
    /// Swap (v1: `total_swap` of memory.stat; v2: memory.swap.current).
    pub swap: Option<u64>,
    /// Page cache.
    pub cache: Option<u64>,
    /// Anonymous memory.
    pub rss: Option<u64>,
    /// Files mapped into processes.
    pub mapped_file: Option<u64>,
    /// Page cache used recently.
    pub active_file: Option<u64>,
    /// Page cache not used recently.
    pub inactive_file: Option<u64>,
    /// Page faults; of the group alone on v1.
    pub page_faults: Option<u64>,
    /// Those that had to read from disk.
    pub major_page_faults: Option<u64>,
    /// Events.
    pub events: Events,
}

impl Memory {
    /// What is needed: usage without the page cache that was not used recently.
    pub fn working_set(&self) -> Option<u64> {
        self.usage.map(|usage| usage.saturating_sub(self.inactive_file.unwrap_or(0)))
    }

    /// Takes in v1's memory.stat: the `total_` values, which include the groups below, as long as
    /// the hierarchy is accounted (since kernel 5.11 always).
    pub fn parse_v1_stat(&mut self, bytes: &[u8]) -> Result<(), Unexpected> {
        text::pairs(bytes, |key, value| {
            let member = match key {
                b"total_cache" => &mut self.cache,
                b"total_rss" => &mut self.rss,
                b"total_swap" => &mut self.swap,
                b"total_mapped_file" => &mut self.mapped_file,
                b"total_active_file" => &mut self.active_file,
                b"total_inactive_file" => &mut self.inactive_file,
                b"pgfault" => &mut self.page_faults,
                b"pgmajfault" => &mut self.major_page_faults,
                _ => return false,
            };
            *member = Some(value);
            true
        })
    }

    /// Takes in v2's memory.stat.
    pub fn parse_v2_stat(&mut self, bytes: &[u8]) -> Result<(), Unexpected> {
        text::pairs(bytes, |key, value| {
            let member = match key {
                b"file" => &mut self.cache,
                b"anon" => &mut self.rss,
                b"kernel" => &mut self.kernel,
                b"file_mapped" => &mut self.mapped_file,
                b"active_file" => &mut self.active_file,
                b"inactive_file" => &mut self.inactive_file,
                b"pgfault" => &mut self.page_faults,
                b"pgmajfault" => &mut self.major_page_faults,
                _ => return false,
            };
            *member = Some(value);
            true
        })
    }
}

/// How often limits took hold: v2's memory.events (hierarchical), and of v1's memory.oom_control the
/// one counter that it has. `None` where the kernel does not count it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Events {
    /// Reclaimed although below `memory.low`.
    pub low: Option<u64>,
    /// Throttled above `memory.high`.
    pub high: Option<u64>,
    /// Was about to go above `memory.max`.
    pub max: Option<u64>,
    /// The limit was reached and an allocation was about to fail.
    pub oom: Option<u64>,
    /// Processes of the group killed for memory.
    pub oom_kill: Option<u64>,
}

impl Events {
    /// Parses memory.events or memory.oom_control.
    pub fn parse(bytes: &[u8]) -> Result<Events, Unexpected> {
        let mut events = Events::default();
        text::pairs(bytes, |key, value| {
            let member = match key {
                b"low" => &mut events.low,
                b"high" => &mut events.high,
                b"max" => &mut events.max,
                b"oom" => &mut events.oom,
                b"oom_kill" => &mut events.oom_kill,
                _ => return false,
            };
            *member = Some(value);
            true
        })?;
        Ok(events)
    }
}

/// How much memory a group may have, in bytes; [`super::UNLIMITED`] where v2 says `max`. `None` where
/// there is no such file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryLimits {
    /// The hard limit (memory.max, memory.limit_in_bytes).
    pub limit: Option<u64>,
    /// v1: memory and swap together (memory.memsw.limit_in_bytes); v2: swap alone (memory.swap.max).
    pub swap_limit: Option<u64>,
    /// v1: memory.soft_limit_in_bytes; v2: memory.min.
    pub reservation: Option<u64>,
    /// Above it the group is throttled (v2).
    pub high: Option<u64>,
    /// Below it the group is spared (v2).
    pub low: Option<u64>,
}

impl MemoryLimits {
    /// The hard limit, where it is one: v1 writes the largest multiple of the page size for none.
    pub fn hard(&self) -> Option<u64> {
        self.limit.filter(|&limit| limit < 1 << 62)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v1_takes_the_totals() {
        let mut m = Memory { usage: Some(100), ..Memory::default() };
        m.parse_v1_stat(b"cache 1\nrss 2\npgfault 3\ntotal_cache 10\ntotal_rss 20\ntotal_inactive_file 30\ntotal_pgfault 9\n")
            .unwrap();
        assert_eq!((m.cache, m.rss, m.page_faults), (Some(10), Some(20), Some(3)));
        assert_eq!(m.working_set(), Some(70));
        m.usage = Some(7);
        assert_eq!(m.working_set(), Some(0));
    }

    #[test]
    fn v2_and_events() {
        let mut m = Memory::default();
        m.parse_v2_stat(b"anon 5\nfile 6\nkernel 7\ninactive_file 1\nactive_file 2\nfile_mapped 3\npgfault 8\npgmajfault 9\n")
            .unwrap();
        assert_eq!(
            (m.rss, m.cache, m.kernel, m.major_page_faults),
            (Some(5), Some(6), Some(7), Some(9))
        );
        let e = Events::parse(b"low 0\nhigh 0\nmax 117\noom 3\noom_kill 1\noom_group_kill 0\n")
            .unwrap();
        assert_eq!((e.max, e.oom, e.oom_kill), (Some(117), Some(3), Some(1)));
        let e = Events::parse(b"oom_kill_disable 0\nunder_oom 0\noom_kill 4\n").unwrap();
        assert_eq!((e.oom, e.oom_kill), (None, Some(4)));
    }

    #[test]
    fn no_limit_on_either_version() {
        let limit = |limit| MemoryLimits { limit, ..MemoryLimits::default() }.hard();
        assert_eq!(limit(Some(9_223_372_036_854_771_712)), None);
        assert_eq!(limit(Some(super::super::UNLIMITED)), None);
        assert_eq!(limit(Some(1 << 20)), Some(1 << 20));
        assert_eq!(limit(None), None);
    }
}
