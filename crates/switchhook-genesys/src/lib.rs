//! The client of the webhook-management API: our gateway's, a simulator's, or any that speaks the same.
//!
//! * where: [`region`] gives the addresses, [`token`] the right to ask
//! * what to do with an answer: [`limits`] (pure), [`refusal`]
//! * what to send: [`check`] and [`rebalance`] (pure), [`webhook`], [`catalogue`], [`probe`]
//! * how it goes: [`transport`] makes one request, [`client`] one call with its repeats, [`change`] one logical change
//!   that outlives the process
//!
//! It prints nothing and reads no environment: addresses, secrets, directories, time and chance come from the caller
//! ([`surroundings`]). Bounds stand beside what they bound.

pub mod catalogue;
pub mod change;
pub mod check;
pub mod client;
pub mod dialect;
pub mod limits;
mod names;
pub mod pages;
pub mod probe;
pub mod rebalance;
pub mod refusal;
pub mod region;
pub mod reply;
pub mod surroundings;
pub mod token;
pub mod transport;
pub mod webhook;
