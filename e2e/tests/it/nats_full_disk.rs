//! After the disk of a NATS server was full, its streams refuse every message until the server starts again. The probes of
//! `ops/kubernetes` must notice that.

use std::{fs, path::Path};

use platform::{bus::Bus, config::NatsConfig, units::HumanDuration};
use protocol::subject;
use reqwest::StatusCode;
use testkit::nats::NatsServer;

/// The size of the disk: room for the empty streams.
const DISK_KIB: u32 = 4 << 10;

/// The paths that the probes of `nats.yaml` request, by the name of the probe.
fn probes() -> Vec<(String, String)> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ops/kubernetes/components/nats/nats.yaml");
    let text = fs::read_to_string(file).expect("the manifest of NATS is readable");
    let (mut probe, mut found) = (String::new(), vec![]);
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_suffix("Probe:") {
            name.clone_into(&mut probe);
        } else if let Some(path) = line.strip_prefix("httpGet: {path: ").and_then(|rest| rest.split(", port").next()) {
            found.push((probe.clone(), path.trim_matches('"').to_owned()));
        }
    }
    found
}

#[tokio::test]
async fn the_probes_of_kubernetes_fail_while_streams_are_shut() {
    let Some(nats) = NatsServer::start_with_small_disk(DISK_KIB).await else { return };
    let metrics = platform::telemetry::init_metrics().expect("the first metrics of this process");
    let has_failed = |failed: u8| {
        let wanted = format!("sluice_jetstream_write_failed{{stream=\"SLUICE_OUTCOMES\"}} {failed}");
        metrics.render().lines().any(|line| line == wanted)
    };
    let config = NatsConfig { request_timeout: HumanDuration::from_secs(3), ..nats.config() };
    let bus = Bus::connect(&config, "test").await.expect("the server is up");
    let probe = async |path: &str| {
        let answer = reqwest::get(format!("{}{path}", nats.monitor_url())).await.expect("the monitoring answers");
        answer.status()
    };
    let probes = probes();
    let names: Vec<_> = probes.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["startup", "readiness", "liveness"]);
    for (name, path) in &probes {
        assert_eq!(probe(path).await, StatusCode::OK, "{name} of a healthy server: {path}");
    }
    let publish = async |n: usize| {
        let subject = subject::outcome(protocol::id::ExportId::generate());
        bus.publish_durable(subject, &n.to_string(), &"x".repeat(200_000)).await
    };
    let mut stored = 0;
    while publish(stored).await.is_ok() {
        stored += 1;
        assert!(stored < 1_000, "the disk is never full");
        assert!(has_failed(0), "{}", metrics.render());
    }
    assert!(has_failed(1), "{}", metrics.render());
    for (name, path) in &probes {
        assert_eq!(probe(path).await, StatusCode::SERVICE_UNAVAILABLE, "{name} while streams are shut: {path}");
    }
    // the settings are read again, and the streams stay shut
    nats.reload();
    assert!(publish(stored).await.is_err());
}
