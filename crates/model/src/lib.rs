//! The words that every other crate speaks: labels, values, metric families, matchers, and the
//! trait through which stored series are read.
//!
//! Nothing here does I/O, reads a clock or knows of a store, a kernel or a network.

#![forbid(unsafe_code)]

pub mod chunk;
pub mod exposition;
pub mod family;
pub mod histogram;
pub mod labels;
pub mod matcher;
pub mod prompb;
pub mod protobuf;
pub mod relabel;
pub mod series;
pub mod sort;
pub mod value;
pub mod yaml;

pub use family::{Family, Kind, Sink};
pub use histogram::Histogram;
pub use labels::{Labels, LabelsBuilder};
pub use matcher::{MatchOp, Matcher};
pub use series::{Columns, Hints, Keep, ReadError, Selection, SeriesSet, Stop, Storage};
pub use value::{Sample, Value};
