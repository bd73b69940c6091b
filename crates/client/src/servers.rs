//! Several API servers of one cluster as one: requests go to the first that lives, in an order of preference.
//!
//! A request that reached nobody is sent to the next server. One that may have been answered (the connection broke) is
//! repeated only if it reads: whoever wrote knows whether the write may be repeated. A server that failed is left alone
//! for a while, so that not every request finds out anew; then it is preferred again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use stdx::Backoff;
use tokio::time::Instant;

use crate::transport::{Body, Transport, TransportError};

/// How long a server is left alone after failures in a row.
const REST: Backoff = Backoff::new(Duration::from_secs(2), Duration::from_secs(60));

/// A transport over several.
pub struct Servers {
    servers: Vec<Server>,
}

struct Server {
    transport: Arc<dyn Transport>,
    health: Mutex<Health>,
}

#[derive(Clone, Copy, Default)]
struct Health {
    failures: u32,
    rests_until: Option<Instant>,
}

impl Servers {
    /// `transports` in the order in which they are preferred.
    pub fn new(transports: Vec<Arc<dyn Transport>>) -> Self {
        let server = |transport| Server { transport, health: Mutex::default() };
        Self { servers: transports.into_iter().map(server).collect() }
    }

    /// Those that are not known to be down first; then, rather than nobody, the others.
    fn in_order(&self) -> impl Iterator<Item = &Server> {
        let (up, down): (Vec<_>, Vec<_>) = self.servers.iter().partition(|server| !server.rests());
        up.into_iter().chain(down)
    }
}

impl Server {
    fn health(&self) -> std::sync::MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rests(&self) -> bool {
        self.health().rests_until.is_some_and(|until| Instant::now() < until)
    }

    fn failed(&self) {
        let mut health = self.health();
        health.failures = health.failures.saturating_add(1);
        health.rests_until = Some(Instant::now() + REST.delay(health.failures));
    }
}

#[async_trait]
impl Transport for Servers {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Body>, TransportError> {
        let reads = *request.method() == Method::GET;
        let mut last = Err(TransportError::Timeout);
        for server in self.in_order() {
            last = server.transport.send(request.clone()).await;
            match &last {
                // It goes down, or has lost its store.
                Ok(answer) if answer.status() == StatusCode::SERVICE_UNAVAILABLE => {
                    server.failed();
                    if !reads {
                        break;
                    }
                }
                Ok(_) => {
                    *server.health() = Health::default();
                    break;
                }
                Err(error) => {
                    server.failed();
                    if !reads && !matches!(error, TransportError::Connect { .. }) {
                        break;
                    }
                }
            }
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;
    use crate::https::connect_error;

    /// Answers with its name while it is up; says what it was asked.
    struct Fake {
        name: &'static str,
        state: Mutex<State>,
        asked: Mutex<usize>,
    }

    #[derive(Clone, Copy, PartialEq)]
    enum State {
        Up,
        Refuses,
        Breaks,
        Unready,
    }

    #[async_trait]
    impl Transport for Fake {
        async fn send(&self, _: Request<Bytes>) -> Result<Response<Body>, TransportError> {
            *self.asked.lock().unwrap() += 1;
            let error = || std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
            let state = *self.state.lock().unwrap();
            let code = match state {
                State::Refuses => return Err(connect_error(self.name, error())),
                State::Breaks => return Err(TransportError::Broken(Arc::new(error()))),
                State::Unready => 503,
                State::Up => 200,
            };
            let body = http_body_util::Full::new(Bytes::from(self.name)).map_err(|never| match never {}).boxed();
            Ok(Response::builder().status(code).body(body).unwrap())
        }
    }

    fn fakes() -> (Vec<Arc<Fake>>, Servers) {
        let fake = |name| Arc::new(Fake { name, state: Mutex::new(State::Up), asked: Mutex::default() });
        let fakes = vec![fake("a"), fake("b")];
        let servers = Servers::new(fakes.iter().map(|fake| fake.clone() as Arc<dyn Transport>).collect());
        (fakes, servers)
    }

    async fn ask(servers: &Servers, method: Method) -> String {
        let request = Request::builder().method(method).uri("/").body(Bytes::new()).unwrap();
        match servers.send(request).await {
            Ok(answer) => {
                let code = answer.status().as_u16();
                let body = answer.into_body().collect().await.unwrap().to_bytes();
                format!("{code} {}", String::from_utf8_lossy(&body))
            }
            Err(_) => "failed".to_owned(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn requests_go_to_the_first_server_that_lives() {
        let (fakes, servers) = fakes();
        let mut told = Vec::new();
        for (state, method) in [
            (State::Up, Method::POST),
            (State::Refuses, Method::POST),
            (State::Breaks, Method::GET),
            (State::Breaks, Method::POST),
            (State::Unready, Method::GET),
            (State::Unready, Method::POST),
        ] {
            *fakes[0].state.lock().unwrap() = state;
            told.push(ask(&servers, method).await);
            // Long enough that the first server is tried again.
            tokio::time::sleep(Duration::from_secs(61)).await;
        }
        // A write is not repeated where it may have happened.
        assert_eq!(told, ["200 a", "200 b", "200 b", "failed", "200 b", "503 a"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_failed_is_left_alone_for_a_while_and_preferred_again() {
        let (fakes, servers) = fakes();
        *fakes[0].state.lock().unwrap() = State::Refuses;
        for _ in 0..100 {
            assert_eq!(ask(&servers, Method::GET).await, "200 b");
        }
        assert_eq!(*fakes[0].asked.lock().unwrap(), 1);
        *fakes[0].state.lock().unwrap() = State::Up;
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(ask(&servers, Method::GET).await, "200 a");
        // With all of them down, all are asked.
        for fake in &fakes {
            *fake.state.lock().unwrap() = State::Refuses;
        }
        assert_eq!(ask(&servers, Method::GET).await, "failed");
        *fakes[1].state.lock().unwrap() = State::Up;
        assert_eq!(ask(&servers, Method::GET).await, "200 b");
    }
}
