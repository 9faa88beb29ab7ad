//! What is done in the background: the head's older part goes to a block, blocks are merged,
//! what is too old or too much is deleted, what is damaged is set aside.

use crate::Error;
use crate::pace::Pace;
use crate::store::{Store, Stored, lock};
use crate::{compact, companion, merge};
use std::sync::Arc;

/// When what was done last.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    last_tick_ms: Option<i64>,
    last_flush_ms: Option<i64>,
    /// Nothing is deleted for its age before this time.
    keep_until_ms: i64,
}

const HOUR_MS: i64 = 3_600_000;
/// A block made of others stays below this size.
const MERGED_BYTES: u64 = 2 << 30;
/// So many blocks of one stretch are merged even while it goes on.
const BLOCKS_MANY: usize = 8;

/// Does what is due at `now_ms`, at this pace; gives the first failure, after everything was tried.
pub(crate) fn tick(store: &Store, now_ms: i64, pace: &Pace<'_>) -> Result<(), Error> {
    let synced = store.log.sync().map(|_| ()).map_err(Error::from);
    delete_old(store, now_ms);
    let flushed = flush_if_due(store, now_ms, pace);
    let mut merged = Ok(());
    while let Some(blocks) = choose(store) {
        merged = merge::merge(store, &blocks, pace);
        if merged.is_err() || store.closed.load(std::sync::atomic::Ordering::Relaxed) {
            break;
        }
    }
    companion::files::tick(store, pace);
    synced.and(flushed).and(merged)
}

/// Makes neighbouring blocks one wherever the result is not too large.
pub(crate) fn merge_all(store: &Store) -> Result<(), Error> {
    let mut from = 0;
    loop {
        let run: Vec<Arc<Stored>> = {
            let state = store.read();
            let mut bytes = 0;
            let fits = |b: &&Arc<Stored>| {
                bytes += b.block.size_bytes();
                bytes <= MERGED_BYTES
            };
            state.blocks.iter().skip(from).take_while(fits).cloned().collect()
        };
        match run.len() {
            0 if from >= store.read().blocks.len() => return Ok(()),
            0 | 1 => {}
            _ => merge::merge(store, &run, &Pace::none())?,
        }
        from += 1;
    }
}

fn flush_if_due(store: &Store, now_ms: i64, pace: &Pace<'_>) -> Result<(), Error> {
    let (min, max) = {
        let state = store.read();
        let epochs = || state.head.epochs.values().filter(|e| e.samples > 0);
        (epochs().map(|e| e.min_ms).min(), epochs().map(|e| e.max_ms).max())
    };
    let options = &store.options;
    let spans = min.zip(max).is_some_and(|(min, max)| max.saturating_sub(min) >= options.head_ms);
    let large = store.log.state().bytes >= options.head_log_bytes;
    {
        // A few samples of long ago must not make a block each time.
        let mut schedule = lock(&store.schedule);
        let since = schedule.last_flush_ms.map_or(i64::MAX, |l| now_ms.saturating_sub(l).abs());
        if !large && (!spans || since < options.head_ms / 30) {
            return Ok(());
        }
        schedule.last_flush_ms = Some(now_ms);
    }
    let epoch = store.rotate()?;
    // What grows faster than it was thought to is not to grow meanwhile.
    let none = Pace::none();
    compact::flush(store, epoch - 1, if large { &none } else { pace })
}

/// Deletes blocks by age and by size.
fn delete_old(store: &Store, now_ms: i64) {
    let options = &store.options;
    let by_age = {
        let mut schedule = lock(&store.schedule);
        // The machine slept, or its clock was set: whether that is right shows within an hour.
        let jumped = schedule.last_tick_ms.is_some_and(|l| now_ms > l.saturating_add(HOUR_MS));
        if jumped {
            schedule.keep_until_ms = now_ms.saturating_add(HOUR_MS);
        }
        schedule.last_tick_ms = Some(now_ms);
        options.retention_ms > 0 && now_ms >= schedule.keep_until_ms
    };
    let _one = lock(&store.maintenance);
    let mut state = store.write();
    let mut gone: Vec<Arc<Stored>> = Vec::new();
    if by_age {
        let limit = now_ms.saturating_sub(options.retention_ms);
        let (old, kept) = std::mem::take(&mut state.blocks)
            .into_iter()
            .partition(|b: &Arc<Stored>| b.block.meta().max_ms < limit);
        state.blocks = kept;
        gone = old;
    }
    if options.retention_bytes > 0 {
        let mut bytes: u64 = state.blocks.iter().map(bytes_of).sum();
        bytes += store.log.state().bytes;
        while bytes > options.retention_bytes && !state.blocks.is_empty() {
            // By its samples: what was imported late may be older than what was there before.
            let newest_ms = |b: &Arc<Stored>| b.block.meta().max_ms;
            let places = 0..state.blocks.len();
            let place = places.min_by_key(|i| newest_ms(&state.blocks[*i])).unwrap_or(0);
            let oldest = state.blocks.remove(place);
            bytes -= bytes_of(&oldest);
            gone.push(oldest);
        }
    }
    if !gone.is_empty() {
        state.head.touched.note(i64::MIN);
    }
    drop(state);
    for block in gone {
        companion::files::remove_all(store, &block);
        compact::remove(store, &block.path);
    }
}

/// What a block takes on disk.
fn bytes_of(stored: &Arc<Stored>) -> u64 {
    stored.block.size_bytes() + stored.companions.bytes()
}

/// Blocks that should become one; a damaged one by itself.
fn choose(store: &Store) -> Option<Vec<Arc<Stored>>> {
    let state = store.read();
    if let Some(damaged) = state.blocks.iter().find(|b| lock(&b.damage).is_some()) {
        return Some(vec![Arc::clone(damaged)]);
    }
    let newest = state.blocks.iter().map(|b| b.block.meta().max_ms).max()?;
    let options = &store.options;
    let mut span = options.head_ms.saturating_mul(4).max(1);
    let longest = if options.retention_ms > 0 { options.retention_ms / 10 } else { i64::MAX / 8 };
    loop {
        if let Some(run) = run_within(&state.blocks, span, newest) {
            return Some(run);
        }
        if span >= longest.min(31 * 24 * HOUR_MS) {
            return None;
        }
        span = span.saturating_mul(4);
    }
}

/// Neighbours that lie in one stretch of `span` milliseconds, which has passed or has many.
fn run_within(blocks: &[Arc<Stored>], span: i64, newest: i64) -> Option<Vec<Arc<Stored>>> {
    let stretch = |b: &Stored| {
        let meta = b.block.meta();
        (meta.max_ms.saturating_sub(meta.min_ms) < span).then(|| meta.min_ms.div_euclid(span))
    };
    let runs = blocks.chunk_by(|a, b| stretch(a).is_some() && stretch(a) == stretch(b));
    for run in runs {
        let Some(number) = run.first().and_then(|b| stretch(b)) else { continue };
        let passed = number.saturating_add(1).saturating_mul(span) <= newest;
        let bytes: u64 = run.iter().map(|b| b.block.size_bytes()).sum();
        let due = run.len() >= 2 && (passed || run.len() >= BLOCKS_MANY);
        if due && bytes <= MERGED_BYTES {
            return Some(run.to_vec());
        }
    }
    None
}
