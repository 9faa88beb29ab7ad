//! Our server on a real Kubernetes: `kubectl top`, autoscalers, access, and what may go wrong.
//!
//! Tests of the modules here share one cluster and run beside each other; those whose names begin with
//! `upset`, late in the order of names, stop parts of it and have it alone.

mod access;
mod autoscale;
mod custom;
mod listing;
mod peers;
mod plugin;
mod top;
mod upset;
mod upset_kubelet;
mod upset_owners;
mod upset_summary;
mod upset_trust;
mod world;
