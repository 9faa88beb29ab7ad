//! A client that goes on asking at a steady rate while a test upsets the cluster, and what it was answered.

use super::Cluster;
use anyhow::Result;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// One request.
#[derive(Clone, Debug)]
pub struct Asked {
    /// When it was sent.
    pub at: Instant,
    /// When it was answered, or given up.
    pub done: Instant,
    /// Why it failed; None after a 200.
    pub failure: Option<String>,
}

/// A client that asks until it is ended.
pub struct Requests<'scope> {
    asked: Arc<Mutex<Vec<Asked>>>,
    ended: Arc<AtomicBool>,
    thread: Option<std::thread::ScopedJoinHandle<'scope, ()>>,
}

impl<'scope> Requests<'scope> {
    /// GETs a path through the API server so many times a second. A late answer delays no other request.
    pub fn start<'env: 'scope>(
        scope: &'scope std::thread::Scope<'scope, 'env>,
        cluster: &'env Cluster,
        path: &'env str,
        per_second: u32,
    ) -> Requests<'scope> {
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let ended = Arc::new(AtomicBool::new(false));
        let (book, stop) = (asked.clone(), ended.clone());
        let thread = scope.spawn(move || {
            let mut next = Instant::now();
            while !stop.load(Ordering::Relaxed) {
                let book = book.clone();
                scope.spawn(move || {
                    let at = Instant::now();
                    let failure = cluster.get(path).err().map(|error| format!("{error:#}"));
                    if let Ok(mut book) = book.lock() {
                        book.push(Asked { at, done: Instant::now(), failure });
                    }
                });
                next += Duration::from_secs(1) / per_second;
                std::thread::sleep(next.saturating_duration_since(Instant::now()));
            }
        });
        Requests { asked, ended, thread: Some(thread) }
    }

    /// Ends it and gives all that it asked, in order.
    pub fn end(mut self) -> Result<Vec<Asked>> {
        self.ended.store(true, Ordering::Relaxed);
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            anyhow::bail!("the client panicked");
        }
        // Late answers are waited for.
        std::thread::sleep(Duration::from_millis(500));
        let mut asked = self.asked.lock().map(|a| a.clone()).unwrap_or_default();
        asked.sort_by_key(|a| a.at);
        Ok(asked)
    }
}

/// A test that fails meanwhile ends it, too: its scope waits for all threads.
impl Drop for Requests<'_> {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

/// The failures in words, few of many.
pub fn failures(asked: &[Asked]) -> String {
    let failed: Vec<&str> = asked.iter().filter_map(|a| a.failure.as_deref()).collect();
    let shown = failed.iter().take(3).copied().collect::<Vec<_>>().join("\n");
    format!("{} of {} requests failed:\n{shown}", failed.len(), asked.len())
}
