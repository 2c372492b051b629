//! Gateways are replaced one after the other under load, and nobody notices: sessions go to the other one and read on,
//! downloads finish, and no call fails.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use aws_lc_rs::digest;
use e2e::{Balancer, Fleet, Plan};
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

const SESSIONS: usize = 200;
const PEOPLE: usize = 20;
/// So small that a download takes far longer than both restarts.
const WINDOW: u64 = 32 * 1024;
/// What a client takes to make use of half a window, until both restarts are over.
const PACE: Duration = Duration::from_millis(1_000);

// So long that a machine that stands still for two seconds, and sees at once what came in these, changes nothing of what is
// told by clocks here.
const LOOK_AWAY: Duration = Duration::from_millis(5_000);
const SPREAD: Duration = Duration::from_millis(8_000);

/// What a person would see of a download.
#[derive(Default)]
struct Tale {
    sha256: String,
    /// When it was sent away, with which code.
    closes: Vec<(Instant, Option<u16>)>,
    /// When it was back.
    returns: Vec<Instant>,
    /// Whatever a client that keeps to the contract would show as an error.
    errors: Vec<String>,
}

/// A download over sessions, as the contract says: full jitter before each new try, `session.resume`, and `file.open` at
/// the offset that was reached.
struct Download {
    url: String,
    token: String,
    export: Export,
    offset: u64,
    digest: digest::Context,
    /// Epoch and number of the last event.
    place: Option<(String, u64)>,
    /// Both restarts are over.
    hurry: Arc<AtomicBool>,
    tale: Tale,
}

enum Stop {
    Whole,
    SentAway,
}

impl Download {
    async fn run(mut self) -> Tale {
        let mut failures = 0;
        loop {
            let client = Client::attempt(&self.url, Credential::Bearer(&self.token), None).await;
            match client {
                Ok(Ok(client)) => {
                    failures = 0;
                    if let Stop::Whole = self.session(client).await {
                        break;
                    }
                }
                // told to try again later, or cut off: the one is as good as the other
                Ok(Err(refusal)) if refusal.status == StatusCode::SERVICE_UNAVAILABLE => {}
                Ok(Err(refusal)) => self.tale.errors.push(format!("refused: {}", refusal.status)),
                Err(_) => {}
            }
            failures += 1;
            assert!(failures < 8, "nobody lets this client in");
            let ceiling =
                Duration::from_millis(500).mul_f64(f64::from(1 << (failures - 1))).min(Duration::from_secs(30));
            tokio::time::sleep(ceiling.mul_f64(rand::random())).await;
        }
        self.tale.sha256 = hex::encode(self.digest.finish());
        self.tale
    }

    async fn session(&mut self, mut client: Client) -> Stop {
        let ServerMessage::SessionReady { epoch, seq, .. } = client.ready.clone() else { unreachable!("it is one") };
        if let Some((epoch, seq)) = self.place.replace((epoch, seq)) {
            self.tale.returns.push(Instant::now());
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
                    assert!(self.offset <= granted, "more than was granted");
                    self.digest.update(&frame.payload);
                    if granted - self.offset <= WINDOW / 2 {
                        if !self.hurry.load(Ordering::SeqCst) {
                            tokio::time::sleep(PACE).await;
                        }
                        let bytes = self.offset + WINDOW - granted;
                        granted += bytes;
                        client
                            .try_send(&ClientMessage::FileWindow(FileWindow { stream: frame.stream, bytes }), None)
                            .await;
                    }
                }
                Received::Text(ServerMessage::FileSealed { size, .. }) => {
                    assert_eq!(size, self.offset, "sealed at another size than what came");
                    return Stop::Whole;
                }
                Received::Text(ServerMessage::SessionResumed { recovered: false, .. }) => {
                    self.tale.errors.push("events were lost".to_owned());
                }
                Received::Text(ServerMessage::FileClosed { problem, .. }) => {
                    self.tale.errors.push(format!("file.closed: {problem:?}"));
                    return Stop::SentAway;
                }
                Received::Text(ServerMessage::Error { problem, .. }) => {
                    self.tale.errors.push(format!("error: {problem}"));
                    return Stop::SentAway;
                }
                Received::Text(_) => {}
                Received::Closed(code) => {
                    self.tale.closes.push((Instant::now(), code));
                    return Stop::SentAway;
                }
            }
        }
    }
}

/// What was seen of one gateway's end.
#[derive(Debug)]
struct End {
    told: Instant,
    /// When `/readyz` first said 503.
    unready: Duration,
    /// When the process was gone.
    gone: Duration,
}

/// Stops a gateway, watches it leave, and starts it again.
async fn replace(fleet: &mut Fleet, index: usize) -> End {
    let url = fleet.urls[index].clone();
    // a new connection each time: whoever looks away must be able to look
    let http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().expect("an HTTP client");
    let told = Instant::now();
    fleet.gateways[index].terminate();
    let unready = testkit::eventually("/readyz says 503", async || {
        let answer = http.get(format!("{url}/readyz")).send().await.expect("it still takes connections");
        (answer.status() == StatusCode::SERVICE_UNAVAILABLE).then(|| told.elapsed())
    })
    .await;
    assert!(unready < LOOK_AWAY, "{unready:?}");
    let status = fleet.gateways[index].ended().await;
    assert!(status.success(), "{status}: {}", fleet.gateways[index].stderr());
    let gone = told.elapsed();
    fleet.start_gateway_again(index).await;
    End { told, unready, gone }
}

/// Reads a file over HTTP so slowly that the gateway is told to stop in the middle. Gives its digest.
async fn slowly(rest: Rest, path: String, began: Arc<AtomicBool>) -> String {
    let mut answer = rest.request(Method::GET, &path).send().await.expect("the gateway answers");
    assert_eq!(answer.status(), StatusCode::OK);
    let mut digest = digest::Context::new(&digest::SHA256);
    let mut since_pause = 0;
    while let Some(chunk) = answer.chunk().await.expect("the download goes on to its end") {
        digest.update(&chunk);
        began.store(true, Ordering::SeqCst);
        since_pause += chunk.len();
        if since_pause >= 1 << 20 {
            since_pause = 0;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    hex::encode(digest.finish())
}

/// Calls that a page makes all the time, each over a connection of its own.
async fn calls(url: String, token: String, stop: Arc<AtomicBool>) -> usize {
    let http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().expect("an HTTP client");
    let mut done = 0;
    while !stop.load(Ordering::SeqCst) {
        let answer = http.get(format!("{url}/v1/credits")).bearer_auth(&token).send().await;
        let status = answer.unwrap_or_else(|e| panic!("call {done}: {e:?}")).status();
        assert_eq!(status, StatusCode::OK, "call {done}");
        done += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    done
}

async fn made(rest: &Rest, request: serde_json::Value) -> Export {
    let request: ExportRequest = serde_json::from_value(request).expect("a request");
    let id: ExportId = rest.create(&request).await.id;
    let export = rest.ended(id).await;
    assert_eq!(export.status, Status::Completed);
    export
}

/// The most of these moments within an eighth of the spread, and how far apart the first and the last are.
fn crowd(moments: &mut [Instant]) -> (usize, Duration) {
    moments.sort();
    let within = |first: &Instant| moments.iter().filter(|at| **at >= *first && **at - *first < SPREAD / 8).count();
    let most = moments.iter().map(within).max().unwrap_or_default();
    (most, moments.last().zip(moments.first()).map(|(last, first)| *last - *first).unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gateways_are_replaced_under_200_sessions_and_nobody_notices() {
    let millis = |duration: Duration| format!("{}ms", duration.as_millis());
    let mut fleet = Fleet::start(Plan {
        gateways: 2,
        notifiers: 2,
        settings: vec![
            ("SLUICE_GATEWAY__READINESS_DELAY", millis(LOOK_AWAY)),
            ("SLUICE_GATEWAY__SESSION_CLOSE_SPREAD", millis(SPREAD)),
            ("SLUICE_GATEWAY__DRAIN_TIMEOUT", "15s".to_owned()),
            ("SLUICE_GATEWAY__WS__MAX_SESSIONS_PER_USER", "100".to_owned()),
        ],
        ..Plan::default()
    })
    .await;
    let balancer = Balancer::start(&fleet.urls).await;
    let url = balancer.url().to_owned();

    let mut exports = Vec::new();
    for person in 0..PEOPLE {
        let token = fleet.token(&format!("person-{person}"), "acme");
        let rest = Rest::new(fleet.url(), Some(&token));
        let request = json!({"dataset": "flights", "filter": {"origin": {"eq": "SEA"}}});
        exports.push((token, made(&rest, request).await));
    }
    let rest = fleet.rest();
    let large = made(&rest, json!({"dataset": "flights", "filter": {"origin": {"in": ["ATL", "ORD", "DFW"]}}})).await;
    let large_sha256 = large.file.as_ref().expect("a file").sha256.clone();

    let begun = Instant::now();
    let hurry = Arc::new(AtomicBool::new(false));
    let mut downloads = JoinSet::new();
    for session in 0..SESSIONS {
        let (token, export) = exports[session % PEOPLE].clone();
        let digest = digest::Context::new(&digest::SHA256);
        let (url, hurry, tale) = (url.clone(), Arc::clone(&hurry), Tale::default());
        downloads.spawn(async move {
            let expected = export.file.as_ref().expect("a file").sha256.clone();
            (expected, Download { url, token, export, offset: 0, digest, place: None, hurry, tale }.run().await)
        });
    }
    let stop = Arc::new(AtomicBool::new(false));
    let calling = tokio::spawn(calls(url.clone(), fleet.token("alice", "acme"), Arc::clone(&stop)));

    let mut ends = Vec::new();
    for index in 0..2 {
        let began = Arc::new(AtomicBool::new(false));
        let direct = Rest::new(&fleet.urls[index], Some(&fleet.token("alice", "acme")));
        let slow = tokio::spawn(slowly(direct, large.links.file.clone(), Arc::clone(&began)));
        testkit::eventually("the download runs", async || began.load(Ordering::SeqCst).then_some(())).await;
        ends.push(replace(&mut fleet, index).await);
        assert_eq!(slow.await.expect("it ends"), large_sha256, "a download that was under way is whole");
    }
    // whoever serves the bytes is replaced too
    for _ in 0..2 {
        let mut old = fleet.notifiers.remove(0);
        fleet.add_notifier();
        old.terminate();
        let status = old.ended().await;
        assert!(status.success(), "{status}: {}", old.stderr());
    }
    let replaced = begun.elapsed();
    hurry.store(true, Ordering::SeqCst);

    let (mut closes, mut returns) = (Vec::new(), Vec::new());
    while let Some(done) = downloads.join_next().await {
        let (expected, tale) = done.expect("a client met no surprise");
        assert_eq!(tale.errors, [""; 0], "{}", fleet.logs());
        assert_eq!(tale.sha256, expected, "each has its whole file");
        closes.extend(tale.closes);
        returns.extend(tale.returns);
    }
    stop.store(true, Ordering::SeqCst);
    let calls = calling.await.expect("no call failed");

    assert!(closes.iter().all(|(_, code)| *code == Some(1001)), "{:?}", closes.iter().map(|c| c.1).collect::<Vec<_>>());
    assert!(closes.len() >= SESSIONS, "{} of {SESSIONS} sessions were in the way", closes.len());
    println!("replaced within {replaced:?}, all whole within {:?}; {calls} calls", begun.elapsed());
    for (index, end) in ends.iter().enumerate() {
        let next = ends.get(index + 1).map(|end| end.told);
        let of = |at: &Instant| *at >= end.told && next.is_none_or(|next| *at < next);
        let mut sent: Vec<_> = closes.iter().map(|(at, _)| *at).filter(of).collect();
        let mut back: Vec<_> = returns.iter().copied().filter(of).collect();
        let first = *sent.iter().min().expect("some were sent away") - end.told;
        let (crowd_sent, over) = crowd(&mut sent);
        let (crowd_back, over_back) = crowd(&mut back);
        println!(
            "gateway {index}: 503 after {:?}, {} sessions sent away from {first:?} on within {over:?}, at most {crowd_sent} \
             in {:?}; back within {over_back:?}, at most {crowd_back}; gone after {:?}",
            end.unready,
            sent.len(),
            SPREAD / 8,
            end.gone,
        );
        assert!(first >= LOOK_AWAY, "balancers had time to look away");
        assert!(over <= SPREAD * 2, "{over:?}");
        assert!(sent.len() < 40 || crowd_sent * 2 < sent.len(), "{crowd_sent} of {} at once", sent.len());
        assert!(back.len() < 40 || crowd_back * 2 < back.len(), "{crowd_back} of {} at once", back.len());
        assert!(end.gone < Duration::from_secs(60), "{:?}", end.gone);
    }
    assert!(begun.elapsed() < Duration::from_secs(180), "{:?}", begun.elapsed());
}
