//! The stage on which whole-program tests play: our built programs, peers to compare with, and
//! the one rule about what a machine lacks.

pub mod peer;
pub mod program;
pub mod require;
