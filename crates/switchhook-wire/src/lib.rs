//! Every shape that crosses a boundary, and nothing that acts.
//!
//! * [`api`]: the bodies of the `/v1` API, used by the server that writes them and the CLI that reads them.
//! * [`problem`]: the body of every refusal (RFC 9457).
//! * [`config`]: the configuration file and the resources made through the API, turned into core's checked
//!   types, with every problem reported at once.
//! * [`duration`] and [`size`]: how spans of time and sizes are written.
//!
//! This is the only crate that derives `Serialize` and `Deserialize`. It reads no file, no environment and
//! no clock: texts and lookups come in as arguments.

pub mod api;
pub mod config;
pub mod duration;
pub mod problem;
pub mod size;
