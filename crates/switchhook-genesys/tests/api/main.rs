//! The client against a real HTTP server in this process, which answers as a script says.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "all of this is test code"
)]

mod lab;

mod calls;
mod changes;
mod probes;
mod tokens;
