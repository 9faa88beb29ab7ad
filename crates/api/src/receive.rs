//! What all endpoints share that take samples from senders: the limits, the body, the batch that
//! becomes one write to the store, and what is counted. How a body is read is each protocol's own.

mod batch;
mod body;
mod known;
mod labels;
mod rate;
mod stats;

pub use batch::{Batch, Pair, Series, Written};
pub use body::{Charge, Coding};
pub use known::{Known, Reader};
pub use labels::LabelLimits;
pub use rate::Rates;
pub use stats::{Protocol, Reason, Stats};

use crate::{Api, Failure};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Which endpoints take samples, and what senders may send.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Whether `/api/v1/write` takes samples.
    pub remote_write: bool,
    /// How `/api/v1/otlp/v1/metrics` translates; `None`: it takes nothing.
    pub otlp: Option<crate::otlp::Settings>,
    /// What senders may send.
    pub limits: Limits,
    /// Samples older than this, in milliseconds, are not kept, so they are refused; 0: all are kept.
    pub retention_ms: i64,
    /// What is counted.
    pub stats: Arc<Stats>,
}

/// What senders may send.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a body, as sent and as unpacked.
    pub body_bytes: usize,
    /// Bytes of all bodies that are in memory at once, as sent and as unpacked.
    pub total_bytes: u64,
    /// Labels of a series.
    pub labels: LabelLimits,
    /// No series begins while the store's head has so many.
    pub series: u64,
    /// Samples a second of each sender; 0: as many as they like.
    pub samples_per_second: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            body_bytes: 32 << 20,
            total_bytes: 256 << 20,
            labels: LabelLimits::default(),
            series: u64::MAX,
            samples_per_second: 0,
        }
    }
}

/// The state of the endpoints that take samples.
pub struct Receiver {
    /// As it was started with.
    pub options: Options,
    /// Bytes of bodies in memory.
    in_memory: Arc<AtomicU64>,
    /// How many requests are unpacked and written at once: more would only wait for each other.
    slots: Arc<Semaphore>,
    /// How much each sender sends.
    rates: Rates,
    /// The series that were sent lately.
    pub known: Known,
}

/// How long a sender is asked to wait before it sends again what could not be taken now.
const RETRY_AFTER_SECONDS: u64 = 5;
/// How long a request waits for its turn.
const TURN: Duration = Duration::from_secs(10);
/// How many requests are unpacked and written at once.
const AT_ONCE: usize = 4;
/// Samples may lie so far in the future, for clocks that differ.
const AHEAD_MS: i64 = 10 * 60_000;

impl Receiver {
    /// A receiver that has received nothing.
    pub fn new(options: Options) -> Receiver {
        let slots = Arc::new(Semaphore::new(AT_ONCE));
        let rates = Rates::new(options.limits.samples_per_second);
        Receiver { options, in_memory: Arc::default(), slots, rates, known: Known::default() }
    }
}

/// Runs what unpacks and writes a body on a thread that may block, when it is its turn.
pub async fn take<T: Send + 'static>(
    api: &Arc<Api>,
    work: impl FnOnce(&Api) -> T + Send + 'static,
) -> Result<T, Refused> {
    let slots = api.receiver.slots.clone();
    let turn = tokio::time::timeout(TURN, slots.acquire_owned()).await;
    let Ok(Ok(turn)) = turn else {
        api.receiver.options.stats.refuse(Reason::Busy, 1);
        return Err(Refused::later("too many requests are being written; send it again later"));
    };
    let api = api.clone();
    let task = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        work(&api)
    });
    task.await.map_err(|e| Refused::new(500, format!("a thread of ours died: {e}")))
}

/// A request that was not taken, or not wholly: plain text, as Go's `http.Error` answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The status.
    pub status: u16,
    /// Why.
    pub why: String,
    /// How many seconds later it may be sent again, where that is known.
    pub retry_seconds: Option<u64>,
}

impl Refused {
    /// With a status.
    pub fn new(status: u16, why: impl Into<String>) -> Refused {
        Refused { status, why: why.into(), retry_seconds: None }
    }

    /// For now: the sender sends it again.
    pub fn later(why: impl Into<String>) -> Refused {
        Refused::new(503, why)
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Refused {
        match failure {
            Failure::Unavailable(why) => Refused::later(why),
            other => Refused::new(500, other.to_string()),
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::BAD_REQUEST);
        let mut response = (status, format!("{}\n", self.why)).into_response();
        if matches!(self.status, 429 | 503) {
            let seconds = HeaderValue::from(self.retry_seconds.unwrap_or(RETRY_AFTER_SECONDS));
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        response
    }
}
