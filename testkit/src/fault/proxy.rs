//! A TCP proxy that breaks connections when a test wants it.

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

/// Bytes that go from one side to the other at once.
const CHUNK: usize = 64 * 1024;
/// Bytes that the server can be rid of before they are passed on: few, so that one that is held back stands still.
const BACKLOG: u32 = 256 * 1024;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Everything passes.
    Open,
    /// Connections stay, and nothing passes.
    Stalled,
    /// New connections are dropped at once.
    Refusing,
}

struct Shared {
    mode: watch::Sender<Mode>,
    /// Counts cuts; each ends the connections of before.
    cuts: watch::Sender<u64>,
    /// Bytes that each connection may have from the server from now on, before it is held back.
    hold: watch::Sender<Option<u64>>,
    /// Bytes from the server that may still pass before a cut; `u64::MAX` for any number.
    allowance: AtomicU64,
    passed: AtomicU64,
    accepted: AtomicU64,
}

/// A proxy on loopback in front of one address. It ends with this value.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// A proxy in front of `target` (`host:port`).
    ///
    /// # Panics
    /// When loopback has no free port.
    pub async fn start(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has free ports");
        let address = listener.local_addr().expect("a bound listener has an address");
        let shared = Arc::new(Shared {
            mode: watch::Sender::new(Mode::Open),
            cuts: watch::Sender::new(0),
            hold: watch::Sender::new(None),
            allowance: AtomicU64::new(u64::MAX),
            passed: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
        });
        let task = tokio::spawn(accept(listener, target.to_owned(), Arc::clone(&shared)));
        Self { address, shared, task }
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same as an HTTP URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Breaks every connection; new ones pass, also after [`Proxy::hold_after`].
    pub fn cut(&self) {
        self.shared.cut();
        self.shared.hold.send_replace(None);
    }

    /// Breaks every connection once this many more bytes came from the server.
    pub fn cut_after(&self, bytes: u64) {
        self.shared.allowance.store(bytes, Ordering::SeqCst);
    }

    /// Breaks every connection and drops new ones, until [`Proxy::heal`].
    pub fn refuse(&self) {
        self.shared.mode.send_replace(Mode::Refusing);
        self.cut();
    }

    /// Holds all bytes back, in silence, until [`Proxy::heal`].
    pub fn stall(&self) {
        self.shared.mode.send_replace(Mode::Stalled);
    }

    /// Lets each connection, new ones too, have so many bytes from the server from now on, and holds what comes after them
    /// back, in silence, until [`Proxy::heal`] or a cut. So what takes more than these stands still in its middle, however
    /// fast it is.
    pub fn hold_after(&self, bytes: u64) {
        self.shared.hold.send_replace(Some(bytes));
    }

    /// Lets everything pass again.
    pub fn heal(&self) {
        self.shared.allowance.store(u64::MAX, Ordering::SeqCst);
        self.shared.hold.send_replace(None);
        self.shared.mode.send_replace(Mode::Open);
    }

    /// How many bytes came from the server so far.
    #[must_use]
    pub fn passed(&self) -> u64 {
        self.shared.passed.load(Ordering::SeqCst)
    }

    /// How many connections were made so far.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::SeqCst)
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

    /// Takes `bytes` of the allowance; false, and a cut, when it is used up.
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
    // dropped with this task, and all connections with it
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        shared.accepted.fetch_add(1, Ordering::SeqCst);
        while connections.try_join_next().is_some() {}
        if *shared.mode.borrow() != Mode::Refusing {
            connections.spawn(connect(client, target.clone(), Arc::clone(&shared)));
        }
    }
}

async fn connect(client: TcpStream, target: String, shared: Arc<Shared>) {
    let Some(server) = reach(&target).await else { return };
    let mut cuts = shared.cuts.subscribe();
    cuts.mark_unchanged();
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let both = async {
        tokio::join!(pass(from_client, to_server, &shared, false), pass(from_server, to_client, &shared, true));
    };
    // a cut comes before what would pass at the same moment
    tokio::select! {
        biased;
        _ = cuts.changed() => {}
        () = both => {}
    }
}

async fn reach(target: &str) -> Option<TcpStream> {
    let address = lookup_host(target).await.ok()?.next()?;
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.ok()?;
    socket.set_recv_buffer_size(BACKLOG).ok()?;
    socket.connect(address).await.ok()
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, shared: &Shared, from_server: bool) {
    let mut mode = shared.mode.subscribe();
    let mut hold = shared.hold.subscribe();
    let (mut limit, mut had) = (*hold.borrow_and_update(), 0);
    let mut buffer = vec![0; CHUNK];
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
        had += count as u64;
        // a new word begins the count anew
        while from_server && (hold.has_changed().unwrap_or(false) || limit.is_some_and(|limit| had > limit)) {
            if limit.is_some_and(|limit| had > limit) && hold.changed().await.is_err() {
                return;
            }
            (limit, had) = (*hold.borrow_and_update(), count as u64);
        }
        if mode.wait_for(|mode| *mode != Mode::Stalled).await.is_err() {
            return;
        }
        // before anybody has them, who may ask at once
        if from_server {
            shared.passed.fetch_add(count as u64, Ordering::SeqCst);
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn echo() -> String {
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
    async fn connections_break_when_they_should_and_only_then() {
        let proxy = Proxy::start(&echo().await).await;
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
        proxy.heal();
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(round_trip(&mut stream).await);
        assert_eq!((proxy.passed(), proxy.accepted()), (12, 4));
    }

    #[tokio::test]
    async fn what_is_held_back_comes_when_it_is_let_go_and_is_lost_with_a_cut() {
        const MIB: usize = 1024 * 1024;
        let proxy = Proxy::start(&zeros(64 * MIB as u64).await).await;
        for lost in [false, true] {
            proxy.hold_after(2 * MIB as u64);
            let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
            let mut some = vec![0; 2 * MIB - CHUNK];
            stream.read_exact(&mut some).await.unwrap();
            // all that may come has come, and no more does
            let before = proxy.passed();
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            assert!(proxy.passed() - before <= CHUNK as u64, "{} bytes more", proxy.passed() - before);
            if lost {
                proxy.cut()
            } else {
                proxy.heal()
            };
            let mut rest = Vec::new();
            let ended = stream.read_to_end(&mut rest).await;
            assert_eq!(ended.is_ok() && some.len() + rest.len() == 64 * MIB, !lost, "{} bytes", rest.len());
        }
    }

    /// Gives so many to whoever comes.
    async fn zeros(count: u64) -> String {
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
