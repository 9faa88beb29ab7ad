//! Our server on a real Kubernetes: `kubectl top`, autoscalers, access, and what may go wrong.
//!
//! Tests of the modules here share one cluster and run beside each other; those of `upset`, last in the order of
//! names, stop parts of it and have it alone.

mod access;
mod autoscale;
mod custom;
mod listing;
mod top;
mod upset;
mod world;
