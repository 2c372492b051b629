//! The `sluice` binary as a user runs it: `sluice up` on a data folder, the lines that it prints, and other commands.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use e2e::{
    csv,
    fleet::{CATALOG, link},
    flights,
};
use protocol::{
    catalog::DatasetList,
    credits::CreditsView,
    export::{Export, ExportRequest, Status},
};
use reqwest::StatusCode;
use serde_json::Value;
use tempfile::TempDir;
use testkit::{
    DEADLINE, demo, eventually,
    fault::{Launch, Process, Proxy, free_port},
    rest::Rest,
};
use tokio::{process::Command, time::timeout};

const MIB: u64 = 1024 * 1024;
const FROM_SEATTLE: &str = r#"{"origin":{"eq":"SEA"}}"#;
/// The log filter of `up`, without the warnings of a slow machine.
const LOG: &str = "warn,sqlx=error,notifier::lease=error,exporter::worker::attempt::lease=error";
const ALICE: [&str; 4] = ["--sub", "alice", "--tenant", "acme"];

/// A working folder with a data folder, whose name needs quoting in a shell.
struct WorkDir {
    dir: TempDir,
    data: PathBuf,
}

/// A running `sluice up`.
struct Up {
    process: Process,
    url: String,
}

impl WorkDir {
    async fn new() -> Self {
        let dir = tempfile::tempdir().expect("the folder for temporary files is writable");
        let data = dir.path().join("Ann's data");
        let datasets = data.join("datasets");
        fs::create_dir_all(&datasets).expect("a new folder is writable");
        link(&flights(), &datasets.join("flights.parquet"));
        demo::seed(&datasets).await;
        Self { dir, data }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn launch(&self, args: &[&str]) -> Launch {
        let data_dir = ["--data-dir".as_ref(), self.data.as_os_str()];
        let launch = Launch::sluice(args.iter().map(AsRef::as_ref).chain(data_dir)).current_dir(self.dir.path());
        // Balances must not change when a test runs over midnight.
        launch.env("SLUICE_CREDITS__DAILY_GRANT", "0")
    }

    async fn up(&self) -> Up {
        self.up_with(|launch| launch).await
    }

    /// Starts `sluice up` and waits until it has printed its lines.
    async fn up_with(&self, prepare: impl FnOnce(Launch) -> Launch) -> Up {
        let port = free_port().to_string();
        let catalog = self.data.join("datasets").join(CATALOG).display().to_string();
        let launch = self.launch(&["up", "--port", &port, "--catalog", &catalog]).env("SLUICE_LOG__FILTER", LOG);
        let mut process = prepare(launch).spawn();
        let url = format!("http://127.0.0.1:{port}");
        process.ready(&format!("{url}/healthz")).await;
        eventually("the block is printed", async || process.stdout().contains("Ctrl-C").then_some(())).await;
        Up { process, url }
    }

    /// Runs a command that must succeed.
    async fn run(&self, args: &[&str]) -> Process {
        let mut process = self.launch(args).run().await;
        let status = process.ended().await;
        assert!(status.success(), "{args:?}: {status}\n{}", process.stderr());
        process
    }

    /// Runs a command that must fail with this exit code and one line on stderr. Returns the line.
    async fn refused(&self, args: &[&str], code: i32) -> String {
        one_line(&mut self.launch(args).run().await, code).await
    }

    /// A REST client of alice, with a token of the local identity.
    async fn rest(&self, url: &str) -> Rest {
        let token = self.run(&[&["token"], &ALICE[..]].concat()).await.stdout();
        Rest::new(url, Some(token.trim()))
    }

    /// The names in the working folder, without the data folder.
    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.path()).expect("a readable folder");
        let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a plain name"));
        let mut names: Vec<_> = names.filter(|name| name != "Ann's data").collect();
        names.sort();
        names
    }

    /// The command lines of all processes on the data folder.
    fn processes(&self) -> Vec<String> {
        let entries = fs::read_dir("/proc").expect("Linux lists its processes").flatten();
        // A process that ends meanwhile has no command line.
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
    assert_eq!(process.stdout(), "", "a failed command prints nothing on stdout");
    text
}

/// Runs a printed line in a shell without the environment of the test.
async fn sh(line: &str, dir: &Path) -> Output {
    let mut command = Command::new("sh");
    command.arg("-c").arg(line).current_dir(dir).env_clear().stdin(Stdio::null()).kill_on_drop(true);
    command.env("PATH", std::env::var_os("PATH").expect("a PATH"));
    let output = timeout(DEADLINE, command.output()).await.expect("the line ends in time").expect("a shell");
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

fn assert_file_matches(file: &Path, export: &Export) {
    let bytes = fs::read(file).expect("the file exists");
    let info = export.file.as_ref().expect("a completed export has a file");
    assert_eq!((bytes.len() as u64, testkit::sha256(&bytes)), (info.size, info.sha256.clone()));
}

#[tokio::test]
async fn slow_every_printed_command_line_works() {
    let work_dir = WorkDir::new().await;
    let up = work_dir.up().await;
    let block = up.process.stdout();
    assert_eq!((block.matches("Sluice is ready").count(), block.matches(&up.url).count()), (1, 2), "{block}");
    assert_eq!(up.process.stderr(), "", "a start logs nothing");
    assert_eq!(printed(&block, "API "), up.url);

    sh(&printed(&block, "export "), work_dir.dir.path()).await;
    let file = fs::read(work_dir.path("sea.csv")).expect("the command writes the file");
    let table = csv::parse(&file);
    let origin = table.header.split(',').position(|name| name == "origin").expect("a column");
    assert!(table.row_count > 10_000 && table.rows.len() == table.row_count);
    assert!(table.rows.iter().all(|row| row.split(',').nth(origin) == Some("SEA")));

    let line = printed(&block, "REST ");
    let curl = std::env::split_paths(&std::env::var_os("PATH").expect("a PATH")).any(|dir| dir.join("curl").is_file());
    let answer = if curl {
        sh(&line, work_dir.dir.path()).await.stdout
    } else {
        // Without curl: the shell expands the header, and the test sends the request.
        let header = sh(&line.replacen("curl -H", "printf '%s\\n'", 1), work_dir.dir.path()).await.stdout;
        let header = String::from_utf8(header).expect("a header is text");
        let (header, url) = header.trim().split_once('\n').expect("a header and a URL");
        let token = header.strip_prefix("Authorization: Bearer ").expect("a bearer token");
        Rest::new(url, Some(token)).get("").await.body.to_vec()
    };
    let datasets: DatasetList = serde_json::from_slice(&answer).expect("the datasets");
    assert!(datasets.items.iter().any(|dataset| dataset.name == "flights"));
}

#[tokio::test]
async fn an_export_writes_a_complete_file_or_one_line_with_the_cause() {
    let work_dir = WorkDir::new().await;
    let up = work_dir.up().await;

    let to_file = ["export", "flights", "--filter", FROM_SEATTLE, "-o", "sea.csv", "--json"];
    let export: Export = serde_json::from_str(&work_dir.run(&to_file).await.stdout()).expect("only the export as JSON");
    assert_eq!(export.status, Status::Completed);
    assert_file_matches(&work_dir.path("sea.csv"), &export);
    assert_eq!(work_dir.files(), ["sea.csv"], "no temporary file remains");

    let piped = work_dir.run(&["export", "menus", "-o", "-", "--json"]).await;
    let export: Export =
        serde_json::from_str(&piped.stderr()).expect("the export as JSON, because stdout has the file");
    let bytes = piped.stdout().into_bytes();
    assert_eq!(export.file.expect("a file").sha256, testkit::sha256(&bytes));
    assert_eq!(csv::parse(&bytes).row_count, 6);
    assert_eq!(work_dir.files(), ["sea.csv"]);

    let line = work_dir.refused(&["export", "flihgts", "-o", "x.csv"], 1).await;
    assert!(line.contains("flihgts"), "{line}");
    let line =
        work_dir.refused(&["export", "flights", "--filter", r#"{"orign":{"eq":"SEA"}}"#, "-o", "x.csv"], 1).await;
    assert!(line.contains("orign") && line.contains("origin"), "{line}");
    let line = work_dir.refused(&["export", "menus", "-o", "no/such/folder/x.csv"], 1).await;
    assert!(line.contains("no/such/folder"), "{line}");
    let line = work_dir.refused(&["export", "menus", "--url", &format!("http://127.0.0.1:{}", free_port())], 1).await;
    assert!(line.contains("can't reach"), "{line}");
    let line = work_dir.refused(&["export", "menus", "-o", "x.csv", "--token", "nonsense"], 1).await;
    assert!(line.contains("401"), "{line}");
    assert_eq!(work_dir.files(), ["sea.csv"], "a failed command leaves no file");

    // Failed commands cost nothing. An export without credits fails with its cause.
    for _ in 0..3 {
        work_dir.run(&["export", "menus", "-o", "menus.csv"]).await;
    }
    let line = work_dir.refused(&["export", "menus", "-o", "x.csv"], 1).await;
    assert!(line.to_lowercase().contains("credit"), "{line}");
    drop(up);
}

#[tokio::test]
async fn slow_an_export_over_a_connection_that_breaks_twice_is_complete() {
    let work_dir = WorkDir::new().await;
    let up = work_dir.up().await;
    // Each of two proxies in a row cuts the connection once.
    let inner = Proxy::start(up.url.trim_start_matches("http://")).await;
    let proxy = Proxy::start(&inner.address().to_string()).await;
    inner.cut_after(20 * MIB);
    proxy.cut_after(50 * MIB);
    let file = work_dir.path("all.csv");
    let args = ["export", "flights", "--json", "-o", "all.csv", "--url", &proxy.url()];
    let export = work_dir.run(&args).await;
    assert!(proxy.connections() >= 3, "{} connections", proxy.connections());

    let export: Export = serde_json::from_str(&export.stdout()).expect("the export");
    assert_eq!(export.file.as_ref().map(|file| file.rows), Some(3_000_000));
    assert_file_matches(&file, &export);
    assert_eq!(work_dir.files(), ["all.csv"]);
    // The client resumes at its offset, so that each byte passes about once.
    let size = export.file.expect("a file").size;
    assert!(proxy.bytes_passed() < size + 20 * MIB, "{} bytes passed for {size}", proxy.bytes_passed());
}

#[tokio::test]
async fn ctrl_c_cancels_an_export_and_releases_its_credit() {
    let work_dir = WorkDir::new().await;
    // The highest compression level: the export runs far longer than the test needs to interrupt it.
    let up = work_dir.up_with(|launch| launch.env("SLUICE_EXPORTER__ZSTD_LEVEL", "19")).await;
    let mut export = work_dir.launch(&["export", "flights", "--compression", "zstd", "-o", "all.csv.zst"]).spawn();
    let part = work_dir.path("all.csv.zst.part");
    eventually("the first bytes arrive", async || fs::metadata(&part).ok().filter(|part| part.len() > 0)).await;
    export.interrupt();
    let line = one_line(&mut export, 130).await;
    assert!(line.contains("canceled"), "{line}");
    assert_eq!(work_dir.files(), [""; 0]);
    let rest = work_dir.rest(&up.url).await;
    eventually("the credit is released", async || {
        let credits: CreditsView = rest.get("/v1/credits").await.json();
        (credits.balance == 5 && credits.held == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_commands_token_credits_and_config_work_and_hide_secrets() {
    let work_dir = WorkDir::new().await;
    let up = work_dir.up().await;
    let token =
        work_dir.run(&[&["token", "--scope", "export:menus", "--ttl", "90s"], &ALICE[..]].concat()).await.stdout();
    assert_eq!((token.lines().count(), token.trim().split('.').count()), (1, 3), "{token}");
    let rest = Rest::new(&up.url, Some(token.trim()));
    assert_eq!(rest.post("/v1/exports", &all_flights()).await.status, StatusCode::FORBIDDEN);

    let args = [&["credits", "grant", "--amount", "7", "--reason", "sorry", "--json"], &ALICE[..]].concat();
    let granted: Value = serde_json::from_str(&work_dir.run(&args).await.stdout()).expect("JSON");
    assert_eq!((&granted["balance"], &granted["entries"][0]["reason"]), (&12.into(), &"sorry".into()));
    let args = [&["credits", "show", "--json"], &ALICE[..]].concat();
    let shown: Value = serde_json::from_str(&work_dir.run(&args).await.stdout()).expect("JSON");
    assert_eq!((&shown["balance"], &shown["held"]), (&12.into(), &0.into()));
    assert_eq!(rest.get("/v1/credits").await.json::<CreditsView>().balance, 12);

    let secrets = fs::read_dir(work_dir.data.join("secrets")).expect("a folder");
    let secrets: Vec<_> = secrets.map(|file| fs::read_to_string(file.expect("a file").path()).expect("text")).collect();
    assert!(secrets.len() >= 2);
    for args in [&["config"][..], &["config", "--json"]] {
        // A secret of digits is hidden too.
        let mut process = work_dir.launch(args).env("SLUICE_STORE__S3_SECRET_ACCESS_KEY", "0123456789").run().await;
        assert!(process.ended().await.success(), "{}", process.stderr());
        let text = process.stdout();
        assert!(text.contains("127.0.0.1") && text.contains("Ann's data"), "{text}");
        assert!(secrets.iter().all(|secret| !text.contains(secret.trim())) && !text.contains("0123456789"), "{text}");
    }

    fs::write(work_dir.path("typo.toml"), "[gateway]\nlistn = \"x\"\n").expect("a file");
    for command in ["config", "up", "gateway", "export"] {
        let args = [&[command][..], if command == "export" { &["menus"] } else { &[] }].concat();
        let typo = Launch::sluice(args.iter().chain(&["--config", "typo.toml"])).current_dir(work_dir.dir.path());
        let line = one_line(&mut typo.run().await, 2).await;
        assert!(line.contains("listn") && line.contains("typo.toml"), "{line}");
    }
}

#[tokio::test]
async fn a_second_up_and_a_port_in_use_are_refused_and_change_nothing() {
    let work_dir = WorkDir::new().await;
    let up = work_dir.up().await;
    let line = work_dir.refused(&["up", "--port", &free_port().to_string()], 1).await;
    assert!(line.contains("another `sluice up`") && line.contains("Ann's data"), "{line}");

    let other = WorkDir::new().await;
    let port = up.url.rsplit(':').next().expect("a port");
    let line = other.refused(&["up", "--port", port], 1).await;
    assert!(line.contains(port) && line.contains("--port"), "{line}");
    assert_eq!(other.processes(), [""; 0]);
    work_dir.run(&["export", "menus", "-o", "menus.csv"]).await;
}

#[tokio::test]
async fn slow_ctrl_c_ends_every_process_and_the_next_up_has_all_exports() {
    let work_dir = WorkDir::new().await;
    let mut up = work_dir.up().await;
    let rest = work_dir.rest(&up.url).await;
    let done = rest.ended(rest.create(&all_flights()).await.id).await;
    work_dir.run(&[&["credits", "grant", "--amount", "3"], &ALICE[..]].concat()).await;
    // Ctrl-C comes while this export runs.
    let running = rest.create(&all_flights()).await;
    eventually("the export runs", async || (rest.export(running.id).await.status == Status::Running).then_some(()))
        .await;
    assert_eq!(work_dir.processes().len(), 2, "sluice and nats-server: {:?}", work_dir.processes());

    up.process.interrupt();
    let status = up.process.ended().await;
    assert_eq!((status.code(), up.process.stderr().as_str()), (Some(0), ""));
    assert_eq!(work_dir.processes(), [""; 0]);

    let up = work_dir.up().await;
    let rest = work_dir.rest(&up.url).await;
    assert_eq!(rest.export(done.id).await, done);
    assert_eq!(testkit::sha256(&rest.get(&done.links.file).await.body), done.file.expect("a file").sha256);
    assert_eq!(rest.ended(running.id).await.status, Status::Completed);
    let credits: CreditsView = rest.get("/v1/credits").await.json();
    assert_eq!((credits.balance, credits.held), (5 + 3 - 2, 0));
}

#[tokio::test]
async fn slow_the_next_up_after_a_kill_finishes_all_exports() {
    let work_dir = WorkDir::new().await;
    // Without setpriv on the PATH, nats-server survives the kill of sluice.
    let mut up = work_dir.up_with(|launch| launch.env("PATH", "/nonexistent")).await;
    let rest = work_dir.rest(&up.url).await;
    // A different request, because an identical one would be joined.
    let columns = Some(["date", "origin"].map(str::to_owned).to_vec());
    let other = ExportRequest { columns, ..all_flights() };
    let (one, two) = (rest.create(&all_flights()).await.id, rest.create(&other).await.id);
    eventually("the first export runs", async || (rest.export(one).await.status == Status::Running).then_some(()))
        .await;
    up.process.kill();
    let left = work_dir.processes();
    assert!(left.len() == 1 && left[0].contains("nats-server"), "{left:?}");

    let mut up = work_dir.up().await;
    let running = work_dir.processes();
    assert_eq!(running.len(), 2, "the old nats-server has ended: {running:?}");
    let rest = work_dir.rest(&up.url).await;
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
    assert_eq!(work_dir.processes(), [""; 0]);
}
