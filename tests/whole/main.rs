//! Whole-program tests, one module for each thing that is tested against the real world.

#![allow(clippy::unwrap_used)] // tests: what fails here fails the test

mod agent;
mod cluster;
mod companions;
mod containers;
mod crash;
mod crash_load;
mod deploy;
mod expositions;
mod full_disk;
mod hostile;
mod import;
mod lifecycle;
mod otlp;
mod parity_cadvisor;
mod parity_node;
mod prometheus_api;
mod promql;
mod queries;
mod remote_read;
mod remote_write;
mod remote_write_out;
mod rights;
mod short_lived;
mod standalone;
mod tidy;
mod vm;
