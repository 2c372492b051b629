//! The binary as a person has it: `sluice up` on a data folder, the lines that it prints, and the commands around it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use e2e::{csv, fleet::link, flights};
use protocol::{
    catalog::DatasetList,
    credits::CreditsView,
    export::{Export, ExportRequest, Status},
};
use reqwest::StatusCode;
use serde_json::Value;
use tempfile::TempDir;
use testkit::{
    DEADLINE, eventually,
    fault::{Launch, Process, Proxy, free_port},
    rest::Rest,
};
use tokio::{process::Command, time::timeout};

const MIB: u64 = 1024 * 1024;
const FROM_SEATTLE: &str = r#"{"origin":{"eq":"SEA"}}"#;
/// What `up` logs by itself, but for what it says of a machine that is slow.
const LOG: &str = "warn,sqlx=error,notifier::lease=error,exporter::worker::attempt::lease=error";
const ALICE: [&str; 4] = ["--sub", "alice", "--tenant", "acme"];

/// A person's folder, with a data folder in it whose name a shell has to be told with care.
struct Home {
    dir: TempDir,
    data: PathBuf,
}

/// A running `sluice up`.
struct Up {
    process: Process,
    url: String,
}

impl Home {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("the folder for temporary files is writable");
        let data = dir.path().join("Ann's data");
        fs::create_dir_all(data.join("datasets")).expect("a new folder is writable");
        link(&flights(), &data.join("datasets/flights.parquet"));
        Self { dir, data }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn launch(&self, args: &[&str]) -> Launch {
        let place = ["--data-dir".as_ref(), self.data.as_os_str()];
        let launch = Launch::sluice(args.iter().map(AsRef::as_ref).chain(place)).current_dir(self.dir.path());
        // what a test counts is the same when it runs over midnight
        launch.env("SLUICE_CREDITS__NIGHTLY", "0")
    }

    async fn up(&self) -> Up {
        self.up_with(|launch| launch).await
    }

    /// Starts it and waits until it says that it is ready.
    async fn up_with(&self, prepare: impl FnOnce(Launch) -> Launch) -> Up {
        let port = free_port().to_string();
        let launch = self.launch(&["up", "--port", &port]).env("SLUICE_LOG__FILTER", LOG);
        let mut process = prepare(launch).spawn();
        let url = format!("http://127.0.0.1:{port}");
        process.ready(&format!("{url}/healthz")).await;
        eventually("the block is printed", async || process.stdout().contains("Ctrl-C").then_some(())).await;
        Up { process, url }
    }

    /// Runs a command that should work.
    async fn run(&self, args: &[&str]) -> Process {
        let mut process = self.launch(args).run().await;
        let status = process.ended().await;
        assert!(status.success(), "{args:?}: {status}\n{}", process.stderr());
        process
    }

    /// Runs a command that can't work: it ends with this code and says why in one line.
    async fn refused(&self, args: &[&str], code: i32) -> String {
        one_line(&mut self.launch(args).run().await, code).await
    }

    /// As alice, with a token of the local identity.
    async fn rest(&self, url: &str) -> Rest {
        let token = self.run(&[&["token"], &ALICE[..]].concat()).await.stdout();
        Rest::new(url, Some(token.trim()))
    }

    /// What else is in the folder, besides the data.
    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.path()).expect("a readable folder");
        let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a plain name"));
        let mut names: Vec<_> = names.filter(|name| name != "Ann's data").collect();
        names.sort();
        names
    }

    /// The processes that were started on the data folder.
    fn processes(&self) -> Vec<String> {
        let entries = fs::read_dir("/proc").expect("Linux lists its processes").flatten();
        // one that ends meanwhile has no arguments any more
        let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
        let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
        let folder = self.data.display().to_string();
        lines.filter(|line| line.contains(&folder)).collect()
    }
}

async fn one_line(process: &mut Process, code: i32) -> String {
    let (status, text) = (process.ended().await, process.stderr());
    assert_eq!((status.code(), text.lines().count()), (Some(code), 1), "{text}");
    assert!(text.starts_with("sluice: "), "{text}");
    assert_eq!(process.stdout(), "", "a refusal is no result");
    text
}

/// Runs a line as it was printed, in a shell that knows nothing of these tests.
async fn sh(line: &str, dir: &Path) -> Output {
    let mut command = Command::new("sh");
    command.arg("-c").arg(line).current_dir(dir).env_clear().stdin(Stdio::null()).kill_on_drop(true);
    command.env("PATH", std::env::var_os("PATH").expect("a PATH"));
    let output = timeout(DEADLINE, command.output()).await.expect("the line ends in time").expect("there is a shell");
    assert!(output.status.success(), "{line}\n{}", String::from_utf8_lossy(&output.stderr));
    output
}

fn printed(block: &str, name: &str) -> String {
    let line = block.lines().find_map(|line| line.trim_start().strip_prefix(name));
    line.unwrap_or_else(|| panic!("no `{name}` in\n{block}")).trim().to_owned()
}

fn all_flights() -> ExportRequest {
    ExportRequest { dataset: "flights".into(), ..ExportRequest::default() }
}

fn has_sha256(file: &Path, export: &Export) {
    let bytes = fs::read(file).expect("the file is there");
    let info = export.file.as_ref().expect("a completed export has a file");
    assert_eq!((bytes.len() as u64, testkit::sha256(&bytes)), (info.size, info.sha256.clone()));
}

#[tokio::test]
async fn the_printed_lines_work_as_printed() {
    let home = Home::new();
    let up = home.up().await;
    let block = up.process.stdout();
    assert_eq!((block.matches("Sluice is ready").count(), block.matches(&up.url).count()), (1, 2), "{block}");
    assert_eq!(up.process.stderr(), "", "nothing but the block is to be read");
    assert_eq!(printed(&block, "open "), up.url);

    sh(&printed(&block, "export "), home.dir.path()).await;
    let file = fs::read(home.path("sea.csv")).expect("the line writes it");
    let table = csv::parse(&file);
    let origin = table.header.split(',').position(|name| name == "origin").expect("a column");
    assert!(table.row_count > 10_000 && table.rows.len() == table.row_count);
    assert!(table.rows.iter().all(|row| row.split(',').nth(origin) == Some("SEA")));

    let line = printed(&block, "REST ");
    let curl = std::env::split_paths(&std::env::var_os("PATH").expect("a PATH")).any(|dir| dir.join("curl").is_file());
    let answer = if curl {
        sh(&line, home.dir.path()).await.stdout
    } else {
        // the same without curl: the header as the shell makes it, and the URL
        let header = sh(&line.replacen("curl -H", "printf '%s\\n'", 1), home.dir.path()).await.stdout;
        let header = String::from_utf8(header).expect("a header is text");
        let (header, url) = header.trim().split_once('\n').expect("a header and a URL");
        let token = header.strip_prefix("Authorization: Bearer ").expect("a bearer token");
        Rest::new(url, Some(token)).get("").await.body.to_vec()
    };
    let datasets: DatasetList = serde_json::from_slice(&answer).expect("the datasets");
    assert!(datasets.items.iter().any(|dataset| dataset.name == "flights"));
}

#[tokio::test]
async fn an_export_is_one_whole_file_or_one_line_that_says_why_not() {
    let home = Home::new();
    let up = home.up().await;

    let to_file = ["export", "flights", "--filter", FROM_SEATTLE, "-o", "sea.csv", "--json"];
    let export: Export = serde_json::from_str(&home.run(&to_file).await.stdout()).expect("the export alone");
    assert_eq!(export.status, Status::Completed);
    has_sha256(&home.path("sea.csv"), &export);
    assert_eq!(home.files(), ["sea.csv"], "nothing is left beside it");

    let piped = home.run(&["export", "menus", "-o", "-", "--json"]).await;
    let told = piped.stderr();
    let export: Export = serde_json::from_str(&told).expect("standard output is for the bytes alone");
    let bytes = piped.stdout().into_bytes();
    assert_eq!(export.file.expect("a file").sha256, testkit::sha256(&bytes));
    assert_eq!(csv::parse(&bytes).row_count, 6);
    assert_eq!(home.files(), ["sea.csv"]);

    let line = home.refused(&["export", "flihgts", "-o", "x.csv"], 1).await;
    assert!(line.contains("flihgts"), "{line}");
    let line = home.refused(&["export", "flights", "--filter", r#"{"orign":{"eq":"SEA"}}"#, "-o", "x.csv"], 1).await;
    assert!(line.contains("orign") && line.contains("origin"), "{line}");
    let line = home.refused(&["export", "menus", "-o", "no/such/folder/x.csv"], 1).await;
    assert!(line.contains("no/such/folder"), "{line}");
    let line = home.refused(&["export", "menus", "--url", &format!("http://127.0.0.1:{}", free_port())], 1).await;
    assert!(line.contains("can't reach"), "{line}");
    let line = home.refused(&["export", "menus", "-o", "x.csv", "--token", "nonsense"], 1).await;
    assert!(line.contains("401"), "{line}");
    assert_eq!(home.files(), ["sea.csv"], "what was refused left nothing");

    // what was refused cost nothing, and the end of the credits is told too
    for _ in 0..3 {
        home.run(&["export", "menus", "-o", "menus.csv"]).await;
    }
    let line = home.refused(&["export", "menus", "-o", "x.csv"], 1).await;
    assert!(line.to_lowercase().contains("credit"), "{line}");
    drop(up);
}

#[tokio::test]
async fn an_export_through_a_connection_that_is_cut_twice_is_whole() {
    let home = Home::new();
    let up = home.up().await;
    // each cuts once, one after the other
    let inner = Proxy::start(up.url.trim_start_matches("http://")).await;
    let proxy = Proxy::start(&inner.address().to_string()).await;
    inner.cut_after(20 * MIB);
    proxy.cut_after(50 * MIB);
    let file = home.path("all.csv");
    let args = ["export", "flights", "--json", "-o", "all.csv", "--url", &proxy.url()];
    let export = home.run(&args).await;
    assert!(proxy.connections() >= 3, "{} connections", proxy.connections());

    let export: Export = serde_json::from_str(&export.stdout()).expect("the export");
    assert_eq!(export.file.as_ref().map(|file| file.rows), Some(3_000_000));
    has_sha256(&file, &export);
    assert_eq!(home.files(), ["all.csv"]);
    // every byte came about once: it went on where it was cut
    let size = export.file.expect("a file").size;
    assert!(proxy.bytes_passed() < size + 20 * MIB, "{} bytes passed for {size}", proxy.bytes_passed());
}

#[tokio::test]
async fn ctrl_c_cancels_an_export_and_gives_its_credit_back() {
    let home = Home::new();
    // packed so well that it takes far longer than anybody needs to stop it
    let up = home.up_with(|launch| launch.env("SLUICE_EXPORTER__ZSTD_LEVEL", "19")).await;
    let mut export = home.launch(&["export", "flights", "--compression", "zstd", "-o", "all.csv.zst"]).spawn();
    let part = home.path("all.csv.zst.part");
    eventually("bytes come", async || fs::metadata(&part).ok().filter(|part| part.len() > 0)).await;
    export.interrupt();
    let line = one_line(&mut export, 130).await;
    assert!(line.contains("canceled"), "{line}");
    assert_eq!(home.files(), [""; 0]);
    let rest = home.rest(&up.url).await;
    eventually("the credit is back", async || {
        let credits: CreditsView = rest.get("/v1/credits").await.json();
        (credits.balance == 5 && credits.held == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn tokens_credits_and_settings_can_be_had_by_hand() {
    let home = Home::new();
    let up = home.up().await;
    let token = home.run(&[&["token", "--scope", "export:menus", "--ttl", "90s"], &ALICE[..]].concat()).await.stdout();
    assert_eq!((token.lines().count(), token.trim().split('.').count()), (1, 3), "{token}");
    let rest = Rest::new(&up.url, Some(token.trim()));
    assert_eq!(rest.post("/v1/exports", &all_flights()).await.status, StatusCode::FORBIDDEN);

    let args = [&["credits", "grant", "--amount", "7", "--reason", "sorry", "--json"], &ALICE[..]].concat();
    let granted: Value = serde_json::from_str(&home.run(&args).await.stdout()).expect("JSON");
    assert_eq!((&granted["balance"], &granted["entries"][0]["reason"]), (&12.into(), &"sorry".into()));
    let args = [&["credits", "show", "--json"], &ALICE[..]].concat();
    let shown: Value = serde_json::from_str(&home.run(&args).await.stdout()).expect("JSON");
    assert_eq!((&shown["balance"], &shown["held"]), (&12.into(), &0.into()));
    assert_eq!(rest.get("/v1/credits").await.json::<CreditsView>().balance, 12);

    let secrets = fs::read_dir(home.data.join("secrets")).expect("a folder");
    let secrets: Vec<_> = secrets.map(|file| fs::read_to_string(file.expect("a file").path()).expect("text")).collect();
    assert!(secrets.len() >= 2);
    for args in [&["config"][..], &["config", "--json"]] {
        // a password of digits is a text like any other, and hidden like any other
        let mut process = home.launch(args).env("SLUICE_STORE__S3_SECRET_ACCESS_KEY", "0123456789").run().await;
        assert!(process.ended().await.success(), "{}", process.stderr());
        let text = process.stdout();
        assert!(text.contains("127.0.0.1") && text.contains("Ann's data"), "{text}");
        assert!(secrets.iter().all(|secret| !text.contains(secret.trim())) && !text.contains("0123456789"), "{text}");
    }

    fs::write(home.path("typo.toml"), "[gateway]\nlistn = \"x\"\n").expect("a file");
    for command in ["config", "up", "gateway", "export"] {
        let args = [&[command][..], if command == "export" { &["menus"] } else { &[] }].concat();
        let typo = Launch::sluice(args.iter().chain(&["--config", "typo.toml"])).current_dir(home.dir.path());
        let line = one_line(&mut typo.run().await, 2).await;
        assert!(line.contains("listn") && line.contains("typo.toml"), "{line}");
    }
}

#[tokio::test]
async fn a_second_up_and_a_taken_port_are_refused_and_harm_nothing() {
    let home = Home::new();
    let up = home.up().await;
    let line = home.refused(&["up", "--port", &free_port().to_string()], 1).await;
    assert!(line.contains("another `sluice up`") && line.contains("Ann's data"), "{line}");

    let other = Home::new();
    let port = up.url.rsplit(':').next().expect("a port");
    let line = other.refused(&["up", "--port", port], 1).await;
    assert!(line.contains(port) && line.contains("--port"), "{line}");
    assert_eq!(other.processes(), [""; 0]);
    home.run(&["export", "menus", "-o", "menus.csv"]).await;
}

#[tokio::test]
async fn ctrl_c_leaves_no_process_and_the_next_up_has_everything() {
    let home = Home::new();
    let mut up = home.up().await;
    let rest = home.rest(&up.url).await;
    let done = rest.ended(rest.create(&all_flights()).await.id).await;
    home.run(&[&["credits", "grant", "--amount", "3"], &ALICE[..]].concat()).await;
    // it is in the middle of this one
    let begun = rest.create(&all_flights()).await;
    eventually("it runs", async || (rest.export(begun.id).await.status == Status::Running).then_some(())).await;
    assert_eq!(home.processes().len(), 2, "itself and its nats-server: {:?}", home.processes());

    up.process.interrupt();
    let status = up.process.ended().await;
    assert_eq!((status.code(), up.process.stderr().as_str()), (Some(0), ""));
    assert_eq!(home.processes(), [""; 0]);

    let up = home.up().await;
    let rest = home.rest(&up.url).await;
    assert_eq!(rest.export(done.id).await, done);
    assert_eq!(testkit::sha256(&rest.get(&done.links.file).await.body), done.file.expect("a file").sha256);
    assert_eq!(rest.ended(begun.id).await.status, Status::Completed);
    let credits: CreditsView = rest.get("/v1/credits").await.json();
    assert_eq!((credits.balance, credits.held), (5 + 3 - 2, 0));
}

#[tokio::test]
async fn after_a_kill_the_next_up_finishes_what_was_begun() {
    let home = Home::new();
    // without setpriv on its PATH nothing ends nats-server with it
    let mut up = home.up_with(|launch| launch.env("PATH", "/nonexistent")).await;
    let rest = home.rest(&up.url).await;
    // an identical one would be joined
    let columns = Some(["date", "origin"].map(str::to_owned).to_vec());
    let other = ExportRequest { columns, ..all_flights() };
    let (one, two) = (rest.create(&all_flights()).await.id, rest.create(&other).await.id);
    eventually("one runs", async || (rest.export(one).await.status == Status::Running).then_some(())).await;
    up.process.kill();
    let left = home.processes();
    assert!(left.len() == 1 && left[0].contains("nats-server"), "{left:?}");

    let mut up = home.up().await;
    let running = home.processes();
    assert_eq!(running.len(), 2, "the one that was left is gone: {running:?}");
    let rest = home.rest(&up.url).await;
    for id in [one, two] {
        let done = rest.ended(id).await;
        assert_eq!(done.status, Status::Completed, "{:?}\n{}", done.problem, up.process.stderr());
        let file = done.file.expect("a file");
        assert_eq!((file.rows, testkit::sha256(&rest.get(&done.links.file).await.body)), (3_000_000, file.sha256));
    }
    let credits: CreditsView = rest.get("/v1/credits").await.json();
    assert_eq!((credits.balance, credits.held), (5 - 2, 0));
    up.process.interrupt();
    assert_eq!(up.process.ended().await.code(), Some(0), "{}", up.process.stderr());
    assert_eq!(home.processes(), [""; 0]);
}
