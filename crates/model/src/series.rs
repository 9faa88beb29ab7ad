//! How stored series are read: the trait between the query engine and every store.
//!
//! The engine asks with a [`Selection`], walks a [`SeriesSet`] and has each series decoded whole
//! into [`Columns`] that it reuses.

use crate::{Histogram, Labels, Matcher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// Which series, and which part of their time.
#[derive(Clone, Debug, Default)]
pub struct Selection<'a> {
    /// All must hold.
    pub matchers: &'a [Matcher],
    /// First millisecond since the Unix epoch that is wanted, included.
    pub start_ms: i64,
    /// Last millisecond that is wanted, included.
    pub end_ms: i64,
    /// What the reader will do with the samples; a store may use it, and may ignore it.
    pub hints: Hints<'a>,
}

/// What a reader will do with the samples it selects.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hints<'a> {
    /// Distance of the evaluation times in milliseconds; 0 for a single one.
    pub step_ms: i64,
    /// Length of the range vector in milliseconds; 0 for an instant vector.
    pub range_ms: i64,
    /// The function or aggregation around the selector; empty for none.
    pub func: &'a str,
    /// The series are wanted for their labels alone.
    pub labels_only: bool,
    /// Only these labels matter to the reader: a store may leave others out. `None`: all matter.
    pub labels: Option<&'a [String]>,
    /// The reader wants to know of two series whether only names tell them apart: a store that leaves labels
    /// out then gives [`Columns::nameless_id`].
    pub nameless: bool,
    /// At most so many series; 0 for all.
    pub limit: usize,
    /// What the reader makes of each of its windows, where a store may give it fewer samples than it has.
    /// `None`: all samples are wanted.
    pub keep: Option<Keep>,
    /// Whether the answer is still wanted: a store looks in long loops.
    pub stop: Stop<'a>,
}

/// What a reader makes of a window: a store may leave samples out, or give one in place of several, as long
/// as just this stays what it is for every window of the reader.
///
/// The windows end at [`Selection::end_ms`] and every [`Hints::step_ms`] before it; each reaches
/// [`Hints::range_ms`] back, its begin not included. With a range of 0 a window is all that lies before its
/// end, and only its newest sample matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Its first and its last sample, and how many it has.
    Ends,
    /// The same, and each pair of samples of which the second is less or has another start.
    Falls,
    /// The sum of its samples, and how many it has.
    Sum,
    /// Its least value.
    Min,
    /// Its greatest value.
    Max,
}

/// Whether a reader was asked to stop, by another thread.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stop<'a>(Option<&'a AtomicU8>);

impl<'a> Stop<'a> {
    /// From when on the flag is not 0.
    pub fn when_set(flag: &'a AtomicU8) -> Stop<'a> {
        Stop(Some(flag))
    }

    /// Whether it is so.
    #[inline]
    pub fn asked(self) -> bool {
        self.0.is_some_and(|flag| flag.load(Ordering::Relaxed) != 0)
    }

    /// Fails with [`ReadError::Cancelled`] if it is so.
    #[inline]
    pub fn check(self) -> Result<(), ReadError> {
        if self.asked() { Err(ReadError::Cancelled) } else { Ok(()) }
    }
}

/// The samples of one series, in columns of equal length, sorted by time, each time once.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    /// Milliseconds since the Unix epoch.
    pub times_ms: Vec<i64>,
    /// Floats; where a sample is a histogram, its place holds 0 and `histograms` has it.
    pub floats: Vec<f64>,
    /// (index, histogram) of the samples that are histograms, sorted by index.
    pub histograms: Vec<(u32, Arc<Histogram>)>,
    /// When each counter began, milliseconds since the Unix epoch, 0 where unknown; the whole
    /// column is empty where none is known.
    pub starts_ms: Vec<i64>,
    /// For how many of the store's samples each stands, where [`Hints::keep`] let the store leave some out;
    /// empty: each for itself. Of a window only the sum means something. Stale marks stand for none.
    pub weights: Vec<u32>,
    /// Two series that carry the same non-zero number have equal `times_ms`: what was computed
    /// from the times of one holds for the other.
    pub times_id: u64,
    /// Two series of a set have the same non-zero number if their labels are the same but for those
    /// that [`crate::labels::is_metadata`] names, and other numbers if they are not; 0 where the labels tell.
    pub nameless_id: u64,
}

impl Columns {
    /// Empties all columns and keeps their memory.
    pub fn clear(&mut self) {
        self.times_ms.clear();
        self.floats.clear();
        self.histograms.clear();
        self.starts_ms.clear();
        self.weights.clear();
        self.times_id = 0;
        self.nameless_id = 0;
    }
}

/// Why a read failed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The query was cancelled.
    #[error("query was cancelled")]
    Cancelled,
    /// A limit of the store was reached.
    #[error("{0}")]
    Limit(String),
    /// The store failed.
    #[error("{0}")]
    Store(String),
}

/// A store of series, as its readers see it. Each call sees a state in which every appended batch
/// is there whole or not at all.
pub trait Storage: Send + Sync {
    /// The series that match, sorted by labels.
    fn select<'a>(
        &'a self,
        selection: &Selection<'_>,
    ) -> Result<Box<dyn SeriesSet + 'a>, ReadError>;

    /// The names of all labels of the series that match any of the matcher sets (all series where
    /// there is no set) and have samples in the time range; sorted.
    fn label_names(
        &self,
        sets: &[Vec<Matcher>],
        start_ms: i64,
        end_ms: i64,
    ) -> Result<Vec<String>, ReadError>;

    /// This moment, for [`Storage::oldest_change_since`]; `None` where the store does not follow its changes.
    fn mark(&self) -> Option<u64> {
        None
    }

    /// The oldest time, in milliseconds since the Unix epoch, of which a read may give something else now
    /// than at the moment of `mark`; `i64::MAX` where nothing changed, `i64::MIN` where that is not known.
    fn oldest_change_since(&self, _mark: u64) -> i64 {
        i64::MIN
    }

    /// The values of one label, of the same series; sorted.
    fn label_values(
        &self,
        name: &str,
        sets: &[Vec<Matcher>],
        start_ms: i64,
        end_ms: i64,
    ) -> Result<Vec<String>, ReadError>;
}

/// Series, one after the other.
pub trait SeriesSet {
    /// Moves to the next series and gives its labels, without those that [`Hints::labels`] does not name
    /// if the store leaves them out; `None` at the end.
    fn next(&mut self) -> Result<Option<Labels>, ReadError>;

    /// Decodes the samples of the series at which the set stands into `columns`, which it clears.
    fn read(&mut self, columns: &mut Columns) -> Result<(), ReadError>;

    /// What the reader should know about what it read, for instance that damaged data was left out.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    /// The widths in milliseconds of the summaries that were read in place of samples, where
    /// [`Hints::keep`] allowed that.
    fn summarized(&self) -> Vec<i64> {
        Vec::new()
    }
}
