//! What queries may hold in memory: each for itself, and all together. Counted are the columns,
//! labels and tables that grow with what a query looks at, not every byte.

use crate::query::QueryError;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How much is taken from the pool at a time: queries that take little need not meet there often.
const PIECE: u64 = 1 << 20;

/// What all queries together may hold.
#[derive(Debug)]
pub struct Pool {
    limit: u64,
    held: AtomicU64,
}

impl Pool {
    /// A pool of so many bytes.
    pub fn new(limit: u64) -> Arc<Pool> {
        Arc::new(Pool { limit, held: AtomicU64::new(0) })
    }

    /// How many bytes are held.
    pub fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }
}

/// What a query may hold.
#[derive(Clone, Debug, Default)]
pub struct MemoryLimits {
    /// Bytes of one query; `None`: as many as it needs.
    pub query_bytes: Option<u64>,
    /// What it shares with others; `None`: nothing.
    pub pool: Option<Arc<Pool>>,
}

/// Bytes of a pool, given back when this is dropped.
#[derive(Debug, Default)]
pub struct Reserved {
    pool: Option<Arc<Pool>>,
    bytes: u64,
}

impl Reserved {
    pub(crate) fn new(pool: Option<Arc<Pool>>) -> Reserved {
        Reserved { pool, bytes: 0 }
    }

    /// Makes it at least `bytes`; fails where the pool has not so many.
    pub(crate) fn grow(&mut self, bytes: u64) -> Result<(), QueryError> {
        let Some(pool) = self.pool.as_ref().filter(|_| bytes > self.bytes) else { return Ok(()) };
        let more = (bytes - self.bytes).next_multiple_of(PIECE);
        let before = pool.held.fetch_add(more, Ordering::Relaxed);
        if before.saturating_add(more) > pool.limit {
            pool.held.fetch_sub(more, Ordering::Relaxed);
            return Err(QueryError::NoMemory { held: before, limit: pool.limit });
        }
        self.bytes += more;
        Ok(())
    }

    /// Gives back what is above `bytes`.
    pub(crate) fn shrink(&mut self, bytes: u64) {
        let kept = bytes.min(self.bytes);
        if let Some(pool) = &self.pool {
            pool.held.fetch_sub(self.bytes - kept, Ordering::Relaxed);
        }
        self.bytes = kept;
    }
}

/// A copy holds nothing of its own.
impl Clone for Reserved {
    fn clone(&self) -> Reserved {
        Reserved::default()
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.shrink(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_given_back() {
        let pool = Pool::new(3 * PIECE);
        let mut first = Reserved::new(Some(pool.clone()));
        let mut second = Reserved::new(Some(pool.clone()));
        assert_eq!(first.grow(10), Ok(()));
        assert_eq!(first.grow(PIECE), Ok(()));
        assert_eq!(pool.held(), PIECE);
        assert_eq!(second.grow(2 * PIECE), Ok(()));
        let full = QueryError::NoMemory { held: 3 * PIECE, limit: 3 * PIECE };
        assert_eq!(first.grow(PIECE + 1), Err(full));
        second.shrink(5);
        assert_eq!(pool.held(), PIECE + 5);
        assert_eq!(second.clone().bytes, 0);
        drop((first, second));
        assert_eq!(pool.held(), 0);
        assert_eq!(Reserved::default().grow(u64::MAX), Ok(()));
    }
}
