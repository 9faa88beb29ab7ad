//! Descriptions of families, sent again and again by the protocol 1.0, which has no place for them
//! beside samples.

use crate::backoff::{Backoff, Jitter};
use crate::batch::compressed;
use crate::endpoint::{Endpoint, Outcome};
use crate::message::put_metadata;
use crate::queue::Shared;
use http::client::Session;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tsdb::{Db, Metadata};

/// A request is tried so often; the next turn brings it again.
const ATTEMPTS: u32 = 10;
/// The first turn: once the first samples have described their families.
const FIRST: Duration = Duration::from_secs(3);

/// Sends what is known, at each turn, until the queue ends.
pub async fn send(db: Db, shared: Arc<Shared>, endpoint: Arc<Endpoint>) {
    let every = Duration::from_millis(shared.config.metadata_interval_ms);
    let mut session = Session::default();
    let mut wait = FIRST.min(every);
    loop {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = shared.ended() => return,
        }
        wait = every;
        for families in db.metadata().chunks(shared.config.metadata_per_send) {
            request(&shared, &endpoint, &mut session, families).await;
            if shared.is_ended() {
                return;
            }
        }
    }
}

async fn request(
    shared: &Shared,
    endpoint: &Endpoint,
    session: &mut Session,
    families: &[Metadata],
) {
    let mut bytes = Vec::new();
    put_metadata(families, &mut bytes);
    let body = compressed(&bytes);
    let count = families.len() as u64;
    let queue = &shared.config.queue;
    let (min, max) = (queue.min_backoff_ms, queue.max_backoff_ms);
    let mut backoff = Backoff::new(Duration::from_millis(min), Duration::from_millis(max));
    let mut jitter = Jitter::new(count);
    let [sent, failed, retried] = &shared.meters.metadata;
    sent.fetch_add(count, Relaxed);
    for attempt in 0..ATTEMPTS {
        let (why, asked) = match endpoint.send(session, &body, attempt).await {
            Outcome::Taken(_) => {
                shared.meters.metadata_bytes.fetch_add(body.len() as u64, Relaxed);
                return;
            }
            Outcome::Refused { why, .. } | Outcome::Unsupported(why) => {
                failed.fetch_add(count, Relaxed);
                tracing::warn!("descriptions of families for {}: {why}", shared.config.url);
                return;
            }
            Outcome::Later { why, after, .. } => (why, after),
        };
        tracing::debug!("descriptions of families for {}: {why}", shared.config.url);
        retried.fetch_add(count, Relaxed);
        tokio::select! {
            () = tokio::time::sleep(backoff.wait(asked, jitter.next())) => {}
            () = shared.ended() => return,
        }
    }
    failed.fetch_add(count, Relaxed);
}
