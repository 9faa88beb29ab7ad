//! What stands behind custom and external metrics: the store, the API server's resources and the
//! time, as one trait; and how a question is run.

use super::Status;
use cluster::Selector;
use model::Storage;
use promql::{Interrupt, QueryError};
use resource::adapter::{ApiResource, ApiResources};
use resource::custom::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// What [`MetricWorld::names`] gives.
pub type Naming<'a> = Pin<Box<dyn Future<Output = Result<Vec<String>, Status>> + Send + 'a>>;

/// What questions for metrics need to know of the world.
pub trait MetricWorld: Send + Sync + 'static {
    /// The store to read; [`Status::unavailable`] while it opens.
    fn storage(&self) -> Result<Arc<dyn Storage>, Status>;

    /// The API server's resources, as it told them last.
    fn resources(&self) -> Arc<ApiResources>;

    /// The names of the objects that a label selector selects, in a namespace (`None`: objects of the
    /// whole cluster).
    fn names<'a>(
        &'a self,
        resource: &'a ApiResource,
        namespace: Option<&'a str>,
        selector: &'a Selector,
    ) -> Naming<'a>;

    /// Milliseconds since the Unix epoch.
    fn now_ms(&self) -> i64;
}

/// How long a question may take: the autoscaler waits 30 s for everything.
const TIMEOUT: Duration = Duration::from_secs(10);
/// So many questions are answered at once; more wait.
static SLOTS: Semaphore = Semaphore::const_new(8);

/// Stops what it interrupts when it is dropped: the client has gone.
struct Leaving(Interrupt);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Runs a question on a thread that may block.
pub(super) async fn run<T: Send + 'static>(
    work: impl FnOnce(Interrupt) -> T + Send + 'static,
) -> Result<T, Status> {
    let full = || Status::unavailable("too many questions for metrics at once");
    let waited = tokio::time::timeout(TIMEOUT, SLOTS.acquire()).await;
    let _permit = waited.map_err(|_| full())?.map_err(|_| full())?;
    let leaving = Leaving(Interrupt::default());
    let interrupt = leaving.0.clone();
    let mut task = tokio::task::spawn_blocking(move || work(interrupt));
    let ended = match tokio::time::timeout(TIMEOUT, &mut task).await {
        Ok(ended) => ended,
        Err(_) => {
            leaving.0.time_out();
            task.await
        }
    };
    ended.map_err(Status::internal)
}

/// An error of an evaluation in Kubernetes' terms.
pub(super) fn failure(error: &Error) -> Status {
    let message = error.to_string();
    match error {
        Error::Unknown { .. } | Error::Nothing { .. } => Status::new(404, "NotFound", message),
        Error::Rule { .. } => Status::bad_request(message),
        Error::Query { source: QueryError::Timeout(_), .. } => Status::new(504, "Timeout", message),
        Error::Store(_) => Status::unavailable(message),
        Error::Several { .. } | Error::Query { .. } => Status::internal(message),
    }
}
