//! A body that is written while it is sent: the thread that writes waits for the client, so that a
//! long answer is never in memory as a whole.

use crate::answer::{Failure, json_response};
use axum::body::{Body, Bytes, HttpBody};
use axum::response::Response;
use http_body::Frame;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::{mpsc, oneshot};

/// A piece of a body.
const CHUNK_BYTES: usize = 64 << 10;
/// How many pieces wait for the client.
const WAITING: usize = 4;

/// What the handler waits for: an answer, which may go on after it.
pub type Head = Result<Response, Failure>;

/// Writes an answer piece by piece. What fits into one piece is sent with its length.
pub struct Writer {
    /// To append to; [`Writer::next`] sends it on.
    pub buffer: Vec<u8>,
    head: Option<oneshot::Sender<Head>>,
    pieces: Option<Pieces>,
    respond: fn(Body) -> Response,
    /// How much is a piece.
    piece_bytes: usize,
}

/// An answer that went wrong after its beginning was sent: the connection ends without an end of
/// the answer, so that nobody takes it for a whole one.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Broken(Failure);

/// The client went away.
pub struct Gone;

/// The writing end of a body.
pub type Pieces = mpsc::Sender<Result<Bytes, Broken>>;

/// A body, and where its pieces are put.
pub fn channel() -> (Pieces, Body) {
    let (sender, receiver) = mpsc::channel(WAITING);
    (sender, Body::new(Received(receiver)))
}

impl Writer {
    /// A writer of JSON that answers to `head`.
    pub fn json(head: oneshot::Sender<Head>) -> Writer {
        Writer::new(head, json_response)
    }

    /// A writer that answers to `head`; `respond` makes an answer of its body.
    pub fn new(head: oneshot::Sender<Head>, respond: fn(Body) -> Response) -> Writer {
        let buffer = Vec::with_capacity(4 << 10);
        Writer { buffer, head: Some(head), pieces: None, respond, piece_bytes: CHUNK_BYTES }
    }

    /// Sends everything at its end, in one piece, and never waits for the client.
    pub fn whole(self) -> Writer {
        Writer { piece_bytes: usize::MAX, ..self }
    }

    /// Gives an error instead of an answer; breaks off an answer that was begun.
    pub fn fail(mut self, failure: Failure) {
        if let Some(head) = self.head.take() {
            let _ = head.send(Err(failure)); // nobody waits any more
        } else if let Some(pieces) = &self.pieces {
            let _ = pieces.blocking_send(Err(Broken(failure))); // as above
        }
    }

    /// Sends what has been written where it is enough for a piece.
    pub fn next(&mut self) -> Result<(), Gone> {
        if self.buffer.len() < self.piece_bytes { Ok(()) } else { self.send() }
    }

    fn send(&mut self) -> Result<(), Gone> {
        if let Some(head) = self.head.take() {
            let (sender, body) = channel();
            self.pieces = Some(sender);
            let answer = (self.respond)(body);
            head.send(Ok(answer)).map_err(|_| Gone)?;
        }
        let piece = Bytes::from(std::mem::take(&mut self.buffer));
        self.buffer.reserve(CHUNK_BYTES + (4 << 10));
        let pieces = self.pieces.as_ref().ok_or(Gone)?;
        pieces.blocking_send(Ok(piece)).map_err(|_| Gone)
    }

    /// Sends the rest.
    pub fn finish(mut self) {
        match self.head.take() {
            Some(head) => {
                let _ = head.send(Ok((self.respond)(Body::from(self.buffer))));
            }
            None => {
                let _ = self.send();
            }
        }
    }
}

struct Received(mpsc::Receiver<Result<Bytes, Broken>>);

impl HttpBody for Received {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|p| p.map(Frame::data)))
    }
}
