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

mod apply;
mod audit;
mod breaker;
mod config;
mod damaged;
mod dialects;
mod first_run;
mod genesys;
mod group;
mod hold;
mod identity;
mod ingest;
mod kill;
mod limits;
mod lock;
mod openapi;
mod order;
mod power;
mod reload;
mod replay;
mod restart;
mod retention;
mod secrets;
mod shapes;
mod shutdown;
mod ssrf;
mod tidy;
