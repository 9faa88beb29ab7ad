//! PromQL whole: parser, engine over columns, functions, and the runner of Prometheus's own test
//! scripts.
//!
//! Reads series through [`model::Storage`] alone, does no I/O and takes no clock: a caller that
//! wants a deadline sets [`Interrupt::time_out`] from outside. The language is that of Prometheus
//! 3.15 with every experimental part, each of which [`EngineOptions`] can switch.

#![forbid(unsafe_code)]

mod annotations;
pub mod ast;
mod cache;
mod calendar;
mod check;
pub mod duration;
mod duration_parser;
mod engine;
pub mod function;
#[doc(hidden)]
pub mod fuzz;
mod lexer;
pub mod literal;
pub mod memory;
mod modifier_parser;
mod parser;
mod print;
pub mod promqltest;
mod query;
mod token;

pub use ast::{Expr, ParseError};
pub use cache::{CacheStats, RangeCache};
pub use engine::Engine;
pub use memory::{MemoryLimits, Pool};
pub use query::{
    EngineOptions, Explained, Interrupt, MatrixSeries, ParseOptions, QueryError, QueryOptions,
    QueryResult, QueryStats, QueryValue, VectorSample,
};

use model::Matcher;

/// Parses an expression, all language features on.
pub fn parse(text: &str) -> Result<Expr, ParseError> {
    parse_with(text, ParseOptions::default())
}

/// Parses an expression.
pub fn parse_with(text: &str, options: ParseOptions) -> Result<Expr, ParseError> {
    parser::parse_expression(text, options)
}

/// Parses a selector such as `match[]` holds: `up{job="node"}`.
pub fn parse_selector(text: &str) -> Result<Vec<Matcher>, ParseError> {
    parser::parse_selector(text)
}
