//! The exposition formats: Prometheus text 0.0.4 and OpenMetrics text 1.0, written and read, and
//! protobuf, read.
//!
//! Followed are the Prometheus text format description, the OpenMetrics 1.0 specification, and,
//! where these leave room, what client_golang's `expfmt` writes and Prometheus's `textparse` reads.
//! No I/O here: [`Writer`] fills a buffer of the caller's, [`Parser`] and [`protobuf::Reader`] borrow
//! from one.

mod family_text;
mod format;
mod number;
mod parser;
pub mod protobuf;
mod writer;

pub use family_text::{FamilyText, SampleText, read};
pub use format::{Escaping, Format, Syntax};
pub use number::{parse_float, push_float, push_integer, push_open_float};
pub use parser::{Event, Exemplar, Label, ParseError, Parser, SampleLine};
pub use writer::Writer;

/// Bodies for fuzzers: each takes any bytes and panics only where a promise is broken.
#[doc(hidden)]
pub mod fuzz;
