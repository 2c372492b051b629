//! Three nats-servers as `ops/nats` has them: encrypted, three replicas of each stream, a user for each service. One of
//! them may die, and who is not known gets no connection.

use std::time::{Duration, Instant};

use async_nats::rustls::crypto::aws_lc_rs;
use e2e::{Fleet, Gate, Plan, csv};
use entity::export;
use platform::{
    bus::{Bus, BusError},
    config::NatsConfig,
    units::HumanDuration,
};
use protocol::{
    client::{Deliver, ExportCreate},
    export::{ExportRequest, Status},
};
use serde_json::Value;
use testkit::{eventually, nats::Certificates};

const MIB: u64 = 1 << 20;

const STREAMS: [&str; 6] =
    ["SLUICE_JOBS", "SLUICE_OUTCOMES", "SLUICE_EVENTS", "SLUICE_DEAD", "KV_SLUICE_CATALOG", "KV_SLUICE_TICKETS"];

/// Two providers are compiled in; this is the one that the platform uses.
fn install_tls() {
    // another test of this process may have done it
    let _ = aws_lc_rs::default_provider().install_default();
}

/// Which server leads a stream, and how many others have all of it.
async fn state(operator: &Bus, stream: &str) -> Option<(String, usize)> {
    let answer = operator.client().request(format!("$JS.API.STREAM.INFO.{stream}"), "".into()).await.ok()?;
    let info: Value = serde_json::from_slice(&answer.payload).expect("an answer is JSON");
    let leader = info["cluster"]["leader"].as_str().filter(|name| !name.is_empty())?.to_owned();
    let others = info["cluster"]["replicas"].as_array()?;
    Some((leader, others.iter().filter(|one| one["current"] == true && one["offline"] != true).count()))
}

/// Waits until every stream is on all three servers. Gives the leader of the outcomes.
async fn whole(operator: &Bus) -> String {
    for stream in STREAMS {
        let all = async || state(operator, stream).await.filter(|(_, others)| *others == 2);
        eventually(&format!("three replicas of {stream}"), all).await;
    }
    state(operator, "SLUICE_OUTCOMES").await.expect("it has just had a leader").0
}

#[tokio::test]
async fn an_export_goes_on_while_the_server_that_leads_its_stream_dies() {
    install_tls();
    let plan = Plan { nats_cluster: true, postgres: true, settings: Gate::patience(), ..Plan::default() };
    let mut fleet = Fleet::start(plan).await;
    let operator = Bus::join(&fleet.nats.config_of("operator"), "operator", &[]).await.expect("known");
    let leader = whole(&operator).await;

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
    fleet.nats.kill_one(&leader);
    gate.open().await;

    let end = loop {
        if collector.window() <= MIB / 2 {
            collector.granted(MIB);
            client.grant(opened.stream, MIB).await;
        }
        if let Some(end) = client.step(&mut collector).await {
            break end;
        }
    };
    let streamed = collector.finish(end);
    assert_eq!(streamed.seal().rows, 3_000_000, "{}", fleet.logs());
    let done = client.ended(export.id).await;
    assert_eq!((done.status, done.attempt), (Status::Completed, 1), "{}", fleet.logs());
    assert_eq!(done.file.expect("a file").sha256, streamed.sha256);
    let file = csv::parse(&streamed.bytes);
    assert_eq!((file.rows.len(), file.row_count), (3_000_000, 3_000_000));

    // with one server away: another leads, and what is asked for is made
    let rest = fleet.rest();
    let next = rest.create(&ExportRequest { dataset: "menus".into(), ..ExportRequest::default() }).await;
    assert_eq!(rest.ended(next.id).await.status, Status::Completed, "{}", fleet.logs());
    let (heir, others) = state(&operator, "SLUICE_OUTCOMES").await.expect("a leader");
    assert!(heir != leader && others == 1, "{heir} after {leader}, with {others}");

    // it comes back, and catches up
    fleet.nats.restart_one(&leader).await;
    whole(&operator).await;
    assert_eq!(fleet.nats.violations(), [""; 0]);
}

#[tokio::test]
async fn who_trusts_another_authority_or_is_not_of_this_one_gets_no_connection_and_is_told_why() {
    install_tls();
    let none = Plan { gateways: 0, exporters: 0, notifiers: 0, nats_cluster: true, ..Plan::default() };
    let fleet = Fleet::start(none).await;
    let place = tempfile::tempdir().expect("the folder for temporary files is writable");
    let foreign = Certificates::create(place.path());
    let good = NatsConfig { request_timeout: HumanDuration::from_secs(30), ..fleet.nats.config_of("exporter") };
    let refused = async |config: NatsConfig| {
        let begun = Instant::now();
        let refused = Bus::join(&config, "somebody", &[]).await.expect_err("nobody should be let in");
        // at once, and not only when patience is over
        assert!(begun.elapsed() < good.request_timeout.get(), "{:?}: {refused}", begun.elapsed());
        refused
    };
    let fooled = refused(NatsConfig { tls_ca_file: foreign.file("ca.pem"), ..good.clone() }).await;
    assert!(matches!(&fooled, BusError::UntrustedServer { detail, .. } if detail.contains("UnknownIssuer")), "{fooled}");
    let stranger = NatsConfig {
        tls_cert_file: foreign.file("client.pem"),
        tls_key_file: foreign.file("client-key.pem"),
        ..good.clone()
    };
    let stranger = refused(stranger).await;
    assert!(matches!(&stranger, BusError::ClientCertRejected { .. }), "{stranger:?}");
    let nobody = NatsConfig { tls_cert_file: String::new(), tls_key_file: String::new(), ..good.clone() };
    let nobody = refused(nobody).await;
    assert!(matches!(&nobody, BusError::ClientCertRejected { .. }), "{nobody:?}");

    // a service says so in one line, and ends
    let launch = fleet.sluice(&["exporter"]).envs(fleet.nats_user("exporter"));
    let mut exporter = launch.env("SLUICE_NATS__TLS_CA_FILE", foreign.file("ca.pem")).run().await;
    assert!(!exporter.ended().await.success());
    let said = exporter.stderr();
    assert!(said.contains("can't be trusted") && said.contains("nats.tls_ca_file"), "{said}");

    // and whoever is known gets in
    Bus::join(&good, "exporter", &[]).await.expect("known");
}
