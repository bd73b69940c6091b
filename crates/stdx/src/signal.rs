//! A value that tasks wait on, in any runtime.
//!
//! Waiters are woken in the order in which they began to wait. tokio's watch channel wakes them in a random order that
//! no seed controls, with which a simulation could not give the same trace twice.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// A shared value; changing it wakes those who wait for it to be something.
#[derive(Debug, Default)]
pub struct Signal<T>(Mutex<Inner<T>>);

#[derive(Debug, Default)]
struct Inner<T> {
    value: T,
    /// By the order of arrival. There is one for each future that waits, and none longer than its future lives.
    waiters: BTreeMap<u64, Waker>,
    next: u64,
}

/// Waits until the value satisfies a condition.
struct Wait<'a, T, F> {
    signal: &'a Signal<T>,
    condition: F,
    place: Option<u64>,
}

impl<T> Signal<T> {
    pub fn new(value: T) -> Self {
        Self(Mutex::new(Inner { value, waiters: BTreeMap::new(), next: 0 }))
    }

    pub fn read<R>(&self, read: impl FnOnce(&T) -> R) -> R {
        read(&self.lock().value)
    }

    /// Changes the value and wakes everybody who waits, who then look for themselves.
    pub fn update(&self, change: impl FnOnce(&mut T)) {
        let waiters = {
            let mut inner = self.lock();
            change(&mut inner.value);
            std::mem::take(&mut inner.waiters)
        };
        for waker in waiters.into_values() {
            waker.wake();
        }
    }

    /// Waits until the condition holds. Cancel safe.
    pub async fn wait_for(&self, condition: impl Fn(&T) -> bool + Unpin) {
        Wait { signal: self, condition, place: None }.await;
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T, F: Fn(&T) -> bool + Unpin> Future for Wait<'_, T, F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let signal = self.signal;
        let mut inner = signal.lock();
        if (self.condition)(&inner.value) {
            return Poll::Ready(());
        }
        let place = self.place.unwrap_or(inner.next);
        inner.next = inner.next.max(place + 1);
        inner.waiters.insert(place, context.waker().clone());
        self.place = Some(place);
        Poll::Pending
    }
}

impl<T, F> Drop for Wait<'_, T, F> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.signal.lock().waiters.remove(&place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::task::Wake;

    /// Notes who is woken.
    struct Note(u32, Arc<Mutex<Vec<u32>>>);

    impl Wake for Note {
        fn wake(self: Arc<Self>) {
            self.1.lock().unwrap().push(self.0);
        }
    }

    #[test]
    fn waiters_are_woken_in_order_and_those_that_left_are_not() {
        let signal = Signal::new(0);
        let woken = Arc::new(Mutex::new(Vec::new()));
        let wait = || -> Pin<Box<dyn Future<Output = ()> + '_>> { Box::pin(signal.wait_for(|value| *value == 2)) };
        let mut waits: Vec<_> = (0..4).map(|_| wait()).collect();
        let poll_all = |waits: &mut Vec<Pin<Box<dyn Future<Output = ()> + '_>>>| {
            let mut ready = 0;
            for (i, wait) in (0..).zip(waits) {
                let waker = Waker::from(Arc::new(Note(i, woken.clone())));
                ready += usize::from(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
            }
            ready
        };
        assert_eq!(poll_all(&mut waits), 0);
        waits.pop();
        signal.update(|value| *value = 1);
        assert_eq!(*woken.lock().unwrap(), [0, 1, 2]);
        assert_eq!(poll_all(&mut waits), 0);
        signal.update(|value| *value = 2);
        assert_eq!(poll_all(&mut waits), 3);
    }
}
