//! Every decision of the gateway, and nothing else.
//!
//! This crate opens no socket and no file, reads no clock and draws no random number: `now` and
//! entropy come in as values, and what should happen goes out as values. That is what lets a seeded
//! simulation run days in milliseconds, and lets a reader find each rule in one place.
//!
//! * what came in, and for whom: [`source`], [`verify`], [`dedup`], [`topic`], [`filter`], [`criteria`],
//!   [`expression`], [`subscription`], [`group`], [`plan`]
//! * what goes out: [`endpoint`], [`template`], [`transform`], [`envelope`], [`seal`], [`sign`]
//! * what to do next: [`retry`], [`classify`], [`breaker`], [`limit`]
//! * who may do what, and who did: [`access`], [`audit`]; what they see of results: [`sight`]
//! * the heart of dispatch: [`delivery`], [`engine`]

pub mod access;
pub mod alert;
pub mod audit;
pub mod breaker;
pub mod classify;
pub mod criteria;
pub mod dedup;
pub mod delivery;
pub mod endpoint;
pub mod engine;
pub mod envelope;
pub mod event;
pub mod expression;
pub mod filter;
pub mod group;
pub mod guard;
pub mod id;
pub mod intake;
pub mod limit;
pub mod plan;
pub mod pointer;
pub mod retry;
pub mod seal;
pub mod secret;
pub mod sight;
pub mod sign;
pub mod source;
pub mod subscription;
pub mod template;
pub mod time;
pub mod topic;
pub mod transform;
pub mod vault;
pub mod verify;
