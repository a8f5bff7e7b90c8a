//! The running gateway.
//!
//! * `gateway`: what the parts share, how they start and stop
//! * [`listen`], [`ingest`]: the way in
//! * [`dispatch`]: the way out
//! * `control`: the management API and the health checks
//! * `jobs`, `alerts`, `retention`: what goes on by itself beside dispatch
//! * [`observe`]: metrics, live numbers and log lines; nothing else names a metric
//! * [`secrets`], [`clock`]: what only the shell may read
//!
//! This crate is an edge: only the binary imports it. It decides nothing that `switchhook-core` could.

mod alerts;
pub mod clock;
pub mod control;
pub mod dispatch;
pub mod gateway;
pub mod ingest;
mod jobs;
pub mod listen;
pub mod observe;
mod retention;
pub mod secrets;
