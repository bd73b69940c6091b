//! Who is connected. Their number is bounded, by what the process may open too. At the bound a new connection takes the
//! place of the one that has been idle longest, so that a flood of silent ones keeps nobody out; and where a request is
//! answered on nearly all of them (a flood of watches), that of some connection of the address that has most of them.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use stdx::Rng;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// Beyond this many connections, new ones replace others.
const CONNECTIONS_MAX: u64 = 8192;
/// When no more than one in so many is idle, those that are have only just come, or are about to be used again.
const FEW_IDLE: usize = 16;
/// File descriptors that connections leave to everything else.
const RESERVED_FDS: u64 = 256;

pub struct Connections {
    permits: Arc<Semaphore>,
    open: Mutex<Open>,
    max: usize,
    rng: Rng,
}

/// What cancels each connection, by numbers that grow.
type Numbered = BTreeMap<u64, CancellationToken>;

#[derive(Default)]
struct Open {
    /// Those that no request is answered on, in the order in which they became idle.
    idle: Numbered,
    /// The others, by where they come from.
    busy: HashMap<IpAddr, Numbered>,
    next: u64,
}

/// One connection's place, until it is dropped.
pub struct Place {
    connections: Arc<Connections>,
    from: IpAddr,
    /// Cancelled when it shall give way.
    pub evicted: CancellationToken,
    state: Mutex<State>,
    _permit: OwnedSemaphorePermit,
}

/// How many requests are answered on it, and its number among the idle or the busy ones.
struct State {
    requests: usize,
    number: u64,
}

/// A request that is being answered on a connection: it is not idle until this is dropped.
pub struct Busy(Arc<Place>);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Connections {
    pub fn new(rng: Rng) -> Arc<Self> {
        Self::bounded(usize::try_from(connections_max()).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS), rng)
    }

    fn bounded(max: usize, rng: Rng) -> Arc<Self> {
        Arc::new(Self { permits: Arc::new(Semaphore::new(max)), open: Mutex::default(), max, rng })
    }

    /// A place for a connection that was accepted. It counts as idle until its first request.
    pub async fn enter(self: &Arc<Self>, from: IpAddr) -> Option<Arc<Place>> {
        let permit = match self.permits.clone().try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                lock(&self.open).evict(self.max / FEW_IDLE, &self.rng);
                self.permits.clone().acquire_owned().await.ok()?
            }
        };
        let evicted = CancellationToken::new();
        let number = lock(&self.open).rest(&evicted);
        let state = Mutex::new(State { requests: 0, number });
        Some(Arc::new(Place { connections: self.clone(), from, evicted, state, _permit: permit }))
    }
}

impl Open {
    fn evict(&mut self, few: usize, rng: &Rng) {
        let most = self.busy.values_mut().max_by_key(|numbered| numbered.len());
        let Some(most) = most.filter(|_| self.idle.len() <= few) else {
            return self.idle.pop_first().into_iter().for_each(|(_, longest)| longest.cancel());
        };
        // Any of them, so that whoever shares the address with a flood is unlikely to pay for it.
        let at = usize::try_from(rng.below(most.len() as u64)).unwrap_or_default();
        if let Some(number) = most.keys().nth(at).copied()
            && let Some(unlucky) = most.remove(&number)
        {
            unlucky.cancel();
        }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn rest(&mut self, evicted: &CancellationToken) -> u64 {
        let number = self.number();
        self.idle.insert(number, evicted.clone());
        number
    }

    fn work(&mut self, from: IpAddr, evicted: &CancellationToken) -> u64 {
        let number = self.number();
        self.busy.entry(from).or_default().insert(number, evicted.clone());
        number
    }

    fn stop_working(&mut self, from: IpAddr, number: u64) {
        if let Some(numbered) = self.busy.get_mut(&from) {
            numbered.remove(&number);
            if numbered.is_empty() {
                self.busy.remove(&from);
            }
        }
    }
}

impl Place {
    pub fn begin(self: &Arc<Self>) -> Busy {
        let mut state = lock(&self.state);
        if state.requests == 0 {
            let mut open = lock(&self.connections.open);
            open.idle.remove(&state.number);
            state.number = open.work(self.from, &self.evicted);
        }
        state.requests += 1;
        Busy(self.clone())
    }

    /// Whether a request is being answered on it.
    pub fn is_busy(&self) -> bool {
        lock(&self.state).requests > 0
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        state.requests -= 1;
        if state.requests == 0 {
            let mut open = lock(&self.0.connections.open);
            open.stop_working(self.0.from, state.number);
            state.number = open.rest(&self.0.evicted);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Whoever is busy keeps the place, so it rests by now.
        lock(&self.connections.open).idle.remove(&lock(&self.state).number);
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

    async fn three(connections: &Arc<Connections>, from: [u8; 3]) -> [Arc<Place>; 3] {
        let mut places = Vec::new();
        for last in from {
            places.push(connections.enter(IpAddr::from([10, 0, 0, last])).await.unwrap());
        }
        places.try_into().ok().unwrap()
    }

    #[tokio::test]
    async fn the_longest_idle_connection_gives_way_before_any_busy_one() {
        let connections = Connections::bounded(3, Rng::seeded(1));
        let [first, second, third] = three(&connections, [1, 1, 1]).await;
        let watch = first.begin();
        drop(second.begin());
        let mut fourth = Box::pin(connections.enter(IpAddr::from([10, 0, 0, 2])));
        assert!(fourth.as_mut().now_or_never().is_none());
        let evicted = [&first, &second, &third].map(|place| place.evicted.is_cancelled());
        assert_eq!(evicted, [false, false, true], "the third has been idle longest");
        drop(third);
        assert!(fourth.await.is_some());
        drop(watch);
    }

    #[tokio::test]
    async fn where_all_are_busy_who_has_most_connections_loses_one() {
        let connections = Connections::bounded(3, Rng::seeded(1));
        let places = three(&connections, [1, 2, 2]).await;
        let busy: Vec<Busy> = places.iter().map(Place::begin).collect();
        let mut fourth = Box::pin(connections.enter(IpAddr::from([10, 0, 0, 3])));
        assert!(fourth.as_mut().now_or_never().is_none());
        let [alone, one, other] = places.map(|place| place.evicted.is_cancelled());
        assert!(!alone && one != other);
        drop(busy);
        assert!(fourth.await.is_some());
    }
}
