//! Several of each service on one NATS and one PostgreSQL: any of them may die.

use e2e::{Fleet, Gate, Plan};
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

async fn pairs() -> Fleet {
    Fleet::start(Plan { gateways: 2, exporters: 2, notifiers: 2, postgres: true, ..Plan::default() }).await
}

#[tokio::test]
async fn any_gateway_delivers_what_any_exporter_made() {
    let fleet = pairs().await;
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
    // each session hears of both exports, and each gateway serves the other's file
    for (client, other) in clients.iter_mut().zip([two.id, one.id]) {
        assert_eq!(client.ended(other).await.status, Status::Completed);
    }
    let token = fleet.token("alice", "acme");
    for (url, (id, digest)) in fleet.urls.iter().zip([(two.id, &digests[1]), (one.id, &digests[0])]) {
        let answer = Rest::new(url, Some(&token)).get(&format!("/v1/exports/{id}/file")).await;
        assert_eq!(&testkit::sha256(&answer.body), digest);
    }
    let workers: Vec<_> = export::Entity::find().all(&fleet.database.db).await.expect("rows");
    assert!(workers.iter().all(|row| row.status == "completed" && row.attempt == 1));
}

#[tokio::test]
async fn a_killed_exporter_is_replaced_and_the_credit_captured_once() {
    let mut fleet = pairs().await;
    let gate = Gate::shut(&fleet).await;
    let mut client = fleet.client().await;
    let create = ExportCreate { dataset: "flights".into(), ..ExportCreate::default() };
    let export = client.create(create).await;
    // by its row: the last report before it stands still is dropped where it comes too soon after the one before
    let row = eventually("it is at work", async || {
        let row = export::find(&fleet.database.db, export.id).await.expect("a database").expect("a row");
        (row.rows > 0).then_some(row)
    })
    .await;
    let worker = row.worker.expect("it runs");
    kill_worker(&mut fleet, &worker);
    gate.open().await;

    let done = client.ended(export.id).await;
    assert_eq!(done.status, Status::Completed, "{}", fleet.logs());
    assert!(done.attempt >= 2, "under a new attempt");
    let rest = fleet.rest();
    let file = rest.get(&done.links.file).await;
    assert_eq!(testkit::sha256(&file.body), done.file.expect("a file").sha256);

    let credits: CreditsView = rest.get("/v1/credits").await.json();
    assert_eq!((credits.balance, credits.held), (4, 0));
    let steps = entry::Entity::find().filter(entry::Column::ExportId.eq(export.id.0));
    assert_eq!(steps.count(&fleet.database.db).await.expect("entries"), 2, "one hold, one capture");
    // events come in the order of their stream, so whatever the first export still has to say comes before this
    let later = client.create(ExportCreate { dataset: "menus".into(), ..ExportCreate::default() }).await;
    client.ended(later.id).await;
    let second = |m: &ServerMessage| match m {
        ServerMessage::ExportCompleted { export: again, .. } => (again.id == export.id).then_some(()),
        _ => None,
    };
    let kept = tokio::time::timeout(std::time::Duration::ZERO, client.expect_text("a second completion", second));
    kept.await.expect_err("completed twice");
}

#[tokio::test]
async fn everything_submitted_is_made_while_nats_is_away_for_a_moment() {
    let mut fleet = pairs().await;
    let rest = fleet.rest();
    fleet.nats.kill();
    let create = protocol::export::ExportRequest { dataset: "menus".into(), ..Default::default() };
    let export = rest.create(&create).await;
    assert_eq!(export.status, Status::Queued);
    fleet.nats.restart().await;
    assert_eq!(rest.ended(export.id).await.status, Status::Completed, "{}", fleet.logs());
    // what NATS keeps for the services is there again, too
    eventually("a ticket", async || {
        let answer = rest.send(rest.request(reqwest::Method::POST, "/v1/tickets")).await;
        (answer.status == reqwest::StatusCode::CREATED).then_some(())
    })
    .await;
    let bus = fleet.nats.bus().await;
    // looked up anew each time, as a bucket tells its state at that moment
    let last = async || {
        let status = bus.catalog().await.ok()?.status().await.ok()?;
        Some(status.info.state.last_sequence)
    };
    let seen = last().await.expect("the bucket survives its server");
    eventually("an exporter advertises again", async || (last().await? > seen).then_some(())).await;
}

#[tokio::test]
async fn a_stopped_gateway_sends_its_clients_away_and_the_other_goes_on() {
    let mut fleet = pairs().await;
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
async fn a_live_stream_never_mixes_the_bytes_of_two_attempts() {
    let mut fleet = pairs().await;
    let gate = Gate::shut(&fleet).await;
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
    assert_eq!(row.status, "running", "it must still be at work");
    kill_worker(&mut fleet, &row.worker.expect("it runs"));
    gate.open().await;

    // what is sent of the first attempt goes on under the second, byte for byte, or the stream says that it can't
    let end = loop {
        if collector.window() <= MIB / 2 {
            collector.granted(MIB);
            client.grant(opened.stream, MIB).await;
        }
        if let Some(end) = client.step(&mut collector).await {
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
    // an exporter names itself in its first lines
    let killed = fleet.exporters.iter_mut().find(|process| process.stderr().contains(worker));
    killed.unwrap_or_else(|| panic!("no exporter is called {worker}")).kill();
}
