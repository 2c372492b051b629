//! Grants for the owner of an export, and the bytes that the granted URLs return.

use entity::transition;
use futures::StreamExt;
use protocol::{
    delivery::{self, Announcement, Grant, GrantReply, GrantRequest, MetadataReply, MetadataRequest, SegmentWritten},
    envelope::OutcomeResult,
    export::Status,
    id::{ExportId, Owner},
    problem::Slug,
    subject,
};
use reqwest::{StatusCode, header};

use crate::harness::{Harness, alice, completed, grant_request, now};

fn expect_grants(reply: GrantReply) -> (u32, Status, Vec<Grant>, Option<delivery::Seal>) {
    match reply {
        GrantReply::Granted { attempt, status, grants, seal } => (attempt, status, grants, seal),
        other => panic!("{other:?}"),
    }
}

fn expect_refusal(reply: GrantReply) -> Slug {
    match reply {
        GrantReply::Refused { problem } => problem.slug(),
        other => panic!("{other:?}"),
    }
}

async fn fetch(grants: &[Grant]) -> Vec<u8> {
    let mut file = Vec::new();
    for grant in grants {
        file.extend(reqwest::get(&grant.url).await.unwrap().error_for_status().unwrap().bytes().await.unwrap());
    }
    file
}

#[tokio::test]
async fn only_the_owner_receives_grants() {
    let h = Harness::running().await;
    let (id, attempt) = h.running_export().await;
    h.write_segments(id, attempt, &[b"hello"]).await;
    for owner in [Owner::new("acme", "bob"), Owner::new("globex", alice().user)] {
        assert_eq!(
            expect_refusal(h.request_grants(GrantRequest { owner: owner.clone(), ..grant_request(id, 0) }).await),
            Slug::NotFound
        );
        let reply: MetadataReply =
            h.bus.request(subject::DELIVERY_METADATA, &MetadataRequest { export_id: id, owner }).await.unwrap();
        assert!(matches!(reply, MetadataReply::Refused { problem } if problem.slug() == Slug::NotFound));
    }
    assert_eq!(expect_refusal(h.request_grants(grant_request(ExportId::generate(), 0)).await), Slug::NotFound);
    assert_eq!(expect_grants(h.request_grants(grant_request(id, 0)).await).2.len(), 1);
    // the largest offset that the database can store
    assert!(expect_grants(h.request_grants(grant_request(id, i64::MAX as u64)).await).2.is_empty());
    for offset in [i64::MAX as u64 + 1, u64::MAX] {
        assert_eq!(expect_refusal(h.request_grants(grant_request(id, offset)).await), Slug::InvalidRequest);
    }
}

#[tokio::test]
async fn a_file_is_readable_while_it_grows_and_sealed_at_its_end() {
    let h = Harness::running().await;
    let waiting = h.submit().await;
    h.wait_for_status(waiting, Status::Dispatched).await;
    assert_eq!(expect_grants(h.request_grants(grant_request(waiting, 0)).await), (0, Status::Dispatched, vec![], None));

    let (id, attempt) = h.running_export().await;
    let segments = h.write_segments(id, attempt, &[b"hello ", b"big ", b"world"]).await;
    let (of, status, grants, seal) = expect_grants(h.request_grants(grant_request(id, 0)).await);
    assert_eq!((of, status, seal), (attempt, Status::Running, None));
    assert_eq!(fetch(&grants).await, b"hello big world");
    let middle = expect_grants(h.request_grants(GrantRequest { max: 1, ..grant_request(id, 8) }).await).2;
    assert_eq!(middle.iter().map(|grant| grant.segment.clone()).collect::<Vec<_>>(), segments[1..2]);
    assert!(expect_grants(h.request_grants(grant_request(id, 15)).await).2.is_empty());

    h.publish_outcome(id, "done", completed(attempt, &segments)).await;
    h.wait_for_status(id, Status::Completed).await;
    let (_, status, grants, seal) = expect_grants(h.request_grants(grant_request(id, 15)).await);
    assert_eq!((status, grants.len(), seal.unwrap().size), (Status::Completed, 0, 15));
    assert_eq!(fetch(&expect_grants(h.request_grants(grant_request(id, 6)).await).2).await, b"big world");

    assert!(transition::request_delete(&h.db, &alice(), id, now()).await.unwrap());
    h.publish_outcome(id, "delete", OutcomeResult::DeleteRequested).await;
    h.wait_for_status(id, Status::Expired).await;
    assert_eq!(expect_refusal(h.request_grants(grant_request(id, 0)).await), Slug::Expired);
    let gone = reqwest::get(&grants.first().map_or_else(|| middle[0].url.clone(), |grant| grant.url.clone())).await;
    assert_eq!(gone.unwrap().status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn ranges_return_the_exact_bytes() {
    let h = Harness::running().await;
    let (id, attempt) = h.running_export().await;
    // larger than one chunk of the store
    let bytes: Vec<u8> = (0..600_000_u32).flat_map(u32::to_le_bytes).collect();
    let size = bytes.len();
    let segments = h.write_segments(id, attempt, &[&bytes]).await;
    let url = expect_grants(h.request_grants(grant_request(id, 0)).await).2.remove(0).url;
    let client = reqwest::Client::new();
    let tag = format!("\"{}\"", segments[0].sha256);

    for (range, part) in [
        ("bytes=0-0".to_owned(), 0..1),
        ("bytes=262143-262144".to_owned(), 262_143..262_145),
        ("bytes=7-1000000".to_owned(), 7..1_000_001),
        ("bytes=2399990-".to_owned(), 2_399_990..size),
        ("bytes=-5".to_owned(), size - 5..size),
        (format!("bytes=1-{}", u64::MAX), 1..size),
    ] {
        let answer = client.get(&url).header(header::RANGE, &range).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::PARTIAL_CONTENT, "{range}");
        let described = format!("bytes {}-{}/{size}", part.start, part.end - 1);
        assert_eq!(answer.headers()[header::CONTENT_RANGE], described.as_str());
        assert_eq!(answer.content_length(), Some(part.len() as u64));
        assert_eq!(answer.headers()[header::ETAG], tag.as_str());
        assert!(answer.bytes().await.unwrap() == bytes[part], "{range}");
    }
    let whole = client.get(&url).send().await.unwrap();
    assert_eq!((whole.status(), whole.content_length()), (StatusCode::OK, Some(size as u64)));
    assert_eq!(whole.headers()[header::ACCEPT_RANGES], "bytes");
    assert!(whole.bytes().await.unwrap() == bytes);

    let beyond = client.get(&url).header(header::RANGE, format!("bytes={size}-")).send().await.unwrap();
    assert_eq!(beyond.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(beyond.headers()[header::CONTENT_RANGE], format!("bytes */{size}").as_str());

    let head = client.head(&url).header(header::RANGE, "bytes=0-0").send().await.unwrap();
    assert_eq!((head.status(), head.headers()[header::CONTENT_LENGTH].to_str().unwrap()), (StatusCode::OK, "2400000"));

    let stale = client.get(&url).header(header::RANGE, "bytes=0-0").header(header::IF_RANGE, "\"other\"");
    assert_eq!(stale.send().await.unwrap().status(), StatusCode::OK);
    let fresh = client.get(&url).header(header::RANGE, "bytes=0-0").header(header::IF_RANGE, &tag);
    assert_eq!(fresh.send().await.unwrap().status(), StatusCode::PARTIAL_CONTENT);
}

#[tokio::test]
async fn expired_and_forged_grants_are_refused() {
    let h = Harness::running().await;
    let (id, attempt) = h.running_export().await;
    h.write_segments(id, attempt, &[b"hello"]).await;
    let grant = expect_grants(h.request_grants(grant_request(id, 0)).await).2.remove(0);
    let other = h.start().await;
    let (base, token) = grant.url.split_once("/v1/segments/").unwrap();
    assert_ne!(base, other.url);
    h.advance_clock(59);
    assert_eq!(reqwest::get(&grant.url).await.unwrap().status(), StatusCode::OK);
    for forged in [
        format!("{base}/v1/segments/{}x", token),
        format!("{base}/v1/segments/x"),
        format!("{}/v1/segments/{token}", other.url),
    ] {
        assert_eq!(reqwest::get(&forged).await.unwrap().status(), StatusCode::FORBIDDEN, "{forged}");
    }
    h.advance_clock(1);
    let expired = reqwest::get(&grant.url).await.unwrap();
    assert_eq!(expired.status(), StatusCode::FORBIDDEN);
    assert_eq!(expired.headers()[header::CONTENT_TYPE], "application/problem+json");
    assert_eq!(expired.json::<protocol::problem::Problem>().await.unwrap().slug(), Slug::Forbidden);
}

#[tokio::test]
async fn an_object_without_its_recorded_size_is_not_served() {
    let metrics = platform::telemetry::init_metrics().unwrap();
    let h = Harness::running().await;
    let (id, attempt) = h.running_export().await;
    h.write_segments(id, attempt, &[b"hello"]).await;
    let url = expect_grants(h.request_grants(grant_request(id, 0)).await).2.remove(0).url;
    let path = delivery::segment_path(id, attempt, 0);
    h.store.put(&path, &b"hell"[..]).await.unwrap();
    assert_eq!(reqwest::get(&url).await.unwrap().status(), StatusCode::INTERNAL_SERVER_ERROR);
    let is_counted = |failures: u32| {
        let wanted = format!("sluice_notifier_segment_read_failures_total {failures}");
        metrics.render().lines().any(|line| line == wanted)
    };
    assert!(is_counted(1), "an object of a wrong size: {}", metrics.render());

    let file = h.folder.path().join(path);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(reqwest::get(&url).await.unwrap().status(), StatusCode::NOT_FOUND);
    assert!(is_counted(1), "a deleted object is no failure: {}", metrics.render());
    // opening a link to itself fails
    std::os::unix::fs::symlink(&file, &file).unwrap();
    assert_eq!(reqwest::get(&url).await.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(is_counted(2), "an object that can't be opened: {}", metrics.render());
}

#[tokio::test]
async fn a_truncated_object_resets_the_connection_of_its_reader() {
    let h = Harness::running().await;
    let (id, attempt) = h.running_export().await;
    // larger than all socket buffers
    let bytes = vec![7_u8; 64 * 1024 * 1024];
    h.write_segments(id, attempt, &[&bytes]).await;
    let url = expect_grants(h.request_grants(grant_request(id, 0)).await).2.remove(0).url;
    let mut answer = reqwest::get(&url).await.unwrap();
    answer.chunk().await.unwrap().unwrap();
    let path = h.folder.path().join(delivery::segment_path(id, attempt, 0));
    std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(1024).unwrap();
    let ended = loop {
        match answer.chunk().await {
            Ok(Some(_)) => {}
            other => break other,
        }
    };
    assert!(ended.is_err(), "a truncated file ended cleanly");
}

#[tokio::test]
async fn a_new_attempt_continues_a_stream_only_with_the_same_bytes() {
    let h = Harness::running().await;
    let (id, first) = h.running_export().await;
    h.write_segments(id, first, &[b"same ", b"bytes"]).await;
    let ask = |attempt, offset| h.request_grants(GrantRequest { attempt: Some(attempt), ..grant_request(id, offset) });

    let second = h.claim(id).await;
    assert_eq!(expect_grants(ask(first, 10).await), (first, Status::Running, vec![], None));
    let again = h.write_segments(id, second, &[b"same ", b"bytes", b" and more"]).await;
    let (attempt, _, grants, _) = expect_grants(ask(first, 10).await);
    assert_eq!((attempt, fetch(&grants).await), (second, b" and more".to_vec()));

    let third = h.claim(id).await;
    h.write_segments(id, third, &[b"other"]).await;
    assert_eq!(ask(second, 10).await, GrantReply::Restarted);
    // a stream at offset 0 can always continue
    assert_eq!(expect_grants(ask(second, 0).await).0, third);
    assert_eq!(again.len(), 3);
}

#[tokio::test]
async fn each_segment_is_announced_with_a_grant() {
    let h = Harness::running().await;
    let (id, attempt) = h.running_export().await;
    let mut announcements = h.bus.subscribe(subject::delivery_announce(id)).await.unwrap();
    h.bus.flush().await.unwrap();
    let segment = h.write_segments(id, attempt, &[b"hello"]).await.remove(0);
    let written = SegmentWritten { export_id: id, attempt, segment };
    h.bus.publish_lossy(subject::delivery_written(id), "", &written).await.unwrap();
    let announced: Announcement = serde_json::from_slice(&announcements.next().await.unwrap().payload).unwrap();
    let Announcement::Segment { attempt: of, grant } = announced else { panic!() };
    assert_eq!((of, fetch(&[grant]).await), (attempt, b"hello".to_vec()));
}

#[tokio::test]
async fn the_metadata_document_is_available_with_the_file() {
    let h = Harness::running().await;
    let (id, attempt) = h.running_export().await;
    let ask = || async {
        let request = MetadataRequest { export_id: id, owner: alice() };
        h.bus.request::<_, MetadataReply>(subject::DELIVERY_METADATA, &request).await.unwrap()
    };
    assert!(matches!(ask().await, MetadataReply::Refused { problem } if problem.slug() == Slug::NotReady));
    h.store.put(&delivery::metadata_path(id, attempt), &br#"{"url":"flights.csv"}"#[..]).await.unwrap();
    let segments = h.write_segments(id, attempt, &[b"hello"]).await;
    h.publish_outcome(id, "done", completed(attempt, &segments)).await;
    h.wait_for_status(id, Status::Completed).await;
    assert_eq!(ask().await, MetadataReply::Document { document: serde_json::json!({"url": "flights.csv"}) });
}

#[tokio::test]
async fn readiness_lists_each_dependency() {
    let mut h = Harness::new().await;
    let app = h.start().await;
    assert_eq!(reqwest::get(format!("{}/healthz", app.url)).await.unwrap().status(), StatusCode::OK);
    // each dependency has two seconds to answer
    let ready = testkit::eventually("the notifier is ready", || async {
        let answer = reqwest::get(format!("{}/readyz", app.url)).await.unwrap();
        Some(answer).filter(|answer| answer.status() == StatusCode::OK)
    })
    .await;
    let ready: serde_json::Value = ready.json().await.unwrap();
    let names: Vec<_> = ready["dependencies"].as_array().unwrap().iter().map(|d| d["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["database", "nats", "jetstream", "file_store", "clock"]);
    h.nats.stop().await;
    testkit::eventually("readiness reports the outage", || async {
        let answer = reqwest::get(format!("{}/readyz", app.url)).await.unwrap();
        (answer.status() == StatusCode::SERVICE_UNAVAILABLE).then_some(())
    })
    .await;
}

#[tokio::test]
async fn nats_lists_the_endpoints_of_the_service() {
    let h = Harness::running().await;
    let about = h.bus.client().request("$SRV.STATS.sluice-notifier", "".into()).await.unwrap();
    let about: serde_json::Value = serde_json::from_slice(&about.payload).unwrap();
    let mut names: Vec<_> =
        about["endpoints"].as_array().unwrap().iter().map(|e| e["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    let expected = [
        "cancel",
        "dead",
        "export",
        "exporters",
        "exports",
        "grant",
        "metadata",
        "overview",
        "pause",
        "pauses",
        "requeue",
        "resume",
        "run",
        "schedule",
        "story",
    ];
    assert_eq!(names, expected);
}
