//! Events as Genesys Cloud really sends them, and a source that sends them signed.
//!
//! * [`floor`] is a contact centre at work: several conversations, interleaved, from a seed
//! * [`shape`] holds the JSON of one event in each shape that Genesys uses (`facts/genesys` 2.2, 2.4)
//! * [`mod@set`] changes one place of an event by its path
//! * [`source`] is the task that sends events to a gateway and counts what it accepted
//!
//! What is sent is a pure function of seed and `now`; only [`source`] opens connections.

pub mod floor;
pub mod set;
pub mod shape;
pub mod source;
#[cfg(test)]
mod tests;

pub use self::floor::{Floor, Made, Mix};
pub use self::set::{PathError, set};
pub use self::shape::{Shape, fixture};
pub use self::source::{Sending, Sent, Source, Way};
