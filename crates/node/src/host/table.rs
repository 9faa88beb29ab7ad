//! Families whose names come from the kernel's own words, one sample each: meminfo, vmstat, netstat.
//!
//! The words come in the same order each round, so a name is built once and found again by comparing
//! bytes at its position.

use crate::Families;
use model::Kind;
use model::labels::is_label_name;

/// See the module.
#[derive(Default)]
pub(super) struct Table {
    rows: Vec<Row>,
    at: usize,
}

struct Row {
    key: Vec<u8>,
    /// `None` for what is not served.
    family: Option<Family>,
    value: f64,
}

/// What a word becomes.
pub(super) struct Family {
    pub name: String,
    pub help: String,
    pub kind: Kind,
}

impl Table {
    /// Begins a round.
    pub fn begin(&mut self) {
        self.at = 0;
    }

    /// The next value. A word that was not at this position before is given to `describe`; what that names
    /// with other letters than a metric name may have, or a second time, is not served.
    pub fn put(
        &mut self,
        group: &[u8],
        word: &[u8],
        value: f64,
        describe: impl FnOnce(&str, &str) -> Option<Family>,
    ) {
        let same = |row: &Row| row.key.strip_prefix(group).is_some_and(|rest| rest == word);
        if !self.rows.get(self.at).is_some_and(same) {
            self.rows.truncate(self.at);
            let described = match (std::str::from_utf8(group), std::str::from_utf8(word)) {
                (Ok(group), Ok(word)) => describe(group, word),
                _ => None,
            };
            let taken = |name: &str| {
                self.rows.iter().any(|r| r.family.as_ref().is_some_and(|f| f.name == name))
            };
            let family = described.filter(|f| is_label_name(&f.name) && !taken(&f.name));
            let key = [group, word].concat();
            self.rows.push(Row { key, family, value: 0.0 });
        }
        self.rows[self.at].value = value;
        self.at += 1;
    }

    /// Ends a round: what did not come this time is gone.
    pub fn end(&mut self) {
        self.rows.truncate(self.at);
    }

    /// Writes all that is served.
    pub fn write(&self, out: &mut Families<'_>) {
        for row in &self.rows {
            if let Some(family) = &row.family {
                out.begin(&family.name, &family.help, family.kind);
                out.sample(&family.name, &[], row.value);
            }
        }
    }
}
