//! A load balancer for gateways: polls `/readyz`, and distributes connections round robin.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// The interval between two readiness checks.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

struct Backend {
    address: String,
    ready: AtomicBool,
}

/// A load balancer on loopback. Dropping the value stops it.
pub struct LoadBalancer {
    url: String,
    _tasks: JoinSet<()>,
}

impl LoadBalancer {
    /// Starts a load balancer in front of these gateways (`http://host:port`).
    ///
    /// # Panics
    /// When loopback has no free port.
    pub async fn start(gateways: &[String]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has free ports");
        let address = listener.local_addr().expect("a bound listener has an address");
        let backend = |url: &String| Backend {
            address: url.trim_start_matches("http://").to_owned(),
            ready: AtomicBool::new(true),
        };
        let backends: Arc<Vec<Backend>> = Arc::new(gateways.iter().map(backend).collect());
        let mut tasks = JoinSet::new();
        for index in 0..backends.len() {
            tasks.spawn(check_readiness(Arc::clone(&backends), index));
        }
        tasks.spawn(accept(listener, backends));
        Self { url: format!("http://{address}"), _tasks: tasks }
    }

    /// The URL to which clients connect.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

async fn check_readiness(backends: Arc<Vec<Backend>>, index: usize) {
    let backend = &backends[index];
    let http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).timeout(CHECK_INTERVAL * 20).build();
    let http = http.expect("an HTTP client can be made");
    let mut ticks = tokio::time::interval(CHECK_INTERVAL);
    loop {
        ticks.tick().await;
        let answer = http.get(format!("http://{}/readyz", backend.address)).send().await;
        backend.ready.store(answer.is_ok_and(|answer| answer.status().is_success()), Ordering::SeqCst);
    }
}

async fn accept(listener: TcpListener, backends: Arc<Vec<Backend>>) {
    let next = Arc::new(AtomicUsize::new(0));
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        connections.spawn(forward(client, Arc::clone(&backends), Arc::clone(&next)));
    }
}

/// Forwards a connection to the next ready gateway, or to the one after it when that gateway refuses the connection.
async fn forward(mut client: TcpStream, backends: Arc<Vec<Backend>>, next: Arc<AtomicUsize>) {
    let first = next.fetch_add(1, Ordering::SeqCst);
    let in_order = (0..backends.len()).map(|n| &backends[(first + n) % backends.len()]);
    for backend in in_order.filter(|backend| backend.ready.load(Ordering::SeqCst)) {
        if let Ok(mut server) = TcpStream::connect(&backend.address).await {
            // TCP_NODELAY: small frames must not wait for each other. An error on one side closes both.
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            let _ = copy_bidirectional(&mut client, &mut server).await;
            return;
        }
    }
}
