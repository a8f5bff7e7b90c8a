//! Every decision of the gateway, and nothing else.
//!
//! This crate opens no socket and no file, reads no clock and draws no random number: `now` and
//! entropy come in as values, and what should happen goes out as values. That is what lets a seeded
//! simulation run days in milliseconds, and lets a reader find each rule in one place.
//!
//! * what came in, and for whom: [`source`], [`verify`], [`dedup`], [`filter`], [`subscription`], [`plan`]
//! * what goes out: [`endpoint`], [`template`]
//! * what to do next: [`retry`], [`classify`]
//! * the heart of dispatch: [`delivery`], [`engine`]

pub mod alert;
pub mod classify;
pub mod dedup;
pub mod delivery;
pub mod endpoint;
pub mod engine;
pub mod event;
pub mod filter;
pub mod guard;
pub mod id;
pub mod intake;
pub mod plan;
pub mod pointer;
pub mod retry;
pub mod secret;
pub mod source;
pub mod subscription;
pub mod template;
pub mod time;
pub mod verify;
