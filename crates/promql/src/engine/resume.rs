//! Range queries that go on from what an earlier one of the same steps computed.

use super::evaluate::Result;
use super::values::Grid;
use crate::cache::{Answer, Key, RangeCache, bytes_of};
use crate::memory::Reserved;
use crate::query::{QueryOptions, QueryResult, QueryStats, QueryValue};
use model::Storage;
use std::time::Instant;

/// Answers for `grid`, which has more than one step, with what `cache` holds of it and with what `run`
/// computes; `mark` is the store's from before.
pub(super) fn range(
    cache: &RangeCache,
    (key, mark): (Key, u64),
    storage: &dyn Storage,
    grid: Grid,
    options: &QueryOptions,
    run: impl FnOnce(Grid) -> Result<QueryResult>,
) -> Result<QueryResult> {
    let begin = Instant::now();
    let range_ms = (grid.start, grid.end());
    let since = |mark| storage.oldest_change_since(mark);
    let (result, is_new) = match cache.find(&key, range_ms, since) {
        None => (run(grid)?, true),
        Some(held) => go_on(&held, grid, options, run)?,
    };
    if let QueryValue::Matrix(series) = &result.value
        && is_new
        && result.warnings.is_empty()
        && result.infos.is_empty()
    {
        cache.keep(key, series, range_ms, mark, begin.elapsed());
    }
    Ok(result)
}

/// What is held, followed by what is computed; whether anything was.
fn go_on(
    held: &Answer,
    grid: Grid,
    options: &QueryOptions,
    run: impl FnOnce(Grid) -> Result<QueryResult>,
) -> Result<(QueryResult, bool)> {
    // The last step that is held is computed again: a range of one step alone would be another query.
    let count = ((grid.end() - held.end_ms) / grid.step) as usize + 1;
    let is_new = count > 1;
    let mut result = if is_new {
        run(Grid { start: held.end_ms, count, ..grid })?
    } else {
        QueryResult {
            value: QueryValue::Matrix(Vec::new()),
            warnings: Vec::new(),
            infos: Vec::new(),
            stats: QueryStats::default(),
            explain: None,
            memory: Reserved::new(options.memory.pool.clone()),
        }
    };
    if let QueryValue::Matrix(series) = &mut result.value {
        *series = held.followed_by(std::mem::take(series));
        result.memory.grow(bytes_of(series))?;
    }
    Ok((result, is_new))
}
