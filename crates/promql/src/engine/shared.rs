//! What follows from the times of samples alone, found once for all series of a read that share their times.
//! Series come in the order of labels and go from target to target, so that of several targets is kept.

use hashbrown::HashMap;

/// Steps of all that is kept: beyond that it begins anew.
const STEPS_MAX: usize = 1 << 16;

/// Values by the times from which they follow, see [`model::Columns::times_id`].
#[derive(Debug)]
pub(super) struct Shared<T> {
    kept: HashMap<u64, T>,
    most: usize,
    /// Of times that no other series shares.
    alone: T,
}

impl<T: Default> Shared<T> {
    /// Nothing, for values that hold something for each of so many steps.
    pub fn new(steps: usize) -> Shared<T> {
        let most = (STEPS_MAX / steps.max(1)).max(1);
        Shared { kept: HashMap::new(), most, alone: T::default() }
    }

    /// The value for times, which `find` makes in place of the default where it is not known.
    pub fn get(&mut self, times_id: u64, find: impl FnOnce() -> T) -> &T {
        if times_id == 0 {
            self.alone = find();
            return &self.alone;
        }
        if self.kept.len() >= self.most && !self.kept.contains_key(&times_id) {
            self.kept.clear();
        }
        self.kept.entry(times_id).or_insert_with(find)
    }
}
