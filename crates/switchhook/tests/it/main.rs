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

mod breaker;
mod config;
mod damaged;
mod first_run;
mod group;
mod hold;
mod ingest;
mod kill;
mod limits;
mod lock;
mod order;
mod power;
mod replay;
mod restart;
mod retention;
mod shapes;
mod shutdown;
mod tidy;
