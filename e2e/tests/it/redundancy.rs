//! Two processes of each service on one NATS server and one PostgreSQL: exports survive the loss of any process.

use e2e::{ExportPause, Fleet, Plan};
use entity::{entry, export};
use protocol::{
    client::{Deliver, ExportCreate},
    credits::CreditsView,
    export::Status,
    problem::Slug,
    server::ServerMessage,
};
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter};
use testkit::{eventually, rest::Rest};

const MIB: u64 = 1024 * 1024;

async fn redundant_fleet() -> Fleet {
    Fleet::start(Plan { gateways: 2, exporters: 2, notifiers: 2, postgres: true, ..Plan::default() }).await
}

#[tokio::test]
async fn slow_any_gateway_delivers_the_file_of_any_exporter() {
    let fleet = redundant_fleet().await;
    let mut clients = [fleet.client_at(&fleet.urls[0]).await, fleet.client_at(&fleet.urls[1]).await];
    let create =
        |deliver| ExportCreate { dataset: "flights".into(), deliver, window: Some(MIB), ..ExportCreate::default() };
    let one = clients[0].create(create(Deliver::Stream)).await;
    let two = clients[1].create(create(Deliver::Stream)).await;
    let mut digests = vec![];
    for (client, export) in clients.iter_mut().zip([&one, &two]) {
        let opened = client.opened(export.id, MIB).await;
        digests.push(client.collect(opened, false).await.seal().sha256.clone());
    }
    // Each session receives the events of both exports, and each gateway serves both files.
    for (client, other) in clients.iter_mut().zip([two.id, one.id]) {
        assert_eq!(client.ended(other).await.status, Status::Completed);
    }
    let token = fleet.token("alice", "acme");
    for (url, (id, digest)) in fleet.urls.iter().zip([(two.id, &digests[1]), (one.id, &digests[0])]) {
        let answer = Rest::new(url, Some(&token)).get(&format!("/v1/exports/{id}/file")).await;
        assert_eq!(&testkit::sha256(&answer.body), digest);
    }
    let rows: Vec<_> = export::Entity::find().all(&fleet.database.db).await.expect("rows");
    assert!(rows.iter().all(|row| row.status == "completed" && row.attempt == 1));
}

#[tokio::test]
async fn slow_another_exporter_finishes_the_export_of_a_killed_one_and_the_credit_is_captured_once() {
    let mut fleet = redundant_fleet().await;
    let pause = ExportPause::begin(&fleet).await;
    let mut client = fleet.client().await;
    let create = ExportCreate { dataset: "flights".into(), ..ExportCreate::default() };
    let export = client.create(create).await;
    // The row is polled, because the last progress report before the pause may be throttled.
    let row = eventually("the export has stored rows", async || {
        let row = export::find(&fleet.database.db, export.id).await.expect("a database").expect("a row");
        (row.rows > 0).then_some(row)
    })
    .await;
    let worker = row.worker.expect("a running export has a worker");
    kill_worker(&mut fleet, &worker);
    pause.end().await;

    let done = client.ended(export.id).await;
    assert_eq!(done.status, Status::Completed, "{}", fleet.logs());
    assert!(done.attempt >= 2, "the export completes in a new attempt");
    assert!(fleet.logs().contains("running an export in a process of its own"), "{}", fleet.logs());
    let rest = fleet.rest();
    let file = rest.get(&done.links.file).await;
    assert_eq!(testkit::sha256(&file.body), done.file.expect("a file").sha256);

    let credits: CreditsView = rest.get("/v1/credits").await.json();
    assert_eq!((credits.balance, credits.held), (4, 0));
    let steps = entry::Entity::find().filter(entry::Column::ExportId.eq(export.id.0));
    assert_eq!(steps.count(&fleet.database.db).await.expect("entries"), 2, "one hold, one capture");
    // Events keep the order of their stream: a second completion would arrive before the events of this export.
    let later = client.create(ExportCreate { dataset: "menus".into(), ..ExportCreate::default() }).await;
    client.ended(later.id).await;
    let second = |m: &ServerMessage| match m {
        ServerMessage::ExportCompleted { export: again, .. } => (again.id == export.id).then_some(()),
        _ => None,
    };
    let waited = tokio::time::timeout(std::time::Duration::ZERO, client.expect_text("a second completion", second));
    waited.await.expect_err("completed twice");
}

#[tokio::test]
async fn an_export_submitted_while_nats_is_down_completes_after_nats_restarts() {
    let mut fleet = redundant_fleet().await;
    let rest = fleet.rest();
    fleet.nats.kill();
    let create = protocol::export::ExportRequest { dataset: "menus".into(), ..Default::default() };
    let export = rest.create(&create).await;
    assert_eq!(export.status, Status::Queued);
    fleet.nats.restart().await;
    assert_eq!(rest.ended(export.id).await.status, Status::Completed, "{}", fleet.logs());
    // The tickets in NATS work again.
    eventually("a ticket is created", async || {
        let answer = rest.send(rest.request(reqwest::Method::POST, "/v1/tickets")).await;
        (answer.status == reqwest::StatusCode::CREATED).then_some(())
    })
    .await;
    let bus = fleet.nats.bus().await;
    // A bucket handle caches its state, so each poll gets a new one.
    let last_sequence = async || {
        let status = bus.catalog().await.ok()?.status().await.ok()?;
        Some(status.info.state.last_sequence)
    };
    let before = last_sequence().await.expect("the bucket survives a restart");
    eventually("an exporter advertises again", async || (last_sequence().await? > before).then_some(())).await;
}

#[tokio::test]
async fn a_stopped_gateway_closes_its_sessions_and_the_other_gateway_continues() {
    let mut fleet = redundant_fleet().await;
    let mut client = fleet.client_at(&fleet.urls[0].clone()).await;
    fleet.gateways[0].terminate();
    assert_eq!(client.expect_close().await, Some(1001));
    let status = fleet.gateways[0].ended().await;
    assert!(status.success(), "{status}: {}", fleet.gateways[0].stderr());
    let mut client = fleet.client_at(&fleet.urls[1]).await;
    let export = client.create(ExportCreate { dataset: "menus".into(), ..ExportCreate::default() }).await;
    assert_eq!(client.ended(export.id).await.status, Status::Completed);
}

#[tokio::test]
async fn slow_a_live_stream_never_mixes_the_bytes_of_two_attempts() {
    let mut fleet = redundant_fleet().await;
    let pause = ExportPause::begin(&fleet).await;
    let mut client = fleet.client().await;
    let create = ExportCreate {
        dataset: "flights".into(),
        deliver: Deliver::Stream,
        window: Some(MIB),
        ..ExportCreate::default()
    };
    let export = client.create(create).await;
    let opened = client.opened(export.id, MIB).await;
    let mut collector = client.collect_until(opened, MIB / 2).await;
    let row = export::find(&fleet.database.db, export.id).await.expect("a database").expect("a row");
    assert_eq!(row.status, "running", "the export must still run");
    kill_worker(&mut fleet, &row.worker.expect("a running export has a worker"));
    pause.end().await;

    // The stream continues with identical bytes of the second attempt, or ends with `restarted`.
    let end = loop {
        if collector.window() <= MIB / 2 {
            collector.enlarge_window(MIB);
            client.grant(opened.stream, MIB).await;
        }
        if let Some(end) = client.read_frame(&mut collector).await {
            break end;
        }
    };
    if let Err(problem) = collector.finish(end).end {
        assert_eq!(problem.expect("a problem").slug(), Slug::Restarted);
        let again = client.open(export.id, 0, MIB).await;
        assert_eq!(client.collect(again, false).await.seal().rows, 3_000_000);
    }
    assert!(client.ended(export.id).await.attempt >= 2);
}

fn kill_worker(fleet: &mut Fleet, worker: &str) {
    // An exporter logs its instance name at its start.
    let killed = fleet.exporters.iter_mut().find(|process| process.stderr().contains(worker));
    killed.unwrap_or_else(|| panic!("no exporter has the instance name {worker}")).kill();
}
