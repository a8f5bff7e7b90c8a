//! Every shape that crosses a boundary, and nothing that acts.
//!
//! * [`api`]: the bodies of the `/v1` API, used by the server that writes them and the CLI that reads them.
//! * [`apply`]: what has to be done so that a gateway has what files declare.
//! * [`change`]: what a client of a management API keeps about its changes.
//! * [`problem`]: the body of every refusal (RFC 9457).
//! * [`config`]: the configuration file and the resources made through the API, turned into core's checked
//!   types, with every problem reported at once.
//! * [`dialect`]: the five shapes of webhook management under `/api/v2`.
//! * [`identity`]: what is kept of tokens and OAuth clients.
//! * [`duration`] and [`size`]: how spans of time and sizes are written.
//!
//! This is the only crate that derives `Serialize` and `Deserialize`. It reads no file, no environment and
//! no clock: texts and lookups come in as arguments.

pub mod api;
pub mod apply;
pub mod change;
pub mod config;
pub mod dialect;
pub mod duration;
pub mod identity;
pub mod openapi;
pub mod problem;
pub mod size;
