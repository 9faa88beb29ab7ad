//! Runs what may take long on a thread of its own, within the limits: how many at once, how long,
//! and not after the client has gone.

use crate::answer::Failure;
use crate::{Api, Shared};
use promql::Interrupt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout_at;

/// A place among the queries that run.
pub struct Slot {
    /// Given back when dropped.
    pub permit: OwnedSemaphorePermit,
    /// How long it was waited for.
    pub queued: Duration,
    /// When the query must have ended.
    pub deadline: Instant,
}

/// Stops what it interrupts when it is dropped: the handler's future is, when the client goes away.
struct Leaving(Interrupt);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Waits for a slot.
pub async fn slot(api: &Api, timeout: Option<Duration>) -> Result<Slot, Failure> {
    api.backend.admit()?;
    let start = Instant::now();
    let allowed = timeout.map_or(api.limits.timeout, |t| t.min(api.limits.timeout));
    let deadline = start + allowed;
    let waited = timeout_at(deadline.into(), api.slots.clone().acquire_owned()).await;
    let queued = || Failure::Timeout("query timed out in query queue".into());
    let permit = waited.map_err(|_| queued())?.map_err(|e| Failure::Internal(e.to_string()))?;
    Ok(Slot { permit, queued: start.elapsed(), deadline })
}

/// Runs `work` on a blocking thread until it ends, its time is over, or this future is dropped.
pub async fn interruptible<T: Send + 'static>(
    deadline: Instant,
    work: impl FnOnce(Interrupt) -> T + Send + 'static,
) -> Result<T, Failure> {
    let leaving = Leaving(Interrupt::default());
    let interrupt = leaving.0.clone();
    let mut task = tokio::task::spawn_blocking(move || work(interrupt));
    let ended = match timeout_at(deadline.into(), &mut task).await {
        Ok(ended) => ended,
        Err(_) => {
            leaving.0.time_out();
            task.await
        }
    };
    ended.map_err(|e| Failure::Internal(format!("a thread of ours died: {e}")))
}

/// Runs a read of the store, with a slot.
pub async fn read<T: Send + 'static>(
    api: Shared,
    work: impl FnOnce(&Api, &dyn model::Storage) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let slot = slot(&api, None).await?;
    interruptible(slot.deadline, move |_| {
        let _permit = slot.permit;
        let storage = api.backend.storage()?;
        work(&api, &*storage)
    })
    .await?
}

/// Runs what asks the backend for more than a flag.
pub async fn ask<T: Send + 'static>(
    api: &Arc<Api>,
    work: impl FnOnce(&Api) -> T + Send + 'static,
) -> Result<T, Failure> {
    let api = api.clone();
    let task = tokio::task::spawn_blocking(move || work(&api));
    task.await.map_err(|e| Failure::Internal(format!("a thread of ours died: {e}")))
}
