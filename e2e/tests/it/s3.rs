//! A file store in an S3 bucket: clients receive the stored bytes, and the gateway, which has no credentials for the bucket,
//! reads by presigned URLs only.

use e2e::{ExportPause, Fleet, Plan, csv};
use protocol::{
    client::{Deliver, ExportCreate},
    delivery::{self, GrantReply, GrantRequest},
    export::{Export, Status},
    id::Owner,
    problem::Slug,
    server::ServerMessage,
    subject,
};
use reqwest::{Client as Http, Method, StatusCode, Url, header};
use testkit::{
    client::Client,
    eventually,
    fault::{Proxy, free_port},
    rest::Rest,
    s3::{Bucket, S3Server},
};

const MIB: u64 = 1024 * 1024;
const PREFIX: &str = "some/prefix";

/// A fleet whose file store is a bucket behind a proxy, which counts bytes and cuts connections.
struct Fixture {
    fleet: Fleet,
    bucket: Bucket,
    proxy: Proxy,
    /// The internal listener of the notifier.
    notifier: Rest,
}

impl Fixture {
    async fn start() -> Self {
        let bucket = S3Server::start().await.bucket().await;
        let proxy = Proxy::start(&bucket.address()).await;
        let mut store = bucket.config(PREFIX);
        store.s3_endpoint = proxy.url();
        let internal = format!("127.0.0.1:{}", free_port());
        let mut settings = ExportPause::settings();
        settings.push(("SLUICE_NOTIFIER__INTERNAL_LISTEN", internal.clone()));
        // The highest compression level: a compressed export runs far longer than a cancellation takes.
        settings.push(("SLUICE_EXPORTER__ZSTD_LEVEL", "19".to_owned()));
        let fleet = Fleet::start(Plan { settings, postgres: true, store: Some(store), ..Plan::default() }).await;
        Self { fleet, bucket, proxy, notifier: Rest::new(&format!("http://{internal}"), None) }
    }

    async fn objects(&self) -> Vec<String> {
        self.bucket.store("").list("").await.expect("the bucket can be listed")
    }
}

fn all_flights() -> ExportCreate {
    ExportCreate { dataset: "flights".into(), deliver: Deliver::Stream, window: Some(MIB), ..ExportCreate::default() }
}

/// Exports all flights and streams the file while the export runs.
async fn stream_flights(fleet: &Fleet, client: &mut Client) -> (Export, Vec<u8>) {
    let pause = ExportPause::begin(fleet).await;
    let export = client.create(all_flights()).await;
    let opened = client.opened(export.id, MIB).await;
    assert_eq!(opened.size, None, "the stream opens while the export runs");
    pause.end().await;
    let collected = client.collect(opened, true).await;
    let seal = collected.seal().clone();
    let done = client.ended(export.id).await;
    assert_eq!(done.status, Status::Completed, "{:?}\n{}", done.problem, fleet.logs());
    assert_eq!(done.file.as_ref().map(|file| &file.sha256), Some(&seal.sha256));
    (done, collected.bytes)
}

#[tokio::test]
async fn slow_a_file_in_a_bucket_is_complete_and_its_objects_are_deleted_with_it() {
    let fixture = Fixture::start().await;
    let (rest, mut client) = (fixture.fleet.rest(), fixture.fleet.client().await);
    let (done, whole) = stream_flights(&fixture.fleet, &mut client).await;
    assert_eq!(csv::parse(&whole).row_count, 3_000_000);

    let answer = rest.get(&done.links.file).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.body == whole, "REST and WebSocket differ");
    let size = whole.len();
    let range =
        rest.request(Method::GET, &done.links.file).header(header::RANGE, format!("bytes=9000000-{}", size - 2));
    let part = rest.send(range).await;
    assert_eq!(part.status, StatusCode::PARTIAL_CONTENT);
    assert!(part.body == whole[9_000_000..size - 1], "the range differs");

    let prefix = format!("{PREFIX}/exports/{}/{}/", done.id, done.attempt);
    let objects = fixture.objects().await;
    assert!(objects.len() > 10 && objects.iter().all(|path| path.starts_with(&prefix)), "{objects:?}");
    let folder = std::fs::read_dir(fixture.fleet.store.path()).expect("a folder");
    assert_eq!(folder.count(), 0, "the folder store stays empty");

    assert_eq!(rest.delete(&done.links.this).await.status, StatusCode::ACCEPTED);
    let expired = |m: &ServerMessage| matches!(m, ServerMessage::ExportExpired { .. }).then_some(());
    client.expect_text("export.expired", expired).await;
    assert_eq!(rest.get(&done.links.file).await.problem().slug(), Slug::Expired);
    assert_eq!(fixture.objects().await, [""; 0]);
}

#[tokio::test]
async fn a_canceled_export_leaves_no_object_in_the_bucket() {
    let fixture = Fixture::start().await;
    let mut client = fixture.fleet.client().await;
    let export = client.create(ExportCreate { compression: Some("zstd".into()), ..all_flights() }).await;
    let opened = client.opened(export.id, MIB).await;
    client.collect_until(opened, 1).await;
    assert!(!fixture.objects().await.is_empty());
    client.cancel(export.id).await;
    assert_eq!(client.ended(export.id).await.status, Status::Canceled);
    eventually("its objects are deleted", async || fixture.objects().await.is_empty().then_some(())).await;
}

#[tokio::test]
async fn slow_the_gateway_reads_by_presigned_urls_and_resumes_after_a_cut_connection() {
    let fixture = Fixture::start().await;
    let Fixture { fleet, proxy, .. } = &fixture;
    let mut client = fleet.client().await;
    let (done, whole) = stream_flights(fleet, &mut client).await;
    let size = whole.len() as u64;

    // The client's connection breaks: the client resumes at its offset.
    let opened = client.open(done.id, 0, MIB).await;
    let first = client.collect_until(opened, size / 3).await;
    let reached = first.next_offset();
    drop(client);
    let mut client = fleet.client().await;
    let opened = client.open(done.id, reached, MIB).await;
    let second = client.collect(opened, true).await;
    assert!([first.into_bytes(), second.bytes].concat() == whole, "the halves don't fit");

    // The store's connection breaks twice: the client sees no interruption.
    for cut in [size / 4, size / 2] {
        let (before, connections) = (proxy.bytes_passed(), proxy.connections());
        proxy.cut_after(cut);
        let opened = client.open(done.id, 0, MIB).await;
        assert_eq!(client.collect(opened, false).await.seal().size, size);
        assert!(proxy.connections() > connections, "no new connection was made after the cut");
        assert!(proxy.bytes_passed() - before > size - MIB, "the file did not come from the bucket");
    }

    assert_grant_is_bucket_url(&fixture, &done, &whole).await;
    // No byte of the file passed through the notifier.
    let metrics = fixture.notifier.get("/metrics").await.text();
    assert!(metrics.lines().any(|line| line == "sluice_notifier_gateway_requested_segment_bytes_total 0"), "{metrics}");
}

/// Requests a grant as a gateway does, and checks its URL.
async fn assert_grant_is_bucket_url(fixture: &Fixture, done: &Export, whole: &[u8]) {
    let offset = whole.len() as u64 / 2;
    let request =
        GrantRequest { export_id: done.id, owner: Owner::new("acme", "alice"), attempt: None, offset, max: 1 };
    let reply = fixture.fleet.nats.bus().await.request(subject::DELIVERY_GRANT, &request).await;
    let grant = match reply.expect("a notifier answers") {
        GrantReply::Granted { mut grants, .. } => grants.remove(0),
        other => panic!("{other:?}"),
    };
    let url: Url = grant.url.parse().expect("a URL");
    assert!(grant.url.starts_with(&fixture.proxy.url()), "{url}");
    let path = delivery::segment_path(done.id, done.attempt, grant.segment.index);
    assert!(url.path().ends_with(&format!("/{PREFIX}/{path}")), "{url}");
    let signed: Vec<_> = url.query_pairs().map(|(name, _)| name.into_owned()).collect();
    assert!(signed.contains(&"X-Amz-Signature".to_owned()) && signed.contains(&"X-Amz-Expires".to_owned()), "{url}");

    let http = Http::builder().no_proxy().build().expect("an HTTP client");
    let bytes = http.get(url.clone()).send().await.expect("an answer").bytes().await.expect("a segment");
    let range = grant.segment.offset as usize..grant.segment.end() as usize;
    assert!(range.contains(&(offset as usize)) && bytes == whole[range], "the segment differs");
    let written = http.put(url).body("overwritten").send().await.expect("an answer");
    assert_eq!(written.status(), StatusCode::FORBIDDEN, "a grant permits no write");
}
