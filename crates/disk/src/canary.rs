//! Faults of our own making, for tests that must fail: a safety net that never catches anything
//! proves nothing. Set for one thread; a program never sets one.

use std::cell::Cell;

/// What this thread gets wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Canary {
    /// Nothing.
    #[default]
    None,
    /// Checksums are taken as right.
    IgnoreChecksums,
    /// The last run of a column that has several is left out.
    DropRun,
}

thread_local! {
    static CANARY: Cell<Canary> = const { Cell::new(Canary::None) };
}

/// Sets what this thread gets wrong.
pub fn set(canary: Canary) {
    CANARY.set(canary);
}

/// Whether this thread is to get `canary` wrong.
pub fn is(canary: Canary) -> bool {
    CANARY.get() == canary
}

/// Whether the checksum of `bytes` is `expected`.
pub fn checksum_holds(bytes: &[u8], expected: u32) -> bool {
    crc32c::crc32c(bytes) == expected || is(Canary::IgnoreChecksums)
}
