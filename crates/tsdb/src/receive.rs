//! Samples of any series, as senders hand them in: each series is named once, by its labels or, where the
//! store told a reference before, by that.

use crate::{Committed, ExemplarRefusal, Refused};
use model::Labels;

/// A series of the store's head, for as long as it is kept there. Takes the place of labels that would have
/// to be looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SeriesRef {
    pub(crate) number: u32,
    /// As of which generation of the head's index the number means this series.
    pub(crate) generation: u32,
}

/// How a sender's series is named.
#[derive(Clone, Debug)]
pub enum Named {
    /// By its labels; samples of a series without labels are left out.
    Labels(Labels),
    /// As it was told before.
    Known(SeriesRef),
}

/// What became of samples that were handed in.
#[derive(Clone, Debug, Default)]
pub struct Received {
    /// In numbers.
    pub committed: Committed,
    /// The samples that were left out, in order. One that its series has already, with the same value, is
    /// not among them.
    pub refused: Vec<Refused>,
    /// The exemplars that were left out, by their places among those that were given, in order. One that
    /// its series has as its newest is not among them.
    pub refused_exemplars: Vec<(usize, ExemplarRefusal)>,
    /// For each series that was named what names it from now on, where the store has it.
    pub references: Vec<Option<SeriesRef>>,
}
