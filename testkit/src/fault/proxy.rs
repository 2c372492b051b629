//! A TCP proxy that breaks or stalls connections on request.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream, lookup_host, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    sync::watch,
    task::{JoinHandle, JoinSet},
};

/// The buffer size of each direction of a connection, in bytes.
const BUFFER_BYTES: usize = 64 * 1024;
/// The size of the socket's receive buffer for bytes from the server. It is small, so that a stalled proxy soon stalls
/// the server.
const RECEIVE_BUFFER_BYTES: u32 = 256 * 1024;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// The proxy forwards all bytes.
    Open,
    /// The proxy keeps connections open and forwards nothing.
    Stalled,
    /// The proxy closes new connections immediately.
    Refusing,
}

struct Shared {
    mode: watch::Sender<Mode>,
    /// A counter; each increment closes all open connections.
    cuts: watch::Sender<u64>,
    /// The number of bytes from the server after which each connection stalls; None: never.
    stall_after: watch::Sender<Option<u64>>,
    /// The number of bytes from the server until the proxy closes all connections; `u64::MAX`: no limit.
    allowance: AtomicU64,
    bytes_passed: AtomicU64,
    connections: AtomicU64,
    open_connections: AtomicU64,
}

/// A TCP proxy on loopback in front of one server. Dropping the value ends the proxy.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Starts a proxy in front of `target` (`host:port`).
    ///
    /// # Panics
    /// When loopback has no free port.
    pub async fn start(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has free ports");
        let address = listener.local_addr().expect("a bound listener has an address");
        let shared = Arc::new(Shared {
            mode: watch::Sender::new(Mode::Open),
            cuts: watch::Sender::new(0),
            stall_after: watch::Sender::new(None),
            allowance: AtomicU64::new(u64::MAX),
            bytes_passed: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            open_connections: AtomicU64::new(0),
        });
        let task = tokio::spawn(accept(listener, target.to_owned(), Arc::clone(&shared)));
        Self { address, shared, task }
    }

    /// The address that clients connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The HTTP URL that clients connect to.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Closes all open connections and ends the effect of [`Proxy::stall_after`]. The proxy still accepts new
    /// connections.
    pub fn cut(&self) {
        self.shared.cut();
        self.shared.stall_after.send_replace(None);
    }

    /// Closes all open connections after this many more bytes from the server.
    pub fn cut_after(&self, bytes: u64) {
        self.shared.allowance.store(bytes, Ordering::SeqCst);
    }

    /// Closes all open connections and every new connection, until [`Proxy::restore`].
    pub fn refuse(&self) {
        self.shared.mode.send_replace(Mode::Refusing);
        self.cut();
    }

    /// Keeps connections open and forwards nothing, until [`Proxy::restore`].
    pub fn stall(&self) {
        self.shared.mode.send_replace(Mode::Stalled);
    }

    /// Stalls each open and each new connection after this many more bytes from the server, until [`Proxy::restore`] or
    /// [`Proxy::cut`]. A test can so stop a transfer before its end, independent of its speed.
    pub fn stall_after(&self, bytes: u64) {
        self.shared.stall_after.send_replace(Some(bytes));
    }

    /// Ends all faults: the proxy accepts connections and forwards all bytes again.
    pub fn restore(&self) {
        self.shared.allowance.store(u64::MAX, Ordering::SeqCst);
        self.shared.stall_after.send_replace(None);
        self.shared.mode.send_replace(Mode::Open);
    }

    /// The number of bytes forwarded from the server so far.
    #[must_use]
    pub fn bytes_passed(&self) -> u64 {
        self.shared.bytes_passed.load(Ordering::SeqCst)
    }

    /// The number of accepted connections so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// The number of connections that neither side has closed.
    #[must_use]
    pub fn open_connections(&self) -> u64 {
        self.shared.open_connections.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Subtracts bytes from the allowance. If the allowance is exhausted, closes all connections and returns false.
    fn allow(&self, bytes: u64) -> bool {
        let used = self.allowance.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
            if left == u64::MAX { Some(left) } else { left.checked_sub(bytes) }
        });
        if used.is_err() {
            self.allowance.store(u64::MAX, Ordering::SeqCst);
            self.cut();
        }
        used.is_ok()
    }
}

async fn accept(listener: TcpListener, target: String, shared: Arc<Shared>) {
    // the end of this task drops the set, which closes all connections
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        shared.connections.fetch_add(1, Ordering::SeqCst);
        while connections.try_join_next().is_some() {}
        if *shared.mode.borrow() != Mode::Refusing {
            let (target, shared) = (target.clone(), Arc::clone(&shared));
            shared.open_connections.fetch_add(1, Ordering::SeqCst);
            connections.spawn(async move {
                connect(client, target, &shared).await;
                shared.open_connections.fetch_sub(1, Ordering::SeqCst);
            });
        }
    }
}

async fn connect(client: TcpStream, target: String, shared: &Shared) {
    let Some(server) = connect_to(&target).await else { return };
    let mut cuts = shared.cuts.subscribe();
    cuts.mark_unchanged();
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let both = async {
        tokio::join!(forward(from_client, to_server, shared, false), forward(from_server, to_client, shared, true));
    };
    // a cut has priority over bytes that are ready at the same time
    tokio::select! {
        biased;
        _ = cuts.changed() => {}
        () = both => {}
    }
}

async fn connect_to(target: &str) -> Option<TcpStream> {
    let address = lookup_host(target).await.ok()?.next()?;
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.ok()?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES).ok()?;
    socket.connect(address).await.ok()
}

async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, shared: &Shared, from_server: bool) {
    let mut mode = shared.mode.subscribe();
    let mut stall_after = shared.stall_after.subscribe();
    let (mut limit, mut passed) = (*stall_after.borrow_and_update(), 0);
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        if mode.wait_for(|mode| *mode != Mode::Stalled).await.is_err() {
            return;
        }
        let count = match from.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(count) => count,
        };
        if from_server && !shared.allow(count as u64) {
            return;
        }
        passed += count as u64;
        // the count restarts with each new limit
        while from_server && (stall_after.has_changed().unwrap_or(false) || limit.is_some_and(|limit| passed > limit)) {
            if limit.is_some_and(|limit| passed > limit) && stall_after.changed().await.is_err() {
                return;
            }
            (limit, passed) = (*stall_after.borrow_and_update(), count as u64);
        }
        if mode.wait_for(|mode| *mode != Mode::Stalled).await.is_err() {
            return;
        }
        // count the bytes before the client receives them, because the test may read the count then
        if from_server {
            shared.bytes_passed.fetch_add(count as u64, Ordering::SeqCst);
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn start_echo_server() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    tokio::io::copy(&mut from, &mut to).await
                });
            }
        });
        address
    }

    async fn round_trip(stream: &mut TcpStream) -> bool {
        let mut answer = [0; 4];
        stream.write_all(b"ping").await.is_ok() && stream.read_exact(&mut answer).await.is_ok() && &answer == b"ping"
    }

    #[tokio::test]
    async fn connections_break_only_on_request() {
        let proxy = Proxy::start(&start_echo_server().await).await;
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(round_trip(&mut stream).await);
        proxy.cut();
        assert!(!round_trip(&mut stream).await);

        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        proxy.cut_after(5);
        assert!(round_trip(&mut stream).await);
        assert!(!round_trip(&mut stream).await);

        proxy.refuse();
        let refused = TcpStream::connect(proxy.address()).await;
        assert!(refused.is_err() || !round_trip(&mut refused.unwrap()).await);
        proxy.restore();
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(round_trip(&mut stream).await);
        assert_eq!((proxy.bytes_passed(), proxy.connections(), proxy.open_connections()), (12, 4, 1));
        drop(stream);
        crate::eventually("the connection is closed", async || (proxy.open_connections() == 0).then_some(())).await;
    }

    #[tokio::test]
    async fn a_stalled_transfer_continues_after_a_restore_and_fails_after_a_cut() {
        const MIB: usize = 1024 * 1024;
        let proxy = Proxy::start(&start_zeros_server(64 * MIB as u64).await).await;
        for lost in [false, true] {
            proxy.stall_after(2 * MIB as u64);
            let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
            let mut some = vec![0; 2 * MIB - BUFFER_BYTES];
            stream.read_exact(&mut some).await.unwrap();
            // the allowed bytes have passed, and no further byte does
            let before = proxy.bytes_passed();
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            assert!(
                proxy.bytes_passed() - before <= BUFFER_BYTES as u64,
                "{} bytes more",
                proxy.bytes_passed() - before
            );
            if lost {
                proxy.cut()
            } else {
                proxy.restore()
            };
            let mut rest = Vec::new();
            let ended = stream.read_to_end(&mut rest).await;
            assert_eq!(ended.is_ok() && some.len() + rest.len() == 64 * MIB, !lost, "{} bytes", rest.len());
        }
    }

    /// Starts a server that sends this many zero bytes on each connection, and returns its address.
    async fn start_zeros_server(count: u64) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move { tokio::io::copy(&mut tokio::io::repeat(0).take(count), &mut stream).await });
            }
        });
        address
    }
}
