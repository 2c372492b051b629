//! A cluster of three nats-servers with the files of `ops/nats`: TLS, three replicas of each stream, one user for each
//! service. The platform survives the loss of one server, and clients without a trusted certificate are refused.

use std::time::Instant;

use async_nats::rustls::crypto::aws_lc_rs;
use e2e::{ExportPause, Fleet, Plan, csv};
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

/// Installs the TLS provider of the platform: two providers are compiled in.
fn install_tls_provider() {
    // Another test of this process may have installed it already.
    let _ = aws_lc_rs::default_provider().install_default();
}

/// Returns the leader of a stream and the number of current replicas besides it.
async fn stream_state(operator: &Bus, stream: &str) -> Option<(String, usize)> {
    let answer = operator.client().request(format!("$JS.API.STREAM.INFO.{stream}"), "".into()).await.ok()?;
    let info: Value = serde_json::from_slice(&answer.payload).expect("an answer is JSON");
    let leader = info["cluster"]["leader"].as_str().filter(|name| !name.is_empty())?.to_owned();
    let others = info["cluster"]["replicas"].as_array()?;
    Some((leader, others.iter().filter(|one| one["current"] == true && one["offline"] != true).count()))
}

/// Waits until every stream has three current replicas. Returns the leader of the outcomes.
async fn await_replicas(operator: &Bus) -> String {
    for stream in STREAMS {
        let all = async || stream_state(operator, stream).await.filter(|(_, others)| *others == 2);
        eventually(&format!("three replicas of {stream}"), all).await;
    }
    stream_state(operator, "SLUICE_OUTCOMES").await.expect("a replicated stream has a leader").0
}

#[tokio::test]
async fn slow_an_export_continues_when_the_leader_of_its_stream_dies() {
    install_tls_provider();
    let plan = Plan { nats_cluster: true, postgres: true, settings: ExportPause::settings(), ..Plan::default() };
    let mut fleet = Fleet::start(plan).await;
    let operator = Bus::join(&fleet.nats.config_of("operator"), "operator", &[]).await.expect("a known user");
    let leader = await_replicas(&operator).await;

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
    fleet.nats.kill_one(&leader);
    pause.end().await;

    let end = loop {
        if collector.window() <= MIB / 2 {
            collector.enlarge_window(MIB);
            client.grant(opened.stream, MIB).await;
        }
        if let Some(end) = client.read_frame(&mut collector).await {
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

    // With two of three servers, another server leads and exports complete.
    let rest = fleet.rest();
    let next = rest.create(&ExportRequest { dataset: "menus".into(), ..ExportRequest::default() }).await;
    assert_eq!(rest.ended(next.id).await.status, Status::Completed, "{}", fleet.logs());
    let (new_leader, others) = stream_state(&operator, "SLUICE_OUTCOMES").await.expect("a leader");
    assert!(new_leader != leader && others == 1, "{new_leader} after {leader}, with {others}");

    // The server returns and catches up.
    fleet.nats.restart_one(&leader).await;
    await_replicas(&operator).await;
    assert_eq!(fleet.nats.violations(), [""; 0]);
}

#[tokio::test]
async fn a_connection_without_mutual_trust_is_refused_with_its_cause() {
    install_tls_provider();
    let plan = Plan { gateways: 0, exporters: 0, notifiers: 0, nats_cluster: true, ..Plan::default() };
    let fleet = Fleet::start(plan).await;
    let folder = tempfile::tempdir().expect("the folder for temporary files is writable");
    let foreign = Certificates::create(folder.path());
    let valid = NatsConfig { request_timeout: HumanDuration::from_secs(30), ..fleet.nats.config_of("exporter") };
    let refused = async |config: NatsConfig| {
        let started = Instant::now();
        let error = Bus::join(&config, "untrusted", &[]).await.expect_err("the connection must be refused");
        // The error comes at once, not after the timeout.
        assert!(started.elapsed() < valid.request_timeout.get(), "{:?}: {error}", started.elapsed());
        error
    };
    let untrusted_server = refused(NatsConfig { tls_ca_file: foreign.file("ca.pem"), ..valid.clone() }).await;
    let is_unknown_issuer =
        matches!(&untrusted_server, BusError::UntrustedServer { detail, .. } if detail.contains("UnknownIssuer"));
    assert!(is_unknown_issuer, "{untrusted_server}");
    let foreign_cert = NatsConfig {
        tls_cert_file: foreign.file("client.pem"),
        tls_key_file: foreign.file("client-key.pem"),
        ..valid.clone()
    };
    let foreign_cert = refused(foreign_cert).await;
    assert!(matches!(&foreign_cert, BusError::ClientCertRejected { .. }), "{foreign_cert:?}");
    let no_cert = NatsConfig { tls_cert_file: String::new(), tls_key_file: String::new(), ..valid.clone() };
    let no_cert = refused(no_cert).await;
    assert!(matches!(&no_cert, BusError::ClientCertRejected { .. }), "{no_cert:?}");

    // A service names the cause and ends.
    let launch = fleet.sluice(&["exporter"]).envs(fleet.nats_user("exporter"));
    let mut exporter = launch.env("SLUICE_NATS__TLS_CA_FILE", foreign.file("ca.pem")).run().await;
    assert!(!exporter.ended().await.success());
    let stderr = exporter.stderr();
    assert!(stderr.contains("can't be trusted") && stderr.contains("nats.tls_ca_file"), "{stderr}");

    // A trusted client connects.
    Bus::join(&valid, "exporter", &[]).await.expect("a known user");
}
