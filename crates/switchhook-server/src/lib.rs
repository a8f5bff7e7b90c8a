//! The running gateway.
//!
//! * `gateway`: what the parts share, how they start and stop
//! * [`listen`], [`ingest`]: the way in
//! * [`dispatch`]: the way out
//! * `control`: the management API and the health checks
//! * `identity`: who may use the management API, how often, and from where
//! * `jobs`, `alerts`, `retention`, `checkpoints`: what goes on by itself beside dispatch
//! * [`reload`]: the configuration file while the gateway runs, and its versions
//! * [`observe`]: metrics, live numbers and log lines; nothing else names a metric
//! * [`secrets`], [`clock`]: what only the shell may read
//!
//! This crate is an edge: only the binary imports it. It decides nothing that `switchhook-core` could.

mod alerts;
mod checkpoints;
pub mod clock;
pub mod control;
mod dialect;
pub mod dispatch;
pub mod gateway;
mod identity;
pub mod ingest;
mod jobs;
pub mod listen;
pub mod observe;
pub mod reload;
mod retention;
pub mod secrets;
