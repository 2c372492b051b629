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
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    sync::watch,
    task::{JoinHandle, JoinSet},
};

/// Bytes that go from one side to the other at once.
const CHUNK: usize = 64 * 1024;

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

    /// Breaks every connection; new ones pass.
    pub fn cut(&self) {
        self.shared.cut();
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

    /// Lets everything pass again.
    pub fn heal(&self) {
        self.shared.allowance.store(u64::MAX, Ordering::SeqCst);
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
    let Ok(server) = TcpStream::connect(&target).await else { return };
    let mut cuts = shared.cuts.subscribe();
    cuts.mark_unchanged();
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let both = async {
        tokio::join!(pass(from_client, to_server, &shared, false), pass(from_server, to_client, &shared, true));
    };
    tokio::select! {
        () = both => {}
        _ = cuts.changed() => {}
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, shared: &Shared, from_server: bool) {
    let mut mode = shared.mode.subscribe();
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
        if mode.wait_for(|mode| *mode != Mode::Stalled).await.is_err() || to.write_all(&buffer[..count]).await.is_err()
        {
            return;
        }
        if from_server {
            shared.passed.fetch_add(count as u64, Ordering::SeqCst);
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
}
