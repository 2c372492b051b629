//! Accepts connections up to a limit, and serves their requests. After the server has stopped accepting connections,
//! running requests may finish.

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, warn};

use super::{counted::Counted, idle::IdleTimeout};
use crate::{backoff::Backoff, lifecycle::Lifecycle};

/// The default maximum time for a client to send the header of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// The default maximum number of open connections.
const MAX_CONNECTIONS: usize = 256;
/// The first and the maximum pause after a failed accept, such as when the process has no free file descriptor.
const ACCEPT_PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// The maximum size of a connection's buffer for each direction, in bytes. The buffer of a response to a slow client fills
/// up to this size, plus one chunk of the body. A request's header must fit into the buffer.
const MAX_BUFFER_BYTES: usize = 64 * 1024;

/// An HTTP/1 server on one listener.
///
/// When the connection limit is reached, further connections wait in the kernel's queue. An upgraded connection, such
/// as a WebSocket, counts until its stream is dropped.
#[derive(Debug)]
pub struct Server {
    name: &'static str,
    router: Router,
    listener: TcpListener,
    max_connections: usize,
    timeouts: Timeouts,
    tracker: TaskTracker,
}

/// The timeouts of one connection.
#[derive(Clone, Copy, Debug)]
struct Timeouts {
    header_timeout: Duration,
    idle_timeout: Option<Duration>,
    drain_timeout: Option<Duration>,
}

impl Server {
    /// Creates a server for this router. `name` identifies the server in logs and in [`Lifecycle::failure`].
    #[must_use]
    pub fn new(name: &'static str, router: Router, listener: TcpListener) -> Self {
        let timeouts = Timeouts { header_timeout: HEADER_TIMEOUT, idle_timeout: None, drain_timeout: None };
        Self { name, router, listener, max_connections: MAX_CONNECTIONS, timeouts, tracker: TaskTracker::new() }
    }

    /// Sets the maximum number of open connections; 256 by default.
    #[must_use]
    pub fn max_connections(self, connections: usize) -> Self {
        Self { max_connections: connections, ..self }
    }

    /// Sets the maximum time for a client to send the complete header of its next request; 30 s by default. After this
    /// time, the server closes the connection.
    #[must_use]
    pub fn header_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.header_timeout = timeout;
        self
    }

    /// Sets the time without a byte in either direction after which the server closes a connection; no limit by
    /// default.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.idle_timeout = Some(timeout);
        self
    }

    /// Sets the maximum time for running requests to continue after the stop. By default, they may continue until the
    /// hard stop of the process.
    #[must_use]
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.drain_timeout = Some(timeout);
        self
    }

    /// Tracks open connections with `tracker`, so that the owner of the tracker can count and await the connections.
    #[must_use]
    pub fn tracked_by(self, tracker: TaskTracker) -> Self {
        Self { tracker, ..self }
    }

    /// Spawns the server as a critical task of the process. After `stop` the server accepts no connections and finishes
    /// running requests.
    pub fn spawn(self, stop: &CancellationToken, life: &Lifecycle) {
        let (tasks, stop) = (life.clone(), stop.clone());
        life.spawn_critical(self.name, async move {
            self.accept_until(&stop, &tasks).await;
            Ok::<_, Infallible>(())
        });
    }

    /// Spawns the server as a task that may end before the process. After `stop` the server accepts no connections and
    /// finishes running requests. After the soft stop of the process it accepts no connections either. Returns a token
    /// that is canceled when the server accepts no more connections.
    pub fn spawn_temporary(self, stop: &CancellationToken, life: &Lifecycle) -> CancellationToken {
        let (tasks, stop, stopping) = (life.clone(), stop.clone(), life.soft().clone());
        let ended = CancellationToken::new();
        let end = ended.clone().drop_guard();
        life.spawn(async move {
            stopping.run_until_cancelled(self.accept_until(&stop, &tasks)).await;
            drop(end);
        });
        ended
    }

    async fn accept_until(self, stop: &CancellationToken, tasks: &Lifecycle) {
        let permits = Arc::new(Semaphore::new(self.max_connections));
        let mut backoff = Backoff::new(ACCEPT_PAUSES.0, ACCEPT_PAUSES.1);
        loop {
            let permit = tokio::select! {
                () = stop.cancelled() => return,
                permit = Arc::clone(&permits).acquire_owned() => permit,
            };
            // the semaphore is never closed
            let Ok(permit) = permit else { return };
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                accepted = self.listener.accept() => accepted,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(e) if concerns_one_connection(&e) => continue,
                Err(e) => {
                    warn!(server = self.name, error = %e, "failed to accept a connection");
                    tokio::time::sleep(backoff.next_pause()).await;
                    continue;
                }
            };
            backoff.reset();
            let (router, stop, timeouts) = (self.router.clone(), stop.clone(), self.timeouts);
            tasks.spawn(self.tracker.track_future(async move {
                serve_connection(stream, permit, router, &stop, timeouts).await;
            }));
        }
    }
}

/// Whether the failure of an accept concerns only this connection, so that the server may accept the next connection
/// without a pause.
fn concerns_one_connection(e: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(e.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn serve_connection(
    stream: TcpStream,
    permit: OwnedSemaphorePermit,
    router: Router,
    stop: &CancellationToken,
    timeouts: Timeouts,
) {
    // without this option, small frames wait until earlier frames are acknowledged
    if let Err(e) = stream.set_nodelay(true) {
        debug!(error = %e, "failed to set TCP_NODELAY");
    }
    let stream = Counted::new(stream, permit);
    match timeouts.idle_timeout {
        Some(timeout) => serve_requests(IdleTimeout::new(stream, timeout), router, stop, timeouts).await,
        None => serve_requests(stream, router, stop, timeouts).await,
    }
}

async fn serve_requests<S>(stream: S, router: Router, stop: &CancellationToken, timeouts: Timeouts)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(timeouts.header_timeout).max_buf_size(MAX_BUFFER_BYTES);
    let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)).with_upgrades();
    tokio::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            match timeouts.drain_timeout {
                None => connection.await,
                Some(timeout) => match tokio::time::timeout(timeout, connection).await {
                    Ok(result) => result,
                    Err(_) => return,
                },
            }
        }
    };
    if let Err(e) = result {
        debug!(error = %e, "connection failed");
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::{
        extract::Request,
        http::{StatusCode, header},
        routing::get,
    };
    use hyper::upgrade::OnUpgrade;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        time::timeout,
    };

    use super::*;

    const SHORT: Duration = Duration::from_millis(150);
    const LONG: Duration = Duration::from_secs(20);

    struct Running {
        address: SocketAddr,
        life: Lifecycle,
        tracker: TaskTracker,
    }

    /// Upgrades the connection, and holds it until the client sends a byte or disconnects.
    async fn upgrade(mut request: Request) -> (StatusCode, [(header::HeaderName, &'static str); 2]) {
        let upgrade = request.extensions_mut().remove::<OnUpgrade>().unwrap();
        tokio::spawn(async move {
            let mut stream = TokioIo::new(upgrade.await.unwrap());
            stream.read(&mut [0]).await
        });
        (StatusCode::SWITCHING_PROTOCOLS, [(header::CONNECTION, "upgrade"), (header::UPGRADE, "test")])
    }

    /// Starts a server that answers `/` immediately and `/slow` after four times [`SHORT`], and upgrades `/upgrade`.
    async fn start(configure: impl FnOnce(Server) -> Server) -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let slow = async || {
            tokio::time::sleep(SHORT * 4).await;
            "slow"
        };
        let router =
            Router::new().route("/", get(async || "quick")).route("/slow", get(slow)).route("/upgrade", get(upgrade));
        let (life, tracker) = (Lifecycle::new(), TaskTracker::new());
        let server = configure(Server::new("test", router, listener)).tracked_by(tracker.clone());
        server.spawn(life.soft(), &life);
        Running { address, life, tracker }
    }

    async fn send(address: SocketAddr, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    /// Reads until the server closes the connection, and returns the text.
    async fn read_to_end(mut stream: TcpStream) -> String {
        let mut text = String::new();
        timeout(LONG, stream.read_to_string(&mut text)).await.expect("the server closes the connection").unwrap();
        text
    }

    async fn read_some(stream: &mut TcpStream) -> usize {
        stream.read(&mut [0; 1024]).await.unwrap()
    }

    #[tokio::test]
    async fn a_connection_above_the_limit_waits_until_another_one_ends() {
        let running = start(|server| server.max_connections(1)).await;
        let mut first = send(running.address, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert!(read_some(&mut first).await > 0);
        let mut second = send(running.address, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert!(timeout(SHORT, read_some(&mut second)).await.is_err(), "the second connection is served");
        drop(first);
        assert!(timeout(LONG, read_some(&mut second)).await.unwrap() > 0);
    }

    #[tokio::test]
    async fn an_upgraded_connection_counts_until_it_ends() {
        let running = start(|server| server.max_connections(1)).await;
        let request = "GET /upgrade HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: test\r\n\r\n";
        let mut upgraded = send(running.address, request).await;
        assert!(read_some(&mut upgraded).await > 0);
        let mut second = send(running.address, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert!(timeout(SHORT, read_some(&mut second)).await.is_err(), "the second connection is served");
        drop(upgraded);
        assert!(timeout(LONG, read_some(&mut second)).await.unwrap() > 0);
    }

    #[tokio::test]
    async fn a_client_that_does_not_finish_its_header_is_disconnected() {
        let running = start(|server| server.header_timeout(SHORT)).await;
        assert_eq!(read_to_end(send(running.address, "GET / HT").await).await, "");
    }

    #[tokio::test]
    async fn an_idle_connection_is_closed() {
        let running = start(|server| server.idle_timeout(SHORT)).await;
        let text = read_to_end(send(running.address, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await).await;
        assert!(text.ends_with("quick"), "{text}");
    }

    #[tokio::test]
    async fn requests_that_have_begun_finish_after_the_stop() {
        let running = start(|server| server).await;
        let begun = send(running.address, "GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await;
        let kept = send(running.address, "").await;
        tokio::time::sleep(SHORT).await;
        assert_eq!(running.tracker.len(), 2);
        running.life.soft().cancel();
        assert!(read_to_end(begun).await.ends_with("slow"));
        assert_eq!(read_to_end(kept).await, "");
        running.life.shut_down(LONG).await;
        assert_eq!((running.tracker.len(), running.life.failure()), (0, None));
        assert!(TcpStream::connect(running.address).await.is_err(), "the server still listens");
    }

    #[tokio::test]
    async fn requests_that_exceed_the_drain_timeout_are_aborted() {
        let running = start(|server| server.drain_timeout(SHORT)).await;
        let begun = send(running.address, "GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await;
        tokio::time::sleep(SHORT).await;
        running.life.soft().cancel();
        assert_eq!(read_to_end(begun).await, "");
    }
}
