//! Whole-program tests, one module for each thing that is tested against the real world.

#![allow(clippy::unwrap_used)] // tests: what fails here fails the test

mod agent;
mod cluster;
mod containers;
mod crash;
mod deploy;
mod hostile;
mod import;
mod otlp;
mod parity_cadvisor;
mod parity_node;
mod prometheus_api;
mod promql;
mod queries;
mod remote_read;
mod remote_write;
mod rights;
mod short_lived;
mod standalone;
mod tidy;
mod vm;
