//! What one scrape leaves in the store: the target's samples with `up` and its kin, or these alone.

use crate::Error;
use crate::config::Job;
use crate::ingest::{Ingested, ingest};
use crate::negotiate::Body;
use model::{Labels, Sink};
use std::time::Duration;
use tsdb::{Batch, Committed, Group};

/// What became of a scrape.
pub(crate) struct Done {
    pub ingested: Ingested,
    pub committed: Committed,
    /// Why there are no samples of the target's.
    pub error: Option<Error>,
}

/// Writes a scrape that was taken at `time_ms` and whose answer is `body`, or that failed.
///
/// Series of the last scrape that are absent become stale; after a failure all of them.
pub(crate) fn write(
    group: &mut Group,
    job: &Job,
    target: &Labels,
    time_ms: i64,
    took: Duration,
    body: Result<(&[u8], Body), Error>,
) -> Result<Done, tsdb::Error> {
    let error = match body {
        Ok((body, kind)) => {
            let mut batch = group.begin(time_ms);
            match ingest(body, kind, job, target, &mut batch) {
                Ok(ingested) => {
                    let added = batch.added() as u64;
                    report(&mut batch, true, took, ingested.samples, added);
                    let committed = batch.commit()?;
                    return Ok(Done { ingested, committed, error: None });
                }
                Err(error) => error,
            }
        }
        Err(error) => error,
    };
    let mut batch = group.begin(time_ms);
    report(&mut batch, false, took, 0, 0);
    let committed = batch.commit()?;
    Ok(Done { ingested: Ingested::default(), committed, error: Some(error) })
}

fn report(batch: &mut Batch<'_>, up: bool, took: Duration, samples: u64, added: u64) {
    let mut write = |name: &str, value: f64| batch.sample(name, &[], value, None);
    write("up", if up { 1.0 } else { 0.0 });
    write("scrape_duration_seconds", took.as_secs_f64());
    write("scrape_samples_scraped", samples as f64);
    // Nothing is relabelled yet.
    write("scrape_samples_post_metric_relabeling", samples as f64);
    write("scrape_series_added", added as f64);
}
