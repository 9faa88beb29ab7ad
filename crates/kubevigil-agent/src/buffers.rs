//! Memory for answers, used again and again.
//!
//! An answer holds its buffer until its last byte was sent; then the buffer goes back. So a scrape each
//! second neither allocates nor returns memory to the kernel, which would be a page fault for every 4 KiB.

use axum::body::Bytes;
use std::sync::{Arc, Mutex};

/// Buffers that are kept at most.
const KEPT: usize = 4;

/// Buffers at rest.
#[derive(Clone, Default)]
pub struct Buffers(Arc<Mutex<Vec<Vec<u8>>>>);

impl Buffers {
    /// An empty buffer.
    pub fn take(&self) -> Vec<u8> {
        self.0.lock().ok().and_then(|mut b| b.pop()).unwrap_or_default()
    }

    /// A buffer's content as an answer; the buffer comes back when the answer was sent.
    pub fn lend(&self, buffer: Vec<u8>) -> Bytes {
        Bytes::from_owner(Lent { buffer, home: self.clone() })
    }

    /// Takes a buffer back.
    pub fn give(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        if let Ok(mut kept) = self.0.lock()
            && kept.len() < KEPT
        {
            kept.push(buffer);
        }
    }
}

struct Lent {
    buffer: Vec<u8>,
    home: Buffers,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.home.give(std::mem::take(&mut self.buffer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back() {
        let buffers = Buffers::default();
        let mut buffer = buffers.take();
        buffer.reserve(1000);
        buffer.extend_from_slice(b"text");
        let place = buffer.as_ptr();
        let lent = buffers.lend(buffer);
        let twice = lent.clone();
        drop(lent);
        let other = buffers.take();
        assert_ne!(other.as_ptr(), place, "it is still being sent");
        assert_eq!(&twice[..], b"text");
        drop(twice);
        let again = buffers.take();
        assert!(again.is_empty() && again.as_ptr() == place);
    }
}
