//! `sluice up` runs as a user runs it: with the binary, a data folder and Ctrl-C.

use std::{
    fs,
    path::{Path, PathBuf},
};

use protocol::{catalog::DatasetList, credits::CreditsView, export::Export};
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use tempfile::TempDir;
use testkit::{
    eventually,
    fault::{Launch, Process},
    rest::Rest,
};

fn data_dir() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    (dir, data)
}

fn sluice(args: &[&str], data: &Path) -> Launch {
    let launch = Launch::sluice(args.iter().map(AsRef::as_ref).chain(["--data-dir".as_ref(), data.as_os_str()]));
    // a daily grant at midnight would change the counted credits
    launch.env("SLUICE_CREDITS__DAILY_GRANT", "0")
}

/// Starts all services on a free port, and returns the URL once they are ready.
async fn up(data: &Path, args: &[&str]) -> (Process, String) {
    let process = sluice(&[&["up", "--port", "0"], args].concat(), data).spawn();
    let url = eventually("the block is printed", async || {
        let printed = process.stdout();
        let line = printed.lines().find_map(|line| line.trim().strip_prefix("API "))?.trim().to_owned();
        printed.contains("Ctrl-C").then_some(line)
    })
    .await;
    (process, url)
}

/// Runs a command that succeeds, and returns its output.
async fn run(args: &[&str], data: &Path) -> String {
    let mut process = sluice(args, data).run().await;
    let status = process.ended().await;
    assert!(status.success(), "{args:?}: {status}\n{}", process.stderr());
    process.stdout()
}

async fn refused(args: &[&str], data: &Path) -> (Option<i32>, String) {
    let mut process = sluice(args, data).run().await;
    (process.ended().await.code(), process.stderr())
}

fn nats_pid(data: &Path) -> u32 {
    fs::read_to_string(data.join("nats/nats-server.pid")).unwrap().trim().parse().unwrap()
}

fn exists(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

const COUNTS: [&str; 4] = ["export", "menu_category_counts", "--param", r#"muscles=["muscle1","muscle2"]"#];

#[tokio::test]
async fn the_demo_catalog_is_offered_and_ctrl_c_leaves_no_process() {
    let (_dir, data) = data_dir();
    let datasets = data.join("datasets");
    fs::create_dir_all(&datasets).unwrap();
    let catalog = testkit::demo::seed(&datasets).await;
    let (mut process, url) = up(&data, &["--catalog", catalog.to_str().unwrap()]).await;
    assert!(process.stdout().contains("export menus --data-dir"), "{}", process.stdout());

    let token = run(&["token", "--sub", "alice", "--tenant", "acme", "--scope", "export:*"], &data).await;
    let rest = Rest::new(&url, Some(token.trim()));
    let names: Vec<_> =
        rest.get("/v1/datasets").await.json::<DatasetList>().items.into_iter().map(|d| d.name).collect();
    assert!(names.contains(&"menus".to_owned()), "{names:?}");

    let file = data.with_file_name("counts.csv");
    let printed = run(&[&COUNTS[..], &["--json", "-o", file.to_str().unwrap()]].concat(), &data).await;
    let export: Export = serde_json::from_str(&printed).unwrap();
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("\ntraining,3\nbalance,1\nstretch,1\n"), "{text}");
    assert_eq!(export.file.unwrap().sha256, testkit::sha256(text.as_bytes()));

    run(&["credits", "grant", "--sub", "alice", "--tenant", "acme", "--amount", "3"], &data).await;
    assert_eq!(rest.get("/v1/credits").await.json::<CreditsView>().balance, 5 - 1 + 3);

    let (code, line) = refused(&["up", "--port", "0"], &data).await;
    assert_eq!((code, line.lines().count()), (Some(1), 1), "{line}");
    assert!(line.contains("another `sluice up`"), "{line}");

    let nats = nats_pid(&data);
    process.interrupt();
    assert_eq!(process.ended().await.code(), Some(0), "{}", process.stderr());
    assert!(!exists(nats) && !data.join("nats/nats-server.pid").exists());
}

#[tokio::test]
async fn an_empty_installation_offers_nothing_and_explains_the_next_step() {
    let (_dir, data) = data_dir();
    let (mut process, url) = up(&data, &[]).await;
    assert!(process.stdout().contains("there is no dataset yet"), "{}", process.stdout());
    assert!(!process.stdout().contains("sluice export"), "{}", process.stdout());
    let token = run(&["token", "--sub", "alice", "--tenant", "acme", "--scope", "export:*"], &data).await;
    let offered = Rest::new(&url, Some(token.trim())).get("/v1/datasets").await.json::<DatasetList>().items;
    assert!(offered.is_empty(), "{offered:?}");
    process.terminate();
    assert_eq!(process.ended().await.code(), Some(0), "{}", process.stderr());
    let log = process.stderr();
    let next_step = "set exporter.catalog to a catalog file, see docs/catalog.md";
    assert!(log.lines().any(|line| line.contains("no datasets") && line.contains(next_step)), "{log}");

    let tables = tables(&data.join("sluice.db")).await;
    assert!(tables.contains(&"export".to_owned()), "{tables:?}");
    assert!(!tables.iter().any(|table| table == "menus" || table == "muscles"), "{tables:?}");
}

/// The names of all tables of a SQLite database.
async fn tables(file: &Path) -> Vec<String> {
    let database = sea_orm::Database::connect(format!("sqlite://{}", file.display())).await.unwrap();
    let names = Statement::from_string(DbBackend::Sqlite, "SELECT name FROM sqlite_master WHERE type = 'table'");
    let rows = database.query_all_raw(names).await.unwrap();
    database.close().await.unwrap();
    rows.iter().map(|row| row.try_get("", "name").unwrap()).collect()
}

#[tokio::test]
async fn an_installation_remembers_its_catalog() {
    let (_dir, data) = data_dir();
    let datasets = data.join("datasets");
    fs::create_dir_all(&datasets).unwrap();
    let catalog = testkit::demo::seed(&datasets).await;
    for args in [&["--catalog", catalog.to_str().unwrap()][..], &[]] {
        let (mut process, _) = up(&data, args).await;
        assert!(process.stdout().contains("export menus --data-dir"), "{}", process.stdout());
        process.terminate();
        assert_eq!(process.ended().await.code(), Some(0), "{}", process.stderr());
    }
    let (code, line) = refused(&["up", "--port", "0", "--catalog", "missing.toml"], &data).await;
    assert_eq!((code, line.lines().count()), (Some(1), 1), "{line}");
    assert!(line.contains("no catalog file missing.toml"), "{line}");
}

#[tokio::test]
async fn after_a_kill_the_next_start_continues_with_the_same_data() {
    let (_dir, data) = data_dir();
    let (mut process, _) = up(&data, &[]).await;
    run(&["credits", "grant", "--sub", "bob", "--tenant", "acme", "--amount", "2"], &data).await;
    let nats = nats_pid(&data);
    process.kill();

    let (mut process, _) = up(&data, &[]).await;
    eventually("the first nats-server has exited", async || (!exists(nats)).then_some(())).await;
    let shown = run(&["credits", "show", "--sub", "bob", "--tenant", "acme", "--json"], &data).await;
    assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap()["balance"], 7);
    process.terminate();
    assert_eq!(process.ended().await.code(), Some(0), "{}", process.stderr());
}

#[tokio::test]
async fn a_database_that_a_newer_release_has_migrated_is_used_as_it_is() {
    let (_dir, data) = data_dir();
    let (mut process, _) = up(&data, &[]).await;
    process.terminate();
    assert_eq!(process.ended().await.code(), Some(0), "{}", process.stderr());

    let url = format!("sqlite://{}", data.join("sluice.db").display());
    let database = sea_orm::Database::connect(url).await.unwrap();
    let newer = "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m29991231_000001_later', 0)";
    assert_eq!(database.execute_unprepared(newer).await.unwrap().rows_affected(), 1);
    database.close().await.unwrap();

    let (mut process, _) = up(&data, &[]).await;
    run(&["credits", "show", "--sub", "bob", "--tenant", "acme"], &data).await;
    process.terminate();
    assert_eq!(process.ended().await.code(), Some(0), "{}", process.stderr());
}

#[tokio::test]
async fn only_a_browser_with_the_printed_link_can_sign_in() {
    use std::os::unix::fs::PermissionsExt;

    let (dir, data) = data_dir();
    let (page, bin) = (dir.path().join("page"), dir.path().join("bin"));
    for folder in [&page, &bin] {
        fs::create_dir(folder).unwrap();
    }
    fs::write(page.join("index.html"), "<!doctype html>").unwrap();
    // stands for the desktop's program, and records what it is asked to open
    let (opener, opened) = (bin.join("xdg-open"), dir.path().join("opened"));
    fs::write(&opener, format!("#!/bin/sh\necho \"$1\" > '{}'\n", opened.display())).unwrap();
    fs::set_permissions(&opener, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let launch = sluice(&["up", "--port", "0", "--open"], &data).env("SLUICE_WEB_DIR", page.display().to_string());
    let mut process = launch.env("PATH", path).spawn();
    let file = eventually("the browser is opened", async || fs::read_to_string(&opened).ok().filter(|f| !f.is_empty()));
    let file = file.await;
    assert!(!file.contains("sign-in="), "other users read the arguments of every process: {file}");
    let file = Path::new(file.trim());
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    let html = fs::read_to_string(file).unwrap();
    let printed = process.stdout();
    let printed = printed.lines().find_map(|line| line.trim().strip_prefix("open ")).unwrap().trim();
    let in_file = html.split_once("url=").unwrap().1.split('"').next().unwrap();

    let another = run(&["sign-in-link"], &data).await;
    let rest = Rest::new(printed.split_once("/#").unwrap().0, None);
    let alice = serde_json::json!({"person": "alice"});
    assert_eq!(rest.post("/local/sign-in", &alice).await.status, 401);
    for link in [printed, in_file, another.trim()] {
        let code = serde_json::json!({"code": link.split_once("#sign-in=").unwrap().1});
        let exchanged = rest.post("/local/browser-key", &code).await;
        assert_eq!(exchanged.status, 200, "{link}");
        let key = exchanged.json::<serde_json::Value>()["key"].as_str().unwrap().to_owned();
        let sign_in = rest.request(reqwest::Method::POST, "/local/sign-in").header("sluice-browser-key", key);
        assert_eq!(rest.send(sign_in.json(&alice)).await.status, 200);
        assert_eq!(rest.post("/local/browser-key", &code).await.status, 401);
    }
    let database = data.join("sluice.db");
    assert_eq!(fs::metadata(database).unwrap().permissions().mode() & 0o777, 0o600);
    process.terminate();
    assert_eq!(process.ended().await.code(), Some(0), "{}", process.stderr());
}

#[tokio::test]
async fn every_failure_is_one_line() {
    let (dir, data) = data_dir();
    let one_line = |(code, text): (Option<i32>, String), wanted: i32, part: &str| {
        assert_eq!((code, text.lines().count()), (Some(wanted), 1), "{text}");
        assert!(text.starts_with("sluice: ") && text.contains(part), "{text}");
    };
    one_line(refused(&["token", "--sub", "a", "--tenant", "b"], &data).await, 2, "sluice up");
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = holder.local_addr().unwrap().port().to_string();
    one_line(refused(&["up", "--port", &port], &data).await, 1, "is taken");

    let mut old = sluice(&["up", "--port", "0"], &data).env("SLUICE_NATS_SERVER", "/nonexistent").run().await;
    one_line((old.ended().await.code(), old.stderr()), 1, "nats-server");

    let database = format!("sqlite://{}?mode=rwc", dir.path().join("empty.db").display());
    let alone = Launch::sluice(["notifier"]).env("SLUICE_DATABASE__URL", database).env("SLUICE_LOG__FILTER", "error");
    let mut alone = alone.run().await;
    one_line((alone.ended().await.code(), alone.stderr()), 1, "sluice migrate");
    let mut typo = Launch::sluice(["config"]).env("SLUICE_GATEWAY__LISTN", "x").run().await;
    one_line((typo.ended().await.code(), typo.stderr()), 2, "listn");
}
