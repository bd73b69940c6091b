//! Time and chance, handed in: what a component may not fetch for itself.

use std::sync::Arc;

use stdx::{Clock, Rng, SystemClock};

/// The wall clock and the randomness of a component. Timers are tokio's.
#[derive(Clone)]
pub struct Env {
    pub clock: Arc<dyn Clock>,
    pub rng: Rng,
}

impl Env {
    /// The machine's own clock and randomness.
    pub fn system() -> Self {
        Self { clock: Arc::new(SystemClock), rng: Rng::from_os() }
    }
}
