//! File streams over the WebSocket: during an export, within the client's window, from any offset, and through failures.

use std::time::Duration;

use e2e::{ExportPause, Fleet, Plan, csv};
use protocol::{
    client::{ClientMessage, Deliver, ExportCancel, ExportCreate},
    export::{Export, Status},
    id::ExportId,
    problem::Slug,
    server::ServerMessage,
};
use testkit::client::{Client, Collector};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

fn all_flights(window: u64) -> ExportCreate {
    ExportCreate {
        dataset: "flights".into(),
        deliver: Deliver::Stream,
        window: Some(window),
        ..ExportCreate::default()
    }
}

/// Exports all flights and waits for the end. Returns the session and the export.
async fn completed_export(fleet: &Fleet) -> (Client, Export) {
    let mut client = fleet.client().await;
    let create = ExportCreate { dataset: "flights".into(), ..ExportCreate::default() };
    let id = client.create(create).await.id;
    let done = client.ended(id).await;
    assert_eq!(done.status, Status::Completed, "{:?}\n{}", done.problem, fleet.logs());
    (client, done)
}

#[tokio::test]
async fn a_file_streams_through_a_small_window_and_a_pause_with_flat_memory() {
    let plan = Plan { postgres: true, settings: ExportPause::settings(), ..Plan::default() };
    let fleet = Fleet::start(plan).await;
    let pause = ExportPause::begin(&fleet).await;
    let mut client = fleet.client().await;
    let export = client.create(all_flights(256 * KIB)).await;
    let opened = client.opened(export.id, 256 * KIB).await;
    assert_eq!(opened.size, None, "the stream opens while the export runs");
    pause.end().await;

    let mut collector = Collector::new(opened, true);
    let mut before = None;
    let mut paused = false;
    let end = loop {
        if collector.next_offset() > 8 * MIB && before.is_none() {
            before = Some((fleet.gateways[0].memory().current, fleet.notifiers[0].memory().current));
        }
        if collector.next_offset() > 40 * MIB && !paused {
            paused = true;
            // No window is granted: no byte may arrive, although the export completes.
            while collector.window() > 0 {
                assert!(client.read_frame(&mut collector).await.is_none());
            }
            let done = client.ended(export.id).await;
            assert_eq!(done.status, Status::Completed);
            tokio::time::timeout(Duration::from_secs(3), client.read_frame(&mut collector))
                .await
                .expect_err("a closed window");
        }
        if collector.window() <= 128 * KIB {
            collector.enlarge_window(128 * KIB);
            client.grant(opened.stream, 128 * KIB).await;
        }
        if let Some(end) = client.read_frame(&mut collector).await {
            break end;
        }
    };
    let after = (fleet.gateways[0].memory().peak, fleet.notifiers[0].memory().peak);
    let before = before.expect("the file is larger than 8 MiB");
    let collected = collector.finish(end);
    assert_eq!(collected.seal().rows, 3_000_000);
    assert_eq!(csv::parse(&collected.bytes).row_count, 3_000_000);
    let limit = 24 * MIB;
    assert!(
        after.0 < before.0 + limit,
        "the gateway grew from {} to {} for {} bytes",
        before.0,
        after.0,
        collected.received
    );
    assert!(after.1 < before.1 + limit, "the notifier grew from {} to {}", before.1, after.1);
}

#[tokio::test]
async fn a_second_session_that_joins_a_running_export_receives_the_whole_file() {
    let plan = Plan { postgres: true, settings: ExportPause::settings(), ..Plan::default() };
    let fleet = Fleet::start(plan).await;
    let pause = ExportPause::begin(&fleet).await;
    let (mut first, mut second, mut third) = (fleet.client().await, fleet.client().await, fleet.client().await);
    let export = first.create(all_flights(MIB)).await;
    first.opened(export.id, MIB).await;
    assert_eq!(second.create(all_flights(4 * MIB)).await.id, export.id);
    let opened = second.opened(export.id, 4 * MIB).await;
    let beyond = third.open(export.id, 1 << 40, 0).await;
    pause.end().await;
    let collected = second.collect(opened, false).await;
    assert_eq!(collected.seal().rows, 3_000_000);
    let done = second.ended(export.id).await;
    assert_eq!(done.file.map(|file| file.sha256), Some(collected.sha256));
    // an offset after the end of the file was unknown as such while the export ran
    let end = third.read_frame(&mut Collector::new(beyond, false)).await.expect("the end of the stream");
    let problem = end.expect_err("no seal").expect("a problem");
    assert_eq!((problem.slug(), problem.errors[0].pointer.as_str()), (Slug::InvalidRequest, "/offset"));
}

#[tokio::test]
async fn a_cut_download_resumes_at_its_offset() {
    let fleet = Fleet::small().await;
    let (mut client, done) = completed_export(&fleet).await;
    let size = done.file.expect("a file").size;
    let opened = client.open(done.id, 0, MIB).await;
    assert_eq!(opened.size, Some(size));
    let first = client.collect_until(opened, size / 3).await;
    let reached = first.next_offset();
    drop(client);

    let mut client = fleet.client().await;
    let opened = client.open(done.id, reached, MIB).await;
    assert_eq!(opened.offset, reached);
    let second = client.collect(opened, true).await;
    let mut whole = first.into_bytes();
    whole.extend_from_slice(&second.bytes);
    assert_eq!(testkit::sha256(&whole), second.seal().sha256);

    // A stream may open at the end of the file, but not after it.
    let opened = client.open(done.id, size, 0).await;
    assert_eq!(client.collect(opened, true).await.received, 0);
    let beyond = protocol::client::FileOpen { export_id: done.id, offset: size + 1, window: None, attempt: None };
    client.send(&ClientMessage::FileOpen(beyond), Some("beyond")).await;
    assert_eq!(client.expect_error(Some("beyond")).await.errors[0].pointer, "/offset");
}

#[tokio::test]
async fn slow_a_stream_without_a_window_does_not_block_other_streams_of_its_session() {
    let fleet = Fleet::small().await;
    let (mut client, done) = completed_export(&fleet).await;
    let waiting = client.open(done.id, 0, 0).await;
    let one = client.open(done.id, 0, MIB).await;
    let two = client.open(done.id, 5, MIB).await;
    assert_ne!(one.stream, two.stream);
    let one = client.collect(one, false).await;
    let two = client.collect(two, false).await;
    assert_eq!(one.seal(), two.seal());
    assert_eq!(one.received, two.received + 5);
    client.grant(waiting.stream, 10).await;
    let mut late = Collector::new(testkit::client::Opened { window: 10, ..waiting }, true);
    while late.window() > 0 {
        assert!(client.read_frame(&mut late).await.is_none());
    }
    client.close_stream(waiting.stream).await;
    let closed = |m: &ServerMessage| matches!(m, ServerMessage::FileClosed { problem: None, .. }).then_some(());
    client.expect_text("file.closed", closed).await;
}

#[tokio::test]
async fn a_download_continues_after_a_notifier_dies() {
    let mut fleet = Fleet::small().await;
    let (mut client, done) = completed_export(&fleet).await;
    let size = done.file.as_ref().expect("a file").size;
    let opened = client.open(done.id, 0, MIB).await;
    let mut collector = client.collect_until(opened, size / 4).await;
    fleet.notifiers[0].kill();
    fleet.add_notifier();
    let end = loop {
        if collector.window() <= MIB / 2 {
            collector.enlarge_window(MIB);
            client.grant(opened.stream, MIB).await;
        }
        if let Some(end) = client.read_frame(&mut collector).await {
            break end;
        }
    };
    assert_eq!(collector.finish(end).seal().size, size);

    let rest = fleet.rest();
    let whole = rest.get(&done.links.file).await;
    assert_eq!(testkit::sha256(&whole.body), done.file.expect("a file").sha256);
}

#[tokio::test]
async fn slow_a_download_with_a_lost_object_breaks_instead_of_ending_early() {
    let settings = vec![("SLUICE_GATEWAY__DELIVERY__READ_RETRY_TIMEOUT", "500ms".to_owned())];
    let fleet = Fleet::start(Plan { settings, ..Plan::default() }).await;
    let (mut client, done) = completed_export(&fleet).await;
    let segment = fleet.store.path().join(protocol::delivery::segment_path(done.id, done.attempt, 3));
    std::fs::remove_file(segment).expect("the export has more than three segments");
    let request = fleet.rest().request(reqwest::Method::GET, &done.links.file);
    let response = request.send().await.expect("the headers arrive");
    response.bytes().await.expect_err("the body must break");
    let opened = client.open(done.id, 0, MIB).await;
    let closed = client.collect(opened, false).await;
    assert_eq!(closed.end.expect_err("no seal").expect("a problem").slug(), Slug::Unavailable);
}

#[tokio::test]
async fn a_canceled_or_unknown_export_has_no_stream() {
    // The highest compression level: the export runs far longer than a cancellation takes.
    let settings = vec![("SLUICE_EXPORTER__ZSTD_LEVEL", "19".to_owned())];
    let fleet = Fleet::start(Plan { settings, ..Plan::default() }).await;
    let mut client = fleet.client().await;
    let export = client.create(ExportCreate { compression: Some("zstd".into()), ..all_flights(0) }).await;
    let opened = client.opened(export.id, 0).await;
    client.send(&ClientMessage::ExportCancel(ExportCancel { export_id: export.id }), None).await;
    // The stream ends although its window is empty.
    let end = client.read_frame(&mut Collector::new(opened, false)).await.expect("the end of the stream");
    let problem = end.expect_err("no seal").expect("a problem");
    assert_eq!(problem.slug(), Slug::Canceled);
    assert!(problem.trace_id.is_some() && problem.instance.is_some());
    assert_eq!(client.ended(export.id).await.status, Status::Canceled);
    for (id, slug) in [(export.id, Slug::Canceled), (ExportId::generate(), Slug::NotFound)] {
        let open = protocol::client::FileOpen { export_id: id, offset: 0, window: None, attempt: None };
        client.send(&ClientMessage::FileOpen(open), Some("o")).await;
        assert_eq!(client.expect_error(Some("o")).await.slug(), slug);
    }
}
