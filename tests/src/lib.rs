//! The stage on which whole-program tests play: our built programs, real containers, peers to compare
//! with, and the one rule about what a machine lacks.

pub mod bundle;
pub mod cgroup;
pub mod cluster;
pub mod container;
pub mod containerd;
pub mod exposition;
pub mod hollow;
pub mod leftovers;
pub mod mixins;
pub mod peer;
pub mod program;
pub mod prometheus;
pub mod require;
pub mod seed;
