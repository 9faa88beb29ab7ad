//! A body that is written while it is sent: the thread that writes waits for the client, so that a
//! long answer is never in memory as a whole.

use crate::answer::{Failure, json_response};
use axum::body::{Body, Bytes, HttpBody};
use axum::response::Response;
use http_body::Frame;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::{mpsc, oneshot};

/// A piece of a body.
const CHUNK_BYTES: usize = 64 << 10;
/// How many pieces wait for the client.
const WAITING: usize = 4;

/// What the handler waits for: an answer, which may go on after it.
pub type Head = Result<Response, Failure>;

/// Writes a JSON answer piece by piece. What fits into one piece is sent with its length.
pub struct Writer {
    /// To append to; [`Writer::next`] sends it on.
    pub buffer: Vec<u8>,
    head: Option<oneshot::Sender<Head>>,
    pieces: Option<mpsc::Sender<Bytes>>,
}

/// The client went away.
pub struct Gone;

impl Writer {
    /// A writer that answers to `head`.
    pub fn new(head: oneshot::Sender<Head>) -> Writer {
        Writer { buffer: Vec::with_capacity(4 << 10), head: Some(head), pieces: None }
    }

    /// Gives an error instead of an answer; to be called before anything was sent.
    pub fn fail(mut self, failure: Failure) {
        if let Some(head) = self.head.take() {
            let _ = head.send(Err(failure)); // nobody waits any more
        }
    }

    /// Sends what has been written where it is enough for a piece.
    pub fn next(&mut self) -> Result<(), Gone> {
        if self.buffer.len() < CHUNK_BYTES { Ok(()) } else { self.send() }
    }

    fn send(&mut self) -> Result<(), Gone> {
        if let Some(head) = self.head.take() {
            let (sender, receiver) = mpsc::channel(WAITING);
            self.pieces = Some(sender);
            head.send(Ok(json_response(Body::new(Pieces(receiver))))).map_err(|_| Gone)?;
        }
        let piece = Bytes::from(std::mem::take(&mut self.buffer));
        self.buffer.reserve(CHUNK_BYTES + (4 << 10));
        let pieces = self.pieces.as_ref().ok_or(Gone)?;
        pieces.blocking_send(piece).map_err(|_| Gone)
    }

    /// Sends the rest.
    pub fn finish(mut self) {
        match self.head.take() {
            Some(head) => {
                let _ = head.send(Ok(json_response(Body::from(self.buffer))));
            }
            None => {
                let _ = self.send();
            }
        }
    }
}

struct Pieces(mpsc::Receiver<Bytes>);

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|p| Ok(Frame::data(p))))
    }
}
