//! A rolling restart of gateways and notifiers under load: sessions continue at the other gateway, downloads complete, and
//! no request fails.

#![expect(clippy::print_stdout, reason = "prints the measured times")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use aws_lc_rs::digest;
use e2e::{Fleet, LoadBalancer, Plan};
use protocol::{
    client::{ClientMessage, FileOpen, FileWindow, SessionResume},
    export::{Export, ExportRequest, Status},
    id::ExportId,
    server::ServerMessage,
};
use reqwest::{Method, StatusCode};
use serde_json::json;
use testkit::{
    client::{Client, Credential, Received},
    rest::Rest,
};
use tokio::task::JoinSet;

const USERS: usize = 20;
/// The window of a file stream in bytes: so small that a download takes far longer than both restarts.
const WINDOW: u64 = 32 * 1024;
/// The delay before a client grants half a window again, until both restarts are complete.
const GRANT_DELAY: Duration = Duration::from_millis(1_000);

// Both are long: a test machine that stalls for two seconds must not change the result of a comparison of times.
const SHUTDOWN_DELAY: Duration = Duration::from_millis(5_000);
const CLOSE_SPREAD: Duration = Duration::from_millis(8_000);

/// The result of a download.
#[derive(Default)]
struct DownloadReport {
    sha256: String,
    /// The time and the code of each close of a session.
    closes: Vec<(Instant, Option<u16>)>,
    /// The time of each reconnection.
    reconnects: Vec<Instant>,
    /// Events that a client of the contract would report as errors.
    errors: Vec<String>,
}

/// A download over several sessions, as the contract says: full jitter before each reconnection, `session.resume`, and
/// `file.open` at the reached offset.
struct Download {
    url: String,
    token: String,
    export: Export,
    offset: u64,
    digest: digest::Context,
    /// The epoch and the sequence number of the last event.
    last_event: Option<(String, u64)>,
    /// Whether both restarts are complete.
    restarted: Arc<AtomicBool>,
    report: DownloadReport,
}

enum SessionEnd {
    Sealed,
    Closed,
}

impl Download {
    async fn run(mut self) -> DownloadReport {
        let mut failures = 0;
        loop {
            let client = Client::try_connect(&self.url, Credential::Bearer(&self.token), None).await;
            match client {
                Ok(Ok(client)) => {
                    failures = 0;
                    if let SessionEnd::Sealed = self.session(client).await {
                        break;
                    }
                }
                // Refused temporarily, or disconnected: the client retries.
                Ok(Err(refusal)) if refusal.status == StatusCode::SERVICE_UNAVAILABLE => {}
                Ok(Err(refusal)) => self.report.errors.push(format!("refused: {}", refusal.status)),
                Err(_) => {}
            }
            failures += 1;
            assert!(failures < 8, "no gateway accepts this client");
            let ceiling =
                Duration::from_millis(500).mul_f64(f64::from(1 << (failures - 1))).min(Duration::from_secs(30));
            tokio::time::sleep(ceiling.mul_f64(rand::random())).await;
        }
        self.report.sha256 = hex::encode(self.digest.finish());
        self.report
    }

    async fn session(&mut self, mut client: Client) -> SessionEnd {
        let ServerMessage::SessionReady { epoch, seq, .. } = client.ready.clone() else {
            unreachable!("`ready` is a session.ready")
        };
        if let Some((epoch, seq)) = self.last_event.replace((epoch, seq)) {
            self.report.reconnects.push(Instant::now());
            client.try_send(&ClientMessage::SessionResume(SessionResume { epoch, seq }), None).await;
        }
        let open = FileOpen { export_id: self.export.id, offset: self.offset, window: Some(WINDOW), attempt: None };
        client.try_send(&ClientMessage::FileOpen(open), Some("open")).await;
        let mut granted = self.offset + WINDOW;
        loop {
            match client.next().await {
                Received::Binary(frame) => {
                    assert_eq!(frame.offset, self.offset, "frames come in order without gaps");
                    self.offset += frame.payload.len() as u64;
                    assert!(self.offset <= granted, "more bytes than the granted window");
                    self.digest.update(&frame.payload);
                    if granted - self.offset <= WINDOW / 2 {
                        if !self.restarted.load(Ordering::SeqCst) {
                            tokio::time::sleep(GRANT_DELAY).await;
                        }
                        let bytes = self.offset + WINDOW - granted;
                        granted += bytes;
                        client
                            .try_send(&ClientMessage::FileWindow(FileWindow { stream: frame.stream, bytes }), None)
                            .await;
                    }
                }
                Received::Text(ServerMessage::FileSealed { size, .. }) => {
                    assert_eq!(size, self.offset, "the sealed size differs from the received bytes");
                    return SessionEnd::Sealed;
                }
                Received::Text(ServerMessage::SessionResumed { recovered: false, .. }) => {
                    self.report.errors.push("events were lost".to_owned());
                }
                Received::Text(ServerMessage::FileClosed { problem, .. }) => {
                    self.report.errors.push(format!("file.closed: {problem:?}"));
                    return SessionEnd::Closed;
                }
                Received::Text(ServerMessage::Error { problem, .. }) => {
                    self.report.errors.push(format!("error: {problem}"));
                    return SessionEnd::Closed;
                }
                Received::Text(_) => {}
                Received::Closed(code) => {
                    self.report.closes.push((Instant::now(), code));
                    return SessionEnd::Closed;
                }
            }
        }
    }
}

/// The times of one gateway's shutdown.
#[derive(Debug)]
struct Shutdown {
    terminated: Instant,
    /// The time from SIGTERM to the first 503 of `/readyz`.
    unready: Duration,
    /// The time from SIGTERM to the end of the process.
    ended: Duration,
}

/// Terminates a gateway, measures its shutdown, and starts it again.
async fn restart_gateway(fleet: &mut Fleet, index: usize) -> Shutdown {
    let url = fleet.urls[index].clone();
    // A new connection for each check, as load balancers do.
    let http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().expect("an HTTP client");
    let terminated = Instant::now();
    fleet.gateways[index].terminate();
    let unready = testkit::eventually("/readyz says 503", async || {
        let answer = http.get(format!("{url}/readyz")).send().await.expect("the gateway still accepts connections");
        (answer.status() == StatusCode::SERVICE_UNAVAILABLE).then(|| terminated.elapsed())
    })
    .await;
    assert!(unready < SHUTDOWN_DELAY, "{unready:?}");
    let status = fleet.gateways[index].ended().await;
    assert!(status.success(), "{status}: {}", fleet.gateways[index].stderr());
    let ended = terminated.elapsed();
    fleet.restart_gateway(index).await;
    Shutdown { terminated, unready, ended }
}

/// Downloads a file over HTTP slowly, so that the gateway is terminated during the download. Returns the digest.
async fn download_slowly(rest: Rest, path: String, started: Arc<AtomicBool>) -> String {
    let mut answer = rest.request(Method::GET, &path).send().await.expect("the gateway answers");
    assert_eq!(answer.status(), StatusCode::OK);
    let mut digest = digest::Context::new(&digest::SHA256);
    let mut since_pause = 0;
    while let Some(chunk) = answer.chunk().await.expect("the download continues to its end") {
        digest.update(&chunk);
        started.store(true, Ordering::SeqCst);
        since_pause += chunk.len();
        if since_pause >= 1 << 20 {
            since_pause = 0;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    hex::encode(digest.finish())
}

/// Sends requests of a page repeatedly, each over a new connection. Returns their number.
async fn send_requests(url: String, token: String, stop: Arc<AtomicBool>) -> usize {
    let http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().expect("an HTTP client");
    let mut done = 0;
    while !stop.load(Ordering::SeqCst) {
        let answer = http.get(format!("{url}/v1/credits")).bearer_auth(&token).send().await;
        let status = answer.unwrap_or_else(|e| panic!("request {done}: {e:?}")).status();
        assert_eq!(status, StatusCode::OK, "request {done}");
        done += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    done
}

async fn completed(rest: &Rest, request: serde_json::Value) -> Export {
    let request: ExportRequest = serde_json::from_value(request).expect("a request");
    let id: ExportId = rest.create(&request).await.id;
    let export = rest.ended(id).await;
    assert_eq!(export.status, Status::Completed);
    export
}

/// Returns the maximum number of these times within an eighth of the spread, and the span from the first to the last.
fn density(times: &mut [Instant]) -> (usize, Duration) {
    times.sort();
    let within = |first: &Instant| times.iter().filter(|at| **at >= *first && **at - *first < CLOSE_SPREAD / 8).count();
    let maximum = times.iter().map(within).max().unwrap_or_default();
    (maximum, times.last().zip(times.first()).map(|(last, first)| *last - *first).unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_a_rolling_restart_under_100_sessions_causes_no_error() {
    assert_no_error_under(100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_a_rolling_restart_under_200_sessions_causes_no_error() {
    assert_no_error_under(200).await;
}

/// Restarts two gateways and two notifiers while this many sessions read files.
async fn assert_no_error_under(sessions: usize) {
    let millis = |duration: Duration| format!("{}ms", duration.as_millis());
    let mut fleet = Fleet::start(Plan {
        gateways: 2,
        notifiers: 2,
        settings: vec![
            ("SLUICE_GATEWAY__SHUTDOWN_DELAY", millis(SHUTDOWN_DELAY)),
            ("SLUICE_GATEWAY__SESSION_CLOSE_SPREAD", millis(CLOSE_SPREAD)),
            ("SLUICE_GATEWAY__HTTP_DRAIN_TIMEOUT", "15s".to_owned()),
            ("SLUICE_GATEWAY__MAX_SESSIONS_PER_USER", "100".to_owned()),
        ],
        ..Plan::default()
    })
    .await;
    let balancer = LoadBalancer::start(&fleet.urls).await;
    let url = balancer.url().to_owned();

    let mut exports = Vec::new();
    for user in 0..USERS {
        let token = fleet.token(&format!("user-{user}"), "acme");
        let rest = Rest::new(fleet.url(), Some(&token));
        let request = json!({"dataset": "flights", "filter": {"origin": {"eq": "SEA"}}});
        exports.push((token, completed(&rest, request).await));
    }
    let rest = fleet.rest();
    let large =
        completed(&rest, json!({"dataset": "flights", "filter": {"origin": {"in": ["ATL", "ORD", "DFW"]}}})).await;
    let large_sha256 = large.file.as_ref().expect("a file").sha256.clone();

    let started = Instant::now();
    let restarted = Arc::new(AtomicBool::new(false));
    let mut downloads = JoinSet::new();
    for session in 0..sessions {
        let (token, export) = exports[session % USERS].clone();
        let digest = digest::Context::new(&digest::SHA256);
        let (url, restarted, report) = (url.clone(), Arc::clone(&restarted), DownloadReport::default());
        downloads.spawn(async move {
            let expected = export.file.as_ref().expect("a file").sha256.clone();
            let download = Download { url, token, export, offset: 0, digest, last_event: None, restarted, report };
            (expected, download.run().await)
        });
    }
    let stop = Arc::new(AtomicBool::new(false));
    let requests = tokio::spawn(send_requests(url.clone(), fleet.token("alice", "acme"), Arc::clone(&stop)));

    let mut shutdowns = Vec::new();
    for index in 0..2 {
        let download_started = Arc::new(AtomicBool::new(false));
        let direct = Rest::new(&fleet.urls[index], Some(&fleet.token("alice", "acme")));
        let slow = tokio::spawn(download_slowly(direct, large.links.file.clone(), Arc::clone(&download_started)));
        testkit::eventually("the download runs", async || download_started.load(Ordering::SeqCst).then_some(())).await;
        shutdowns.push(restart_gateway(&mut fleet, index).await);
        assert_eq!(slow.await.expect("the download completes"), large_sha256, "a running download is complete");
    }
    // The notifiers, which serve the bytes, are restarted too.
    for _ in 0..2 {
        let mut old = fleet.notifiers.remove(0);
        fleet.add_notifier();
        old.terminate();
        let status = old.ended().await;
        assert!(status.success(), "{status}: {}", old.stderr());
    }
    let restarted_after = started.elapsed();
    restarted.store(true, Ordering::SeqCst);

    let (mut closes, mut reconnects) = (Vec::new(), Vec::new());
    while let Some(done) = downloads.join_next().await {
        let (expected, report) = done.expect("no client panicked");
        assert_eq!(report.errors, [""; 0], "{}", fleet.logs());
        assert_eq!(report.sha256, expected, "each client has the complete file");
        closes.extend(report.closes);
        reconnects.extend(report.reconnects);
    }
    stop.store(true, Ordering::SeqCst);
    let requests = requests.await.expect("no request failed");

    assert!(closes.iter().all(|(_, code)| *code == Some(1001)), "{:?}", closes.iter().map(|c| c.1).collect::<Vec<_>>());
    assert!(closes.len() >= sessions, "only {} of {sessions} sessions were closed", closes.len());
    println!("restarted within {restarted_after:?}, all complete within {:?}; {requests} requests", started.elapsed());
    for (index, shutdown) in shutdowns.iter().enumerate() {
        let next = shutdowns.get(index + 1).map(|shutdown| shutdown.terminated);
        let of = |at: &Instant| *at >= shutdown.terminated && next.is_none_or(|next| *at < next);
        let mut closed: Vec<_> = closes.iter().map(|(at, _)| *at).filter(of).collect();
        let mut reconnected: Vec<_> = reconnects.iter().copied().filter(of).collect();
        let first = *closed.iter().min().expect("some sessions were closed") - shutdown.terminated;
        let (most_closed, close_span) = density(&mut closed);
        let (most_reconnected, reconnect_span) = density(&mut reconnected);
        println!(
            "gateway {index}: 503 after {:?}, {} sessions closed from {first:?} on within {close_span:?}, at most {most_closed} \
             in {:?}; reconnected within {reconnect_span:?}, at most {most_reconnected}; ended after {:?}",
            shutdown.unready,
            closed.len(),
            CLOSE_SPREAD / 8,
            shutdown.ended,
        );
        assert!(first >= SHUTDOWN_DELAY, "load balancers need time to notice the readiness");
        assert!(closed.len() < 40 || most_closed * 2 < closed.len(), "{most_closed} of {} at once", closed.len());
        let count = reconnected.len();
        assert!(count < 40 || most_reconnected * 2 < count, "{most_reconnected} of {count} at once");
    }
}
