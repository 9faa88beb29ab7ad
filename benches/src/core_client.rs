//! Asks an aggregated API server as the aggregator's clients do, over TLS that is kept.

use anyhow::{Context, Result, ensure};
use http::client::{
    HeaderName, HeaderValue, Limits, Method, Request, Session, Tls, TlsOptions, Trust, header,
};
use std::time::{Duration, Instant};

/// A client of one server on loopback.
pub struct Client {
    port: u16,
    tls: Tls,
    session: Session,
    runtime: tokio::runtime::Runtime,
    /// The body of the last answer.
    pub body: Vec<u8>,
}

impl Client {
    /// Of the server at this port.
    pub fn new(port: u16) -> Result<Client> {
        Ok(Client {
            port,
            tls: Tls::open(TlsOptions { trust: Trust::Insecure, identity: None })?,
            session: Session::default(),
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
            body: Vec::new(),
        })
    }

    /// GETs a path as protobuf or JSON; gives how long the whole answer took.
    pub fn get(&mut self, path: &str, accept: &'static str) -> Result<Duration> {
        let limits = Limits {
            timeout: Duration::from_secs(120),
            max_body_bytes: 1 << 30,
            ..Limits::default()
        };
        let headers: [(HeaderName, HeaderValue); 2] = [
            (header::ACCEPT, HeaderValue::from_static(accept)),
            (header::AUTHORIZATION, HeaderValue::from_static("Bearer bench")),
        ];
        let request = Request {
            method: &Method::GET,
            host: "127.0.0.1",
            port: self.port,
            tls: Some(&self.tls),
            also_named: None,
            path_and_query: path,
            headers: &headers,
            body: &[],
        };
        let began = Instant::now();
        let sent = self.session.send(&limits, request, &mut self.body);
        let answer = self.runtime.block_on(sent).with_context(|| path.to_owned())?;
        let text = String::from_utf8_lossy(&self.body[..self.body.len().min(300)]);
        ensure!(answer.status == 200, "{path}: {}: {text}", answer.status);
        Ok(began.elapsed())
    }

    /// How many items a list has.
    pub fn items(&mut self, path: &str) -> Result<usize> {
        self.get(path, "application/json")?;
        let list: serde_json::Value = serde_json::from_slice(&self.body)?;
        Ok(list["items"].as_array().context("no items")?.len())
    }
}
