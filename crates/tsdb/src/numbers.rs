//! Which series of the head the entries of a block are: found once for each entry, so that head and blocks are
//! merged by numbers instead of by comparing labels.

use crate::block::{Block, BlockError, Scratch};
use crate::head::series::SeriesIndex;
use model::Labels;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// The numbers of a block's entries, as far as they are known.
#[derive(Default)]
pub(crate) struct Numbers(OnceLock<Known>);

struct Known {
    /// The generation of the head's index when this was made; a number holds while it means the same
    /// series since then.
    generation: u32,
    numbers: Box<[AtomicU32]>,
}

/// A number that is not known yet, or not any more.
const UNKNOWN: u32 = u32::MAX;

/// What an entry is.
pub(crate) enum Which {
    /// A series of the head.
    Number(u32),
    /// A series that the head does not have.
    Other(Labels),
}

impl Numbers {
    /// Those of a block that was just written: the number of each entry as of a generation, `u32::MAX` where
    /// there is none.
    pub fn new(generation: u32, numbers: impl Iterator<Item = u32>) -> Numbers {
        let numbers = numbers.map(AtomicU32::new).collect();
        Numbers(OnceLock::from(Known { generation, numbers }))
    }

    /// The number of an entry, where that is known and holds.
    pub fn known(&self, entry: u32, index: &SeriesIndex) -> Option<u32> {
        let known = self.0.get()?;
        let number = known.numbers.get(entry as usize)?.load(Relaxed);
        index.is_since(number, known.generation).then_some(number)
    }

    /// What an entry is.
    pub fn which(
        &self,
        block: &Block,
        entry: u32,
        index: &SeriesIndex,
        scratch: &mut Scratch,
    ) -> Result<Which, BlockError> {
        if let Some(number) = self.known(entry, index) {
            return Ok(Which::Number(number));
        }
        let labels = block.labels(entry, scratch)?;
        let Some(number) = index.find(&labels) else { return Ok(Which::Other(labels)) };
        let known = self.0.get_or_init(|| {
            let numbers = 0..block.meta().series;
            let numbers = numbers.map(|_| AtomicU32::new(UNKNOWN)).collect();
            Known { generation: index.generation(), numbers }
        });
        // One that came later would not hold.
        if index.is_since(number, known.generation)
            && let Some(place) = known.numbers.get(entry as usize)
        {
            place.store(number, Relaxed);
        }
        Ok(Which::Number(number))
    }
}
