//! `/-/reload` and `/-/quit`: what SIGHUP and SIGTERM ask of the program, over HTTP. What comes of it is the
//! program's; here it is only told, and the answer given in Prometheus's words.

use crate::{Api, Shared, no_content};
use axum::Router;
use axum::http::StatusCode;
use axum::routing::{MethodRouter, post};
use std::sync::Arc;
use tokio::sync::{Notify, mpsc, oneshot};

/// Who waits to hear what came of reading the configuration again.
pub type Reloading = oneshot::Sender<Result<(), String>>;

/// Whom to tell.
#[derive(Clone, Debug)]
pub struct Lifecycle {
    /// The configuration is to be read again.
    pub reload: mpsc::Sender<Reloading>,
    /// The program is to end.
    pub quit: Arc<Notify>,
}

const DISABLED: (StatusCode, &str) = (StatusCode::FORBIDDEN, "Lifecycle API is not enabled.");

/// Both endpoints; refused where they are not enabled.
pub fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/-/reload", asking(post(reload).put(reload)))
        .route("/-/quit", asking(post(quit).put(quit)))
}

fn asking(methods: MethodRouter<Arc<Api>>) -> MethodRouter<Arc<Api>> {
    methods
        .options(no_content)
        .fallback(async || (StatusCode::METHOD_NOT_ALLOWED, "Only POST or PUT requests allowed"))
}

async fn reload(api: Shared) -> (StatusCode, String) {
    let Some(lifecycle) = &api.lifecycle else { return (DISABLED.0, DISABLED.1.into()) };
    let (told, outcome) = oneshot::channel();
    // Neither fails but while the program ends.
    let outcome = match lifecycle.reload.send(told).await {
        Ok(()) => outcome.await.unwrap_or_else(|_| Err("the program ends".into())),
        Err(_) => Err("the program ends".into()),
    };
    match outcome {
        Ok(()) => (StatusCode::OK, String::new()),
        Err(why) => {
            (StatusCode::INTERNAL_SERVER_ERROR, format!("failed to reload config: {why}\n"))
        }
    }
}

async fn quit(api: Shared) -> (StatusCode, &'static str) {
    let Some(lifecycle) = &api.lifecycle else { return DISABLED };
    tracing::info!("told to end over HTTP");
    lifecycle.quit.notify_one();
    (StatusCode::OK, "Requesting termination... Goodbye!")
}
