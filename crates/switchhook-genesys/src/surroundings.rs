//! What the client needs of the machine besides sockets and files: time, chance and patience.
//!
//! They come in as a value, so that a test sees every wait and none takes time.

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand;
use switchhook_core::time::UnixMs;

/// A wait.
pub type Wait<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// See the module.
pub trait Surroundings: Send + Sync {
    /// The wall clock.
    fn now(&self) -> UnixMs;
    /// 128 random bits.
    fn entropy(&self) -> u128;
    /// Ends after `ms` milliseconds.
    fn wait(&self, ms: u64) -> Wait<'_>;
}

/// The real ones.
#[derive(Debug, Clone, Copy, Default)]
pub struct Machine;

impl Surroundings for Machine {
    fn now(&self) -> UnixMs {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        UnixMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    fn entropy(&self) -> u128 {
        let mut bytes = [0; 16];
        match rand::fill(&mut bytes) {
            Ok(()) => u128::from_be_bytes(bytes),
            // A system without random numbers: the nanoseconds still tell two changes apart.
            Err(_) => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_nanos()),
        }
    }

    fn wait(&self, ms: u64) -> Wait<'_> {
        Box::pin(tokio::time::sleep(Duration::from_millis(ms)))
    }
}
