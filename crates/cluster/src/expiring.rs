//! Answers that hold for a while: bounded in number, each asked for once however many wait for it.
//!
//! Errors are never kept.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::OnceCell;

pub(crate) struct Expiring<K, V> {
    entries: Mutex<HashMap<K, Entry<V>>>,
    lifetime: Duration,
    limit: usize,
}

struct Entry<V> {
    cell: Arc<OnceCell<V>>,
    made: Instant,
}

impl<K: Hash + Eq + Clone, V: Clone> Expiring<K, V> {
    /// At most `limit` answers, each for `lifetime`.
    pub(crate) fn new(lifetime: Duration, limit: usize) -> Expiring<K, V> {
        Expiring { entries: Mutex::default(), lifetime, limit }
    }

    /// The answer that is kept, or the one that `ask` gives.
    pub(crate) async fn get<E>(
        &self,
        key: K,
        now: Instant,
        ask: impl AsyncFnOnce() -> Result<V, E>,
    ) -> Result<V, E> {
        let cell = self.cell(key, now);
        cell.get_or_try_init(async || ask().await).await.cloned()
    }

    fn cell(&self, key: K, now: Instant) -> Arc<OnceCell<V>> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let holds = |entry: &Entry<V>| now.saturating_duration_since(entry.made) < self.lifetime;
        if let Some(entry) = entries.get(&key).filter(|e| holds(e)) {
            return entry.cell.clone();
        }
        if entries.len() >= self.limit {
            entries.retain(|_, entry| holds(entry));
        }
        if entries.len() >= self.limit {
            // Rather ask again than remember everything that somebody made up.
            entries.clear();
        }
        let cell = Arc::new(OnceCell::new());
        entries.insert(key, Entry { cell: cell.clone(), made: now });
        cell
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[tokio::test]
    async fn kept_for_a_while_and_no_longer() {
        let cache = Expiring::<u32, u32>::new(Duration::from_secs(10), 4);
        let start = Instant::now();
        let asked = Cell::new(0);
        let get = async |key, seconds| {
            let ask = async || {
                asked.set(asked.get() + 1);
                Ok::<_, ()>(asked.get())
            };
            cache.get(key, start + Duration::from_secs(seconds), ask).await.unwrap()
        };
        assert_eq!((get(1, 0).await, get(1, 9).await, get(1, 10).await), (1, 1, 2));
        assert_eq!(get(2, 10).await, 3);
    }

    #[tokio::test]
    async fn bounded_and_without_errors() {
        let cache = Expiring::<u32, u32>::new(Duration::from_secs(10), 4);
        let now = Instant::now();
        for key in 0..1000 {
            assert_eq!(cache.get(key, now, async || Ok::<_, ()>(key)).await, Ok(key));
            assert!(cache.len() <= 4);
        }
        assert_eq!(cache.get(7, now, async || Err("no")).await, Err("no"));
        assert_eq!(cache.get(7, now, async || Ok::<_, ()>(1)).await, Ok(1));
    }

    #[tokio::test]
    async fn asked_for_once_however_many_wait() {
        let cache = Arc::new(Expiring::<u32, u32>::new(Duration::from_secs(10), 4));
        let asked = Arc::new(Mutex::new(0));
        let now = Instant::now();
        let tasks = (0..50).map(|_| {
            let (cache, asked) = (cache.clone(), asked.clone());
            tokio::spawn(async move {
                let ask = async || {
                    *asked.lock().unwrap() += 1;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    Ok::<_, ()>(5)
                };
                cache.get(1, now, ask).await
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            assert_eq!(task.await.unwrap(), Ok(5));
        }
        assert_eq!(*asked.lock().unwrap(), 1);
    }
}
