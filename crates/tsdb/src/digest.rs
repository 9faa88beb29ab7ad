//! What stands for the bytes that name a sample: 128 bits of XXH3 over a secret of this process.
//!
//! Two names of one target that are not the same have the same digest once in 2^128; who could choose
//! names to that end does not know the secret, and would mix up nobody's samples but their own.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use xxhash_rust::xxh3::xxh3_128_with_secret;

/// What stands for a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Digest {
    /// In words that leave no gap beside the length: there is one of these for each active series.
    hash: [u32; 4],
    length: u32,
}

impl Digest {
    /// How many bytes the name has.
    pub fn length(&self) -> usize {
        self.length as usize
    }
}

static SECRET: LazyLock<[u8; 192]> = LazyLock::new(|| {
    let mut secret = [0; 192];
    let random = RandomState::new();
    for (i, word) in secret.chunks_exact_mut(8).enumerate() {
        word.copy_from_slice(&random.hash_one(i).to_le_bytes());
    }
    secret
});

/// The digest of a name of a kind.
pub(crate) fn digest(kind: u8, name: &[u8]) -> Digest {
    let hash = xxh3_128_with_secret(name, &*SECRET);
    let hash = [
        hash as u32 ^ u32::from(kind),
        (hash >> 32) as u32,
        (hash >> 64) as u32,
        (hash >> 96) as u32,
    ];
    Digest { hash, length: name.len() as u32 }
}
