//! The times of pages and chunks that a reader decoded lately: series of one target share them, and a read in
//! the order of labels goes from target to target. Decodes nothing itself.

use hashbrown::HashMap;

/// So many are kept; with pages of 1,024 times they take four megabytes.
const KEPT_MAX: usize = 512;
/// Those of other lengths take no more than eight.
const NUMBERS_MAX: usize = 1 << 20;

/// Decoded times by a key that means the same for as long as this is kept.
#[derive(Default)]
pub(crate) struct Times<K> {
    kept: HashMap<K, Vec<i64>>,
    /// Numbers in all that is kept.
    numbers: usize,
}

impl<K: std::hash::Hash + Eq + Copy> Times<K> {
    /// The times of a key, which `load` appends where they are not kept.
    pub fn get<E>(
        &mut self,
        key: K,
        load: impl FnOnce(&mut Vec<i64>) -> Result<(), E>,
    ) -> Result<&[i64], E> {
        let full = self.kept.len() >= KEPT_MAX || self.numbers >= NUMBERS_MAX;
        if full && !self.kept.contains_key(&key) {
            self.kept.clear();
            self.numbers = 0;
        }
        match self.kept.entry(key) {
            hashbrown::hash_map::Entry::Occupied(kept) => Ok(kept.into_mut()),
            hashbrown::hash_map::Entry::Vacant(free) => {
                let mut times = Vec::new();
                load(&mut times)?;
                self.numbers += times.len();
                Ok(free.insert(times))
            }
        }
    }
}
