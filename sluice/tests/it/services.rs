//! Each service runs alone in its own process.

use platform::bus::Bus;
use testkit::{
    fault::{Launch, free_port},
    nats::NatsServer,
};

#[tokio::test]
async fn an_exporter_serves_its_health_and_stops_at_sigterm() {
    let nats = NatsServer::start().await;
    let (database, files) = (testkit::db::sqlite().await, testkit::store::folder());
    let address = format!("127.0.0.1:{}", free_port());
    let config = nats.config();
    // create the streams, as a notifier does
    let _streams = Bus::connect(&config, "test").await.expect("the streams are created");
    let mut exporter = Launch::sluice(["exporter"])
        .env("SLUICE_NATS__URL", &config.url)
        .env("SLUICE_NATS__USER", &config.user)
        .env("SLUICE_NATS__PASSWORD", config.password.expose())
        .env("SLUICE_DATABASE__URL", database.url())
        .env("SLUICE_STORE__URL", files.config().url)
        .env("SLUICE_EXPORTER__DATASETS_DIR", files.path())
        .env("SLUICE_EXPORTER__INTERNAL_LISTEN", &address)
        .spawn();
    exporter.ready(&format!("http://{address}/readyz")).await;
    let operator = testkit::rest::Rest::new(&format!("http://{address}"), None);
    assert_eq!(operator.get("/healthz").await.text(), "ok\n");
    let ready: serde_json::Value = operator.get("/readyz").await.json();
    let catalog = ready["dependencies"].as_array().and_then(|all| all.iter().find(|one| one["name"] == "catalog"));
    assert_eq!(catalog, Some(&serde_json::json!({"name": "catalog", "ok": true})), "{ready}");
    assert!(operator.get("/metrics").await.status.is_success());
    exporter.terminate();
    assert_eq!(exporter.ended().await.code(), Some(0), "{}", exporter.stderr());
}
