//! Services that start before their database, NATS or store: they wait, say which is missing, and become ready by
//! themselves.

use platform::config::NatsConfig;
use serde_json::Value;
use testkit::{
    db::Postgres,
    eventually,
    fault::{Launch, Process, Proxy, free_port},
    nats::NatsServer,
    s3::S3Server,
};

/// A started service with the address of its readiness.
struct Started {
    name: &'static str,
    process: Process,
    readyz: String,
}

impl Started {
    /// Waits until `/readyz` names this dependency as missing.
    async fn waits_for(&self, dependency: &str) {
        let http = reqwest::Client::builder().no_proxy().build().expect("an HTTP client");
        eventually("the service says what it waits for", async || {
            let answer = http.get(&self.readyz).send().await.ok()?;
            assert_eq!(answer.status().as_u16(), 503, "{} is ready", self.name);
            let body: Value = answer.json().await.ok()?;
            let missing =
                body["dependencies"].as_array()?.iter().any(|one| one["name"] == dependency && one["ok"] == false);
            missing.then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn services_wait_for_their_database_and_nats() {
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    let nats = NatsServer::start().await;
    let NatsConfig { url, user, password, .. } = nats.config();
    let to_nats = Proxy::start(url.trim_start_matches("nats://")).await;
    let server = database.url().split('@').next_back().and_then(|rest| rest.split('/').next()).expect("host:port");
    let to_database = Proxy::start(server).await;
    let proxied = database.url().replace(server, &to_database.address().to_string());
    to_nats.refuse();
    to_database.refuse();

    // the folder of the store can't be created yet
    let dir = tempfile::tempdir().expect("the folder for temporary files is writable");
    let blocked = dir.path().join("store");
    std::fs::write(&blocked, "").expect("a file");
    let mut services = Vec::new();
    for (name, setting) in [
        ("notifier", "SLUICE_NOTIFIER__INTERNAL_LISTEN"),
        ("exporter", "SLUICE_EXPORTER__INTERNAL_LISTEN"),
        ("gateway", "SLUICE_GATEWAY__LISTEN"),
    ] {
        let address = format!("127.0.0.1:{}", free_port());
        let process = Launch::sluice([name])
            .env("SLUICE_DATABASE__URL", &proxied)
            .env("SLUICE_NATS__URL", format!("nats://{}", to_nats.address()))
            .env("SLUICE_NATS__USER", &user)
            .env("SLUICE_NATS__PASSWORD", password.expose())
            .env("SLUICE_STORE__URL", format!("file://{}", blocked.join("files").display()))
            .env("SLUICE_GATEWAY__IDENTITY__LOCAL__SECRET", "for tests alone: thirty-two bytes or more")
            .env(setting, &address)
            .spawn();
        services.push(Started { name, process, readyz: format!("http://{address}/readyz") });
    }
    for service in &services {
        service.waits_for("database").await;
    }
    to_database.restore();
    for service in &services {
        service.waits_for("nats").await;
    }
    to_nats.restore();
    for service in &services[..2] {
        service.waits_for("file_store").await;
    }
    std::fs::remove_file(&blocked).expect("the file can be deleted");
    for service in &mut services {
        service.process.ready(&service.readyz).await;
    }
    for Started { process, .. } in &mut services {
        process.terminate();
        assert!(process.ended().await.success(), "{}", process.stderr());
    }
}

#[tokio::test]
async fn services_wait_for_their_s3_store() {
    let database = testkit::db::sqlite().await;
    let nats = NatsServer::start().await;
    let NatsConfig { url, user, password, .. } = nats.config();
    let s3 = S3Server::start().await;
    let bucket = s3.bucket().await;
    let store = bucket.config("files");
    let to_store = Proxy::start(&bucket.address()).await;
    to_store.refuse();
    let mut services = Vec::new();
    for (name, setting) in
        [("notifier", "SLUICE_NOTIFIER__INTERNAL_LISTEN"), ("exporter", "SLUICE_EXPORTER__INTERNAL_LISTEN")]
    {
        let address = format!("127.0.0.1:{}", free_port());
        let process = Launch::sluice([name])
            .env("SLUICE_DATABASE__URL", database.url())
            .env("SLUICE_NATS__URL", &url)
            .env("SLUICE_NATS__USER", &user)
            .env("SLUICE_NATS__PASSWORD", password.expose())
            .env("SLUICE_STORE__URL", &store.url)
            .env("SLUICE_STORE__S3_ENDPOINT", to_store.url())
            .env("SLUICE_STORE__S3_REGION", &store.s3_region)
            .env("SLUICE_STORE__S3_ACCESS_KEY_ID", &store.s3_access_key_id)
            .env("SLUICE_STORE__S3_SECRET_ACCESS_KEY", store.s3_secret_access_key.expose())
            .env(setting, &address)
            .spawn();
        services.push(Started { name, process, readyz: format!("http://{address}/readyz") });
    }
    for service in &services {
        service.waits_for("file_store").await;
    }
    to_store.restore();
    for service in &mut services {
        service.process.ready(&service.readyz).await;
    }
}

#[tokio::test]
async fn a_stop_ends_a_service_that_waits() {
    let address = format!("127.0.0.1:{}", free_port());
    let process = Launch::sluice(["notifier"])
        .env("SLUICE_DATABASE__URL", "postgres://sluice@127.0.0.1:9/sluice")
        .env("SLUICE_NOTIFIER__INTERNAL_LISTEN", &address)
        .spawn();
    let mut started = Started { name: "notifier", process, readyz: format!("http://{address}/readyz") };
    started.waits_for("database").await;
    started.process.terminate();
    assert!(started.process.ended().await.success(), "{}", started.process.stderr());
}
