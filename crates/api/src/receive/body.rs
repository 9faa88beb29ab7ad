//! A body in memory: read piece by piece, so that what counts against the limits is what came and
//! not what was announced, and unpacked with the same limits.

use super::{Reason, Receiver, Refused};
use axum::body::Body;
use http_body::Body as _;
use std::io::Read;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How a body is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// Not at all.
    Identity,
    /// Snappy's block format.
    Snappy,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

/// Bytes that count against the limit of all bodies, until they are dropped.
pub struct Charge {
    all: Arc<AtomicU64>,
    bytes: u64,
    limit: u64,
}

impl Charge {
    fn add(&mut self, bytes: usize) -> Result<(), Refused> {
        let bytes = bytes as u64;
        let before = self.all.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
        match before.saturating_add(bytes) > self.limit {
            true => Err(Refused::later(format!(
                "bodies of {before} bytes are being written, and not more than {} may be; \
                 send it again later",
                self.limit
            ))),
            false => Ok(()),
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Receiver {
    /// Reads a body as it was sent.
    pub async fn read(&self, body: Body) -> Result<(Vec<u8>, Charge), Refused> {
        let limits = &self.options.limits;
        let mut charge =
            Charge { all: self.in_memory.clone(), bytes: 0, limit: limits.total_bytes };
        let mut bytes = Vec::new();
        let mut body = pin!(body);
        loop {
            let next = std::future::poll_fn(|context| Pin::as_mut(&mut body).poll_frame(context));
            let Some(frame) = next.await else { return Ok((bytes, charge)) };
            let frame = frame.map_err(|e| {
                self.options.stats.refuse(Reason::Malformed, 1);
                Refused::new(400, format!("the body could not be read: {e}"))
            })?;
            let Some(data) = frame.data_ref() else { continue };
            if bytes.len() + data.len() > limits.body_bytes {
                self.options.stats.refuse(Reason::TooLarge, 1);
                let limit = limits.body_bytes;
                let why = format!("request body exceeds the {limit} bytes limit");
                return Err(Refused::new(413, why));
            }
            charge.add(data.len()).inspect_err(|_| {
                self.options.stats.refuse(Reason::Busy, 1);
            })?;
            bytes.extend_from_slice(data);
        }
    }

    /// Unpacks a body.
    pub fn unpack(
        &self,
        bytes: Vec<u8>,
        coding: Coding,
        charge: &mut Charge,
    ) -> Result<Vec<u8>, Refused> {
        let limit = self.options.limits.body_bytes;
        let unpacked = match coding {
            Coding::Identity => return Ok(bytes),
            Coding::Snappy => {
                // The length is announced before anything is unpacked.
                let announced = snap::raw::decompress_len(&bytes).map_err(|e| self.corrupt(&e))?;
                if announced > limit {
                    return Err(self.too_large(limit));
                }
                charge.add(announced)?;
                snap::raw::Decoder::new().decompress_vec(&bytes).map_err(|e| self.corrupt(&e))?
            }
            Coding::Gzip => {
                self.stream(flate2::read::MultiGzDecoder::new(&bytes[..]), limit, charge)?
            }
            Coding::Zstd => {
                let decoder =
                    zstd::stream::read::Decoder::new(&bytes[..]).map_err(|e| self.corrupt(&e))?;
                self.stream(decoder, limit, charge)?
            }
        };
        Ok(unpacked)
    }

    fn stream(
        &self,
        mut from: impl Read,
        limit: usize,
        charge: &mut Charge,
    ) -> Result<Vec<u8>, Refused> {
        let mut unpacked = Vec::new();
        let mut piece = vec![0; 64 << 10];
        loop {
            let length = from.read(&mut piece).map_err(|e| self.corrupt(&e))?;
            if length == 0 {
                return Ok(unpacked);
            }
            if unpacked.len() + length > limit {
                return Err(self.too_large(limit));
            }
            charge.add(length)?;
            unpacked.extend_from_slice(&piece[..length]);
        }
    }

    fn corrupt(&self, why: &dyn std::fmt::Display) -> Refused {
        self.options.stats.refuse(Reason::Malformed, 1);
        Refused::new(400, why.to_string())
    }

    fn too_large(&self, limit: usize) -> Refused {
        self.options.stats.refuse(Reason::TooLarge, 1);
        Refused::new(400, format!("decoded size exceeds the {limit} bytes limit"))
    }
}
