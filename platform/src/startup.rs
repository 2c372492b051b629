//! The start of a service whose dependencies may not be available yet. The service waits for the dependencies.
//! Meanwhile, its listener answers that the service is not ready.

use std::{
    fmt::Display,
    io,
    net::SocketAddr,
    os::fd::AsFd,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use protocol::problem::{Problem, Slug};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{info, warn};

use crate::{
    backoff::{Backoff, Schedule},
    health::{Dependency, Readiness},
    http::Server,
    lifecycle::Lifecycle,
};

/// The pauses between two attempts to connect to a dependency.
const PAUSES: Schedule = Schedule::new(Duration::from_millis(200), Duration::from_secs(5));
/// The number of seconds after which a client may repeat a request to a starting service.
const RETRY_AFTER: &str = "2";

/// The dependencies for which a starting service waits. Clones share the state.
#[derive(Clone, Debug, Default)]
pub struct Startup {
    dependencies: Arc<Mutex<Vec<Dependency>>>,
    /// Whether the first failure ends the start.
    is_single_attempt: bool,
}

/// A bound listener of a service. While the service starts, [`Startup::answer`] may answer requests to it. Dropping this
/// value ends these answers.
#[derive(Debug)]
pub struct ServiceListener {
    listener: TcpListener,
    answers: Option<Answers>,
}

/// The temporary server that answers requests while the service starts. Dropping this value stops the server.
#[derive(Debug)]
struct Answers {
    stop: DropGuard,
    /// Canceled when the server accepts no more connections.
    ended: CancellationToken,
}

impl From<TcpListener> for ServiceListener {
    fn from(listener: TcpListener) -> Self {
        Self { listener, answers: None }
    }
}

impl ServiceListener {
    /// Returns the address on which the service listens.
    ///
    /// # Errors
    /// When the operating system does not return the address.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Stops the server of [`Startup::answer`], and returns the listener. Later connections wait until the service
    /// accepts them, so the service must accept them soon.
    pub async fn into_listener(self) -> TcpListener {
        if let Some(Answers { stop, ended }) = self.answers {
            drop(stop);
            ended.cancelled().await;
        }
        self.listener
    }
}

impl Startup {
    /// Creates a start that does not wait for dependencies: [`Startup::wait_for`] returns the first error.
    #[must_use]
    pub fn without_waiting() -> Self {
        Self { is_single_attempt: true, ..Self::default() }
    }

    /// Repeats `connect` until it succeeds, with growing pauses. Meanwhile, `/readyz` names the dependency and the last
    /// error. The caller ends the wait by dropping the future.
    ///
    /// # Errors
    /// An error for which `is_final` returns true, because no later attempt can succeed. After
    /// [`Startup::without_waiting`], every error.
    pub async fn wait_for<T, E: Display>(
        &self,
        name: &'static str,
        is_final: impl Fn(&E) -> bool,
        mut connect: impl AsyncFnMut() -> Result<T, E>,
    ) -> Result<T, E> {
        let mut backoff = Backoff::from(PAUSES);
        self.set(Dependency::from_result(name, Err::<(), _>("connecting")));
        loop {
            match connect().await {
                Ok(value) => {
                    if backoff.failures() > 0 {
                        info!(dependency = name, "a dependency is available; the start continues");
                    }
                    self.set(Dependency::from_result(name, Ok::<_, E>(())));
                    return Ok(value);
                }
                Err(e) if self.is_single_attempt || is_final(&e) => return Err(e),
                Err(e) => {
                    // log the first failure, and then about one failure a minute
                    if backoff.failures().is_multiple_of(12) {
                        warn!(dependency = name, error = %e, "waiting for a dependency before the start");
                    }
                    self.set(Dependency::from_result(name, Err::<(), _>(&e)));
                }
            }
            tokio::time::sleep(backoff.next_pause()).await;
        }
    }

    /// Answers requests to a bound listener, until [`ServiceListener::into_listener`] returns the listener. The answer
    /// to `/healthz` is success. The answer to `/readyz` is `503` with the dependencies. The answer to any other
    /// request is the problem `unavailable`.
    ///
    /// # Errors
    /// When the process has no free file descriptor.
    pub fn answer(&self, listener: TcpListener, life: &Lifecycle) -> io::Result<ServiceListener> {
        // both listeners share one socket, from which the service accepts connections after the start
        let shared = TcpListener::from_std(listener.as_fd().try_clone_to_owned()?.into())?;
        let router = Router::new()
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(not_ready))
            .fallback(unavailable)
            .with_state(self.clone());
        let stop = CancellationToken::new();
        let ended = Server::new("startup listener", router, shared).spawn_temporary(&stop, life);
        Ok(ServiceListener { listener, answers: Some(Answers { stop: stop.drop_guard(), ended }) })
    }

    /// Returns the state of the dependencies to which the start has tried to connect. A starting service is never
    /// ready.
    fn readiness(&self) -> Readiness {
        let mut dependencies = vec![Dependency::from_result("process", Err::<(), _>("starting"))];
        dependencies.extend(self.dependencies.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned());
        dependencies.into()
    }

    fn set(&self, dependency: Dependency) {
        let mut dependencies = self.dependencies.lock().unwrap_or_else(PoisonError::into_inner);
        dependencies.retain(|known| known.name != dependency.name);
        dependencies.push(dependency);
    }
}

/// Repeats `open` until it succeeds, with growing pauses, and logs the first failure. The caller ends the wait by
/// dropping the future. `what` names the opened resource in the log.
pub async fn until_open<T, E: Display>(what: &'static str, mut open: impl AsyncFnMut() -> Result<T, E>) -> T {
    let mut backoff = Backoff::from(PAUSES);
    loop {
        match open().await {
            Ok(value) => return value,
            Err(e) if backoff.failures() == 0 => warn!(what, error = %e, "failed to open a dependency; retrying"),
            Err(_) => {}
        }
        tokio::time::sleep(backoff.next_pause()).await;
    }
}

async fn not_ready(State(startup): State<Startup>) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, [(header::CONNECTION, "close")], Json(startup.readiness())).into_response()
}

async fn unavailable() -> Response {
    let problem = Problem::new(Slug::Unavailable, "the service is starting: try again in some seconds");
    let headers = [
        (header::CONTENT_TYPE, "application/problem+json"),
        (header::RETRY_AFTER, RETRY_AFTER),
        (header::CONNECTION, "close"),
    ];
    (StatusCode::SERVICE_UNAVAILABLE, headers, Json(problem)).into_response()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn a_start_answers_and_waits_until_its_dependency_is_available() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (life, startup) = (Lifecycle::new(), Startup::default());
        let listener = startup.answer(listener, &life).expect("a file descriptor");
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        let (attempts, asked) = (Cell::new(0), Cell::new(0));
        let connected = startup.wait_for(
            "database",
            |_: &String| false,
            async || {
                attempts.set(attempts.get() + 1);
                if attempts.get() < 3 {
                    return Err("refused".to_owned());
                }
                for (path, status, text) in
                    [("/healthz", 200, "ok"), ("/readyz", 503, "refused"), ("/v1", 503, "starting")]
                {
                    let answer = http.get(format!("{url}{path}")).send().await.expect("an answer");
                    assert_eq!(answer.status().as_u16(), status, "{path}");
                    let body = answer.text().await.expect("a body");
                    assert!(body.contains(text), "{path}: {body}");
                    asked.set(asked.get() + 1);
                }
                Ok(7)
            },
        );
        assert_eq!((connected.await, asked.get()), (Ok(7), 3));
        // the socket stays open, and the service accepts each later connection
        let listener = listener.into_listener().await;
        for _ in 0..20 {
            let address = listener.local_addr().expect("an address");
            let client = tokio::net::TcpStream::connect(address).await.expect("a connection");
            let (_, peer) = listener.accept().await.expect("the connection");
            assert_eq!(client.local_addr().expect("an address"), peer);
        }
        life.soft().cancel();
        life.shut_down(Duration::from_secs(5)).await;
        assert_eq!(life.failure(), None);
    }

    #[tokio::test]
    async fn a_wrong_setting_ends_the_start() {
        let refused = async |startup: Startup, is_final| {
            startup.wait_for("nats", |_: &&str| is_final, async || Err::<(), _>("no such file")).await
        };
        assert_eq!(refused(Startup::default(), true).await, Err("no such file"));
        assert_eq!(refused(Startup::without_waiting(), false).await, Err("no such file"));
    }
}
