//! Numbers that nothing has: those of series and of groups are given anew once what had them is forgotten.
//! A log may take them in any order.

use roaring::RoaringBitmap;

/// Numbers that nothing has.
#[derive(Default)]
pub(crate) struct Unused {
    /// Those below `end`.
    below: RoaringBitmap,
    /// From here on nothing was ever taken.
    end: u32,
}

impl Unused {
    /// All of them, rising.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.below.iter().chain(self.end..)
    }

    /// Something has a number from now on.
    pub fn take(&mut self, number: u32) {
        if number < self.end {
            self.below.remove(number);
        } else {
            self.below.insert_range(self.end..number);
            self.end = number + 1;
        }
    }

    /// Nothing has a number any more.
    pub fn give_back(&mut self, number: u32) {
        self.below.insert(number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_taken_in_any_order_and_given_back() {
        let mut unused = Unused::default();
        let first = |unused: &Unused| unused.iter().take(4).collect::<Vec<_>>();
        assert_eq!(first(&unused), [0, 1, 2, 3]);
        unused.take(2);
        assert_eq!(first(&unused), [0, 1, 3, 4]);
        unused.take(0);
        unused.take(3);
        assert_eq!(first(&unused), [1, 4, 5, 6]);
        unused.give_back(2);
        assert_eq!(first(&unused), [1, 2, 4, 5]);
    }
}
