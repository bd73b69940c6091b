//! What std lacks: a clock and randomness that come in from outside, backoff, and words for failed connections.
//!
//! Everything above this crate that needs the time or a random number takes a [`Clock`] or an [`Rng`] from its caller,
//! so that a simulated cluster runs in paused time and the same seed gives the same trace.

mod backoff;
mod clock;
mod dial;
mod rng;
mod signal;

pub use backoff::Backoff;
pub use clock::{Clock, ManualClock, SystemClock};
pub use dial::{authority, dial_error};
pub use rng::Rng;
pub use signal::Signal;
