//! Who is connected. Their number is bounded, by what the process may open too; at the bound a new connection takes the
//! place of the one that has been idle longest, so that a flood of silent ones keeps nobody out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// Beyond this many connections, new ones replace idle ones, or wait in the kernel's queue where none is idle.
const CONNECTIONS_MAX: u64 = 8192;
/// File descriptors that connections leave to everything else.
const RESERVED_FDS: u64 = 256;

pub struct Connections {
    permits: Arc<Semaphore>,
    idle: Mutex<Idle>,
}

/// The connections that no request is answered on, in the order in which they became idle.
#[derive(Default)]
struct Idle {
    since: BTreeMap<u64, CancellationToken>,
    next: u64,
}

/// One connection's place, until it is dropped.
pub struct Place {
    connections: Arc<Connections>,
    /// Cancelled when it shall give way.
    pub evicted: CancellationToken,
    state: Mutex<State>,
    _permit: OwnedSemaphorePermit,
}

#[derive(Default)]
struct State {
    requests: usize,
    idle_since: Option<u64>,
}

/// A request that is being answered on a connection: it is not idle until this is dropped.
pub struct Busy(Arc<Place>);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Connections {
    pub fn new() -> Arc<Self> {
        let max = usize::try_from(connections_max()).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Arc::new(Self { permits: Arc::new(Semaphore::new(max)), idle: Mutex::default() })
    }

    #[cfg(test)]
    pub fn bounded(max: usize) -> Arc<Self> {
        Arc::new(Self { permits: Arc::new(Semaphore::new(max)), idle: Mutex::default() })
    }

    /// A place for a connection that was accepted. It counts as idle until its first request.
    pub async fn enter(self: &Arc<Self>) -> Option<Arc<Place>> {
        let permit = match self.permits.clone().try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                self.evict();
                self.permits.clone().acquire_owned().await.ok()?
            }
        };
        let (connections, evicted) = (self.clone(), CancellationToken::new());
        let place = Arc::new(Place { connections, evicted, state: Mutex::default(), _permit: permit });
        place.rest(&mut lock(&place.state));
        Some(place)
    }

    fn evict(&self) {
        if let Some((_, longest)) = lock(&self.idle).since.pop_first() {
            longest.cancel();
        }
    }
}

impl Place {
    pub fn begin(self: &Arc<Self>) -> Busy {
        let mut state = lock(&self.state);
        state.requests += 1;
        if let Some(since) = state.idle_since.take() {
            lock(&self.connections.idle).since.remove(&since);
        }
        Busy(self.clone())
    }

    fn rest(&self, state: &mut State) {
        let mut idle = lock(&self.connections.idle);
        let since = idle.next;
        idle.next += 1;
        idle.since.insert(since, self.evicted.clone());
        state.idle_since = Some(since);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        state.requests -= 1;
        if state.requests == 0 {
            self.0.rest(&mut state);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(since) = lock(&self.state).idle_since {
            lock(&self.connections.idle).since.remove(&since);
        }
    }
}

/// What the process may open, less what it needs besides.
fn connections_max() -> u64 {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    limit.saturating_sub(RESERVED_FDS).clamp(RESERVED_FDS / 4, CONNECTIONS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[tokio::test]
    async fn the_longest_idle_connection_gives_way_and_a_busy_one_never() {
        let connections = Connections::bounded(3);
        let (first, second, third) = (connections.enter().await, connections.enter().await, connections.enter().await);
        let (first, second, third) = (first.unwrap(), second.unwrap(), third.unwrap());
        let watch = first.begin();
        drop(second.begin());
        let mut fourth = Box::pin(connections.enter());
        assert!(fourth.as_mut().now_or_never().is_none());
        let evicted = [&first, &second, &third].map(|place| place.evicted.is_cancelled());
        assert_eq!(evicted, [false, false, true], "the third has been idle longest");
        drop(third);
        assert!(fourth.await.is_some());
        drop(watch);
    }
}
