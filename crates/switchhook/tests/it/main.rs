//! The real binary, from outside: one file for each promise, named after it.
//!
//! `harness` runs the gateway and keeps the books; `lossfs` is the disk that forgets. Everything is on loopback,
//! bounded in time and count, and independent of the other tests.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "all of this is test code"
)]

mod harness;
mod lossfs;

mod config;
mod damaged;
mod first_run;
mod ingest;
mod kill;
mod lock;
mod power;
mod restart;
mod shutdown;
mod tidy;
