//! What stands around the gateway when nothing real does: endpoints, senders and load.
//!
//! * [`endpoint`]: a lab of receivers that answer as they are told, well or badly, and keep exact records
//! * [`sender`]: realistic Genesys events, and a source that sends them signed
//! * [`load`]: what `switchhook bench` measures with: driver, receiver, bare proxy
//!
//! What is decided (which answer, which event) is a pure function of a seed and of `now`; sockets,
//! clocks and files are in the thin shells around it. Everything here listens and connects on the
//! addresses it is given and nowhere else.

pub mod checks;
pub mod endpoint;
pub mod entropy;
pub mod faults;
pub mod load;
pub mod sender;
pub mod serve;
pub mod world;

use switchhook_core::secret::{Lookup, Secret, SecretError};

/// A lookup that knows no name: the simulator is handed its secrets, it does not look them up.
#[derive(Debug, Clone, Copy)]
pub struct NoNames;

impl Lookup for NoNames {
    fn secret(&self, name: &str) -> Result<Secret, SecretError> {
        Err(SecretError {
            name: name.into(),
            reason: "is not known to the simulator; hand its value in".into(),
        })
    }
}

/// The wall clock. Only the shells of this crate read it.
pub(crate) fn unix_us() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |d| u64::try_from(d.as_micros()).unwrap_or(u64::MAX))
}

/// [`unix_us`] as the instant that the core counts in.
pub(crate) fn now() -> switchhook_core::time::UnixMs {
    switchhook_core::time::UnixMs(unix_us() / 1000)
}
