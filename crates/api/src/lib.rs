//! What Kubevigil answers over HTTP: the Prometheus API (`/api/v1`), what Prometheus has no word
//! for (`/api/vigil/v1`, docs/api.md), metrics, health and the pages.
//!
//! The crate listens nowhere (that is `http`'s), stores nothing, and starts nothing of
//! its own but the threads on which queries run and what writes to a listener of notifications.
//! Parameters, error texts and status codes are those of Prometheus's `web/api/v1/api.go`, version 3.15.

#![forbid(unsafe_code)]

pub mod access;
mod admin;
mod announcements;
pub mod answer;
pub mod backend;
mod features;
mod federate;
mod health;
mod json;
pub mod kubernetes;
pub mod lifecycle;
mod metrics;
mod openapi;
pub mod otlp;
pub mod parameters;
mod prometheus_status;
pub mod queries;
mod query;
pub mod receive;
mod remote_read;
mod remote_write;
mod run;
mod search;
mod series;
mod stream;
mod syntax_tree;
mod targets;
mod tsdb_status;
mod ui;
mod vigil;

#[cfg(test)]
mod tests;

/// Fuzz bodies: what must hold for any bytes. Driven by proptest on stable and by cargo-fuzz.
#[doc(hidden)]
pub mod fuzz {
    pub use crate::otlp::fuzz::request as otlp;
    pub use crate::remote_read::fuzz::request as remote_read;
    pub use crate::remote_write::fuzz::request as remote_write;
}

pub use answer::Failure;
pub use backend::{Backend, Families};

use axum::Router;
use axum::extract::OriginalUri;
use axum::http::{Method, StatusCode};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any, delete, get, options, post};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// What queries may take.
#[derive(Clone, Debug)]
pub struct Limits {
    /// How long a query may run.
    pub timeout: Duration,
    /// How many run at once; more wait.
    pub concurrency: usize,
    /// Bytes of memory that one may hold; `None`: as many as it needs.
    pub query_bytes: Option<u64>,
    /// Bytes of memory that all together may hold; `None`: as many as they need.
    pub total_bytes: Option<u64>,
}

impl Default for Limits {
    fn default() -> Limits {
        let timeout = Duration::from_secs(120);
        Limits { timeout, concurrency: 20, query_bytes: None, total_bytes: None }
    }
}

/// What an API is made of beside its backend.
#[derive(Clone, Default)]
pub struct Options {
    /// What queries may take.
    pub limits: Limits,
    /// What senders may send.
    pub receive: receive::Options,
    /// The queries that run.
    pub queries: Arc<queries::Queries>,
    /// Answers of range queries that later ones go on from; `None`: each is computed whole.
    pub range_cache: Option<Arc<promql::RangeCache>>,
    /// Whether what is kept may be changed below `/api/v1/admin/`.
    pub admin: bool,
    /// Whom to tell that the program is to read its configuration again or to end; `None`: nobody may ask.
    pub lifecycle: Option<lifecycle::Lifecycle>,
    /// Which users may do what.
    pub users: access::Users,
}

/// The API's state.
pub struct Api {
    backend: Arc<dyn Backend>,
    engine: promql::Engine,
    limits: Limits,
    slots: Arc<Semaphore>,
    memory: promql::MemoryLimits,
    receiver: receive::Receiver,
    range_cache: Option<Arc<promql::RangeCache>>,
    queries: Arc<queries::Queries>,
    announcements: announcements::Announcements,
    admin: bool,
    lifecycle: Option<lifecycle::Lifecycle>,
    users: Arc<access::Users>,
}

/// What every handler gets.
type Shared = axum::extract::State<Arc<Api>>;

impl Api {
    /// An API before a backend.
    pub fn new(backend: Arc<dyn Backend>, engine: promql::Engine, options: Options) -> Arc<Api> {
        let Options { limits, receive, queries, range_cache, admin, lifecycle, users } = options;
        let slots = Arc::new(Semaphore::new(limits.concurrency.max(1)));
        let pool = limits.total_bytes.map(promql::Pool::new);
        let memory = promql::MemoryLimits { query_bytes: limits.query_bytes, pool };
        let receiver = receive::Receiver::new(receive);
        let announcements = announcements::Announcements::default();
        let users = Arc::new(users);
        Arc::new(Api {
            backend,
            engine,
            limits,
            slots,
            memory,
            receiver,
            range_cache,
            queries,
            announcements,
            admin,
            lifecycle,
            users,
        })
    }

    /// Everything that is answered.
    pub fn router(self: Arc<Api>) -> Router {
        let users = self.users.clone();
        let router = Router::new()
            .nest("/api/v1", prometheus())
            .route("/api/vigil/v1/status", get(vigil::status))
            .route("/api/vigil/v1/containers", get(vigil::containers))
            .route("/api/vigil/v1/queries", get(queries::list))
            .route("/api/vigil/v1/queries/{id}", delete(queries::cancel))
            .route("/api/{*rest}", any(no_such_endpoint))
            .route("/federate", get(federate::federate))
            .route("/metrics", get(metrics::ourselves))
            .route("/metrics/node", get(metrics::node))
            .route("/metrics/cadvisor", get(metrics::cadvisor))
            .route("/-/healthy", get(health::healthy))
            .route("/-/ready", get(health::ready))
            .merge(lifecycle::routes())
            .route("/healthz", get(health::healthy))
            .route("/readyz", get(health::ready))
            .route("/version", get(prometheus_status::version))
            .fallback(ui::page)
            .with_state(self);
        match users.restrict() {
            true => router.layer(middleware::from_fn_with_state(users, access::by_user)),
            false => router,
        }
    }
}

fn prometheus() -> Router<Arc<Api>> {
    Router::new()
        .route("/query", both(query::instant))
        .route("/query_range", both(query::range))
        .route("/query_exemplars", both(query::exemplars))
        .route("/format_query", both(query::format))
        .route("/parse_query", both(query::parse))
        .route("/labels", both(series::label_names))
        .route("/label/{name}/values", get(series::label_values))
        .route("/series", both(series::series))
        .route("/metadata", get(targets::metadata))
        .route("/targets", get(targets::targets))
        .route("/targets/metadata", get(targets::targets_metadata))
        .route("/scrape_pools", get(targets::scrape_pools))
        .route("/scrape_pools/config", get(targets::scrape_pool_config))
        .route("/targets/relabel_steps", get(targets::relabel_steps))
        .route("/rules", get(targets::rules))
        .route("/alerts", get(targets::alerts))
        .route("/alertmanagers", get(targets::alertmanagers))
        .route("/status/buildinfo", get(prometheus_status::buildinfo))
        .route("/status/runtimeinfo", get(prometheus_status::runtimeinfo))
        .route("/status/flags", get(prometheus_status::flags))
        .route("/status/config", get(prometheus_status::config))
        .route("/status/walreplay", get(prometheus_status::walreplay))
        .route("/status/tsdb", get(tsdb_status::tsdb))
        .route("/features", get(features::features))
        .route("/status/self_metrics", get(features::self_metrics))
        .route("/status/tsdb/blocks", get(tsdb_status::blocks))
        .route("/notifications", get(announcements::list))
        .route("/notifications/live", get(announcements::live))
        .route("/openapi.yaml", get(openapi::document))
        .route("/search/metric_names", both(search::metric_names))
        .route("/search/label_names", both(search::label_names))
        .route("/search/label_values", both(search::label_values))
        .route("/admin/tsdb/delete_series", changing(admin::delete_series))
        .route("/admin/tsdb/clean_tombstones", changing(admin::clean_tombstones))
        .route("/admin/tsdb/snapshot", changing(admin::snapshot))
        .route("/otlp/v1/metrics", post(otlp::metrics))
        .route("/read", post(remote_read::read))
        .route("/write", post(remote_write::write))
        .route("/{*rest}", options(no_content).fallback(no_such_endpoint))
}

/// A handler for GET and POST.
fn both<H, T>(handler: H) -> MethodRouter<Arc<Api>>
where
    H: axum::handler::Handler<T, Arc<Api>>,
    T: 'static,
{
    get(handler.clone()).post(handler).options(no_content)
}

/// A handler for POST and PUT.
fn changing<H, T>(handler: H) -> MethodRouter<Arc<Api>>
where
    H: axum::handler::Handler<T, Arc<Api>>,
    T: 'static,
{
    post(handler.clone()).put(handler).options(no_content)
}

async fn no_content() -> StatusCode {
    StatusCode::NO_CONTENT
}

async fn no_such_endpoint(method: Method, OriginalUri(uri): OriginalUri) -> Response {
    Failure::NotFound(format!("no endpoint {method} {}", uri.path())).into_response()
}
