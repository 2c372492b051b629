//! API keys on two gateways, from the command line to the end of everything that a deleted key has open.

use std::{fs, path::Path};

use e2e::{Fleet, Plan};
use protocol::{
    api_key::CreatedApiKey,
    export::{ExportRequest, Status},
};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use testkit::{
    DEADLINE,
    client::{Client, Credential},
    eventually,
    fault::Process,
    rest::Rest,
};

/// Log lines of our crates and of the libraries that see requests, in full detail.
const LOG: &str = "debug,gateway=trace,platform=trace,axum=trace,hyper=trace,hyper_util=trace,tower_http=trace,\
                   tungstenite=trace,tokio_tungstenite=trace,async_nats=trace,sqlx=trace";
const MIB: u64 = 1 << 20;

/// Returns the first half of a key, which is as unique as the whole key.
fn half(key: &str) -> &str {
    &key[..key.len() / 2]
}

/// The files of a folder that contain a text.
fn files_with(folder: &Path, text: &str) -> Vec<String> {
    let files = fs::read_dir(folder).expect("a readable folder").map(|entry| entry.expect("an entry").path());
    let has_text = |path: &Path| {
        let content = fs::read(path).expect("a readable file");
        content.windows(text.len()).any(|window| window == text.as_bytes())
    };
    files.filter(|path| path.is_file() && has_text(path)).map(|path| path.display().to_string()).collect()
}

/// Starts a download and reads its first bytes only, so that it can't end soon.
async fn begin_download(rest: &Rest, path: &str) -> Response {
    let mut response = rest.request(Method::GET, path).send().await.expect("the gateway answers");
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.chunk().await.expect("an unbroken download").is_some());
    response
}

/// Reads a download to its end. Returns whether it broke.
async fn breaks(mut response: Response) -> bool {
    loop {
        match tokio::time::timeout(DEADLINE, response.chunk()).await.expect("the download goes on or ends") {
            Ok(Some(_)) => {}
            Ok(None) => return false,
            Err(_) => return true,
        }
    }
}

#[tokio::test]
async fn a_key_deleted_at_one_gateway_ends_at_both_and_its_secret_is_in_no_log_and_no_table() {
    let plan = Plan { gateways: 2, ..Plan::default() };
    let fleet = Fleet::start_with(plan, |service| {
        if service == "gateway" { vec![("SLUICE_LOG__FILTER", LOG.to_owned())] } else { vec![] }
    })
    .await;
    let (first, second) = (fleet.urls[0].clone(), fleet.urls[1].clone());
    let manager = fleet.issuer.token("alice", "acme").scope("export:* keys:manage").sign();
    let manager = Rest::new(&first, Some(&manager));
    let refused = manager.post("/v1/keys", &json!({"name": "ci", "scopes": ["export:flights", "hr"]})).await;
    assert_eq!(refused.problem().errors.iter().map(|e| e.pointer.as_str()).collect::<Vec<_>>(), ["/scopes/1"]);
    let created: CreatedApiKey = manager.post("/v1/keys", &json!({"name": "ci", "scopes": ["export:*"]})).await.json();
    let key = created.key.as_str();

    let rests = [Rest::new(&first, Some(key)), Rest::new(&second, Some(key))];
    let export = rests[1].create(&ExportRequest { dataset: "flights".into(), ..ExportRequest::default() }).await;
    let export = rests[1].ended(export.id).await;
    assert_eq!(export.status, Status::Completed, "{:?}\n{}", export.problem, fleet.logs());
    let mut sessions = Vec::new();
    let mut downloads = Vec::new();
    for (url, rest) in [&first, &second].into_iter().zip(&rests) {
        let ticket: Value = rest.send(rest.request(Method::POST, "/v1/tickets")).await.json();
        let ticket = ticket["ticket"].as_str().expect("a ticket").to_owned();
        for credential in [Credential::Bearer(key), Credential::Ticket(&ticket)] {
            let mut session = Client::connect(url, credential).await.expect("the session starts");
            let opened = session.open(export.id, 0, MIB).await;
            assert_eq!(opened.size, export.file.as_ref().map(|file| file.size));
            sessions.push(session);
        }
        downloads.push(begin_download(rest, &export.links.file).await);
    }

    let deleted = manager.delete(&format!("/v1/keys/{}", created.info.id)).await;
    assert_eq!(deleted.status, StatusCode::NO_CONTENT, "{}", deleted.text());
    for session in &mut sessions {
        assert_eq!(session.expect_close().await, Some(4401));
    }
    for download in downloads {
        assert!(breaks(download).await, "a download of a deleted key completed");
    }
    for (url, rest) in [&first, &second].into_iter().zip(&rests) {
        eventually("the key is refused", async || {
            (rest.get("/v1/credits").await.status == StatusCode::UNAUTHORIZED).then_some(())
        })
        .await;
        assert_eq!(rest.get(&export.links.file).await.status, StatusCode::UNAUTHORIZED);
        assert!(Client::connect(url, Credential::Bearer(key)).await.is_err());
    }

    let logs = fleet.logs();
    assert!(logs.contains("API key deleted") && logs.contains(&created.info.id.to_string()), "{logs}");
    assert!(!logs.contains(half(key)), "a log line contains a key");
    let database = fleet.database.url().trim_start_matches("sqlite://").split('?').next().expect("a path");
    let folder = Path::new(database).parent().expect("the folder of the database");
    assert_eq!(files_with(folder, half(key)), [""; 0]);
    let hash = testkit::sha256(key.as_bytes());
    assert!(!files_with(folder, &hash).is_empty(), "the database contains the hash of the key");
}

/// Runs `sluice` against the first gateway, with this bearer token if there is one.
async fn sluice(fleet: &Fleet, args: &[&str], token: Option<&str>) -> Process {
    let launch = fleet.sluice(args).env("SLUICE_URL", fleet.url());
    let launch = if let Some(token) = token { launch.env("SLUICE_TOKEN", token) } else { launch };
    launch.run().await
}

#[tokio::test]
async fn the_command_line_creates_uses_lists_and_deletes_keys() {
    let fleet = Fleet::small().await;
    let create = ["keys", "create", "--name", "nightly", "--scope", "export:menus", "--expires-in", "7d"];
    let mut created = sluice(&fleet, &create, None).await;
    let (key, note) = (created.stdout(), created.stderr());
    assert!(created.ended().await.success(), "{note}");
    let key = key.trim();
    assert!(key.starts_with("slk_") && key.len() == 76 && !note.contains(half(key)), "{note}");
    assert!(note.contains("not shown again") && note.contains("expires at"), "{note}");

    let mut export = sluice(&fleet, &["export", "menus", "-o", "-"], Some(key)).await;
    assert!(export.ended().await.success(), "{}", export.stderr());
    assert!(export.stdout().contains("# export_rows: 6"), "{}", export.stdout());
    let mut forbidden = sluice(&fleet, &["export", "flights", "-o", "-"], Some(key)).await;
    assert_eq!((forbidden.ended().await.code(), forbidden.stderr().lines().count()), (Some(1), 1));

    let listed = sluice(&fleet, &["keys", "list"], None).await.stdout();
    assert!(listed.contains("nightly") && listed.contains("export:menus") && !listed.contains(half(key)), "{listed}");
    let listed: Value =
        serde_json::from_str(&sluice(&fleet, &["keys", "list", "--json"], None).await.stdout()).unwrap();
    let id = listed["items"][0]["id"].as_str().expect("an id");
    assert_eq!(
        (&listed["items"][0]["created_by"], listed["items"].as_array().map(Vec::len)),
        (&json!("alice"), Some(1))
    );

    // a user without the scope to give
    let token = fleet.issuer.token("bob", "acme").scope("keys:manage export:menus").sign();
    let wider = ["keys", "create", "--name", "wide", "--scope", "export:*"];
    let mut refused = sluice(&fleet, &wider, Some(&token)).await;
    assert_eq!(refused.ended().await.code(), Some(1));
    assert!(refused.stderr().contains("/scopes/0"), "{}", refused.stderr());

    let deleted: Value =
        serde_json::from_str(&sluice(&fleet, &["keys", "delete", id, "--json"], Some(&token)).await.stdout()).unwrap();
    assert_eq!(deleted, json!({"deleted": id}));
    for args in [&["keys", "delete", id][..], &["keys", "list", "--url", "ftp://x"]] {
        let mut failed = sluice(&fleet, args, Some(&token)).await;
        let code = if args.len() == 3 { 1 } else { 2 };
        assert_eq!((failed.ended().await.code(), failed.stderr().lines().count()), (Some(code), 1), "{args:?}");
    }
    let mut refused = sluice(&fleet, &["export", "menus", "-o", "-"], Some(key)).await;
    assert_eq!(refused.ended().await.code(), Some(1));
    assert!(refused.stderr().contains("401"), "{}", refused.stderr());
}
