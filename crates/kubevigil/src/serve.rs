//! The listener: where the program answers, and how it stops.

use crate::options::Options;
use anyhow::bail;
use axum::Router;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A socket that listens already and answers nothing yet.
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

/// Takes the address of the options.
pub async fn bind(options: &Options) -> anyhow::Result<Listener> {
    let socket = match TcpListener::bind(&options.listen).await {
        Ok(socket) => socket,
        Err(error) if error.kind() == ErrorKind::AddrInUse => bail!(
            "cannot listen on {}: another program does; stop it, or choose another address with \
             --listen (port 0: any free one)",
            options.listen
        ),
        Err(error) => bail!("cannot listen on {}: {error}", options.listen),
    };
    let address = socket.local_addr()?;
    Ok(Listener { socket, address })
}

impl Listener {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What to open in a browser.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Begins to answer.
    pub fn serve(self, router: Router) -> Server {
        let (stop, mut stopped) = watch::channel(false);
        let task = tokio::spawn(async move {
            let ended = async move {
                let _ = stopped.wait_for(|stop| *stop).await;
            };
            if let Err(error) = axum::serve(self.socket, router).with_graceful_shutdown(ended).await
            {
                tracing::error!("the listener failed: {error}");
            }
        });
        Server { stop, task }
    }
}

/// A listener that answers.
pub struct Server {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Server {
    /// Takes nothing new and lets what is under way end, for as long as `drain`.
    pub async fn stop(self, drain: Duration) {
        let _ = self.stop.send(true); // it may have ended by itself
        let _ = tokio::time::timeout(drain, self.task).await;
    }
}
