//! A balancer in front of gateways, as small as one can be: it looks at `/readyz`, and passes connections on in turn.

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

/// How often it looks.
const LOOK: Duration = Duration::from_millis(100);

struct Backend {
    address: String,
    ready: AtomicBool,
}

/// A balancer on loopback. It ends with this value.
pub struct Balancer {
    url: String,
    _tasks: JoinSet<()>,
}

impl Balancer {
    /// A balancer in front of these gateways (`http://host:port`).
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
            tasks.spawn(look(Arc::clone(&backends), index));
        }
        tasks.spawn(accept(listener, backends));
        Self { url: format!("http://{address}"), _tasks: tasks }
    }

    /// Where clients connect.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

async fn look(backends: Arc<Vec<Backend>>, index: usize) {
    let backend = &backends[index];
    let http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).timeout(LOOK * 20).build();
    let http = http.expect("an HTTP client can be made");
    let mut looks = tokio::time::interval(LOOK);
    loop {
        looks.tick().await;
        let answer = http.get(format!("http://{}/readyz", backend.address)).send().await;
        backend.ready.store(answer.is_ok_and(|answer| answer.status().is_success()), Ordering::SeqCst);
    }
}

async fn accept(listener: TcpListener, backends: Arc<Vec<Backend>>) {
    let turn = Arc::new(AtomicUsize::new(0));
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        connections.spawn(pass(client, Arc::clone(&backends), Arc::clone(&turn)));
    }
}

/// To the next that is ready; and if that one can't be reached, to the one after it.
async fn pass(mut client: TcpStream, backends: Arc<Vec<Backend>>, turn: Arc<AtomicUsize>) {
    let first = turn.fetch_add(1, Ordering::SeqCst);
    let in_turn = (0..backends.len()).map(|n| &backends[(first + n) % backends.len()]);
    for backend in in_turn.filter(|backend| backend.ready.load(Ordering::SeqCst)) {
        if let Ok(mut server) = TcpStream::connect(&backend.address).await {
            // small frames must not wait for each other; whichever side breaks off, both are closed
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            let _ = copy_bidirectional(&mut client, &mut server).await;
            return;
        }
    }
}
