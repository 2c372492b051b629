//! `sluice up` on a small disk that is full for a while: database, file store, NATS and temporary files at once. Every
//! accepted export ends with its file, and no operator does anything.
//!
//! The disk is a new file system in a new mount namespace.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
};

use e2e::{fleet::CATALOG, fleet::link, flights};
use protocol::export::{Export, ExportRequest, Status, WaitingFor};
use reqwest::StatusCode;
use serde_json::json;
use testkit::{
    demo, eventually,
    fault::{Launch, Process, free_port},
    rest::Rest,
    small_disk::permits_mounts,
};

/// The size of the disk in MiB: enough for some files of the test, and for the streams of NATS.
const DISK_MIB: u64 = 96;
/// The airports whose flights the test exports. Each file has 1 to 3 MiB.
const ORIGINS: [&str; 4] = ["SEA", "SFO", "BOS", "LAS"];

/// A running `sluice up` whose data is on a small disk.
struct Up {
    process: Process,
    url: String,
    data: PathBuf,
    _dir: tempfile::TempDir,
}

impl Up {
    async fn start() -> Self {
        let dir = tempfile::tempdir().expect("the folder for temporary files is writable");
        let (data, datasets) = (dir.path().join("data"), dir.path().join("datasets"));
        for folder in [&data, &datasets] {
            std::fs::create_dir(folder).expect("a new folder is writable");
        }
        link(&flights(), &datasets.join("flights.parquet"));
        demo::seed(&datasets).await;
        let (port, catalog) = (free_port().to_string(), datasets.join(CATALOG).display().to_string());
        let folder = data.display().to_string();
        let process = Launch::sluice(["up", "--port", &port, "--catalog", &catalog, "--data-dir", &folder])
            .env("SLUICE_CREDITS__DAILY_GRANT", "0")
            .env("SLUICE_CREDITS__INITIAL_BALANCE", "100")
            .env("SLUICE_EXPORTER__DATASETS_DIR", &datasets)
            .env("SLUICE_EXPORTER__SPOOL_DIR", &data)
            // NATS stores heartbeats, so that its disk is full too
            .env("SLUICE_EXPORTER__ADVERTISE_INTERVAL", "1s")
            // small segments, so that many writes meet the full disk
            .env("SLUICE_EXPORTER__SEGMENT_SIZE", "128 KiB")
            .after_script(&format!("mount -t tmpfs -o size={DISK_MIB}m none '{folder}'"))
            .wrapped_by("unshare", &["-rm"])
            .spawn();
        let mut up = Self { process, url: format!("http://127.0.0.1:{port}"), data, _dir: dir };
        up.process.ready(&format!("{}/readyz", up.url)).await;
        up
    }

    /// The data folder as the processes see it, in their own mount namespace.
    fn seen(&self) -> PathBuf {
        Path::new(&format!("/proc/{}/root{}", self.process.pid(), self.data.display())).to_owned()
    }

    async fn rest(&self) -> Rest {
        let seen = self.seen().display().to_string();
        let args = ["token", "--sub", "alice", "--tenant", "acme", "--data-dir", &seen];
        let mut token = Launch::sluice(args).run().await;
        assert!(token.ended().await.success(), "{}", token.stderr());
        Rest::new(&self.url, Some(token.stdout().trim()))
    }

    /// Fills the disk until it has no free byte.
    fn fill(&self) -> Filler {
        let path = self.seen().join("filler");
        let mut file = File::create(&path).expect("the folder is writable");
        for size in [1 << 16, 1 << 12, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
        Filler(path)
    }
}

/// The file that fills the disk. Dropping the value deletes the file.
struct Filler(PathBuf);

impl Drop for Filler {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).expect("the file can be deleted");
    }
}

fn request(origin: &str, format: &str) -> ExportRequest {
    let body = json!({"dataset": "flights", "format": format, "filter": {"origin": {"eq": origin}}});
    serde_json::from_value(body).expect("a request")
}

#[tokio::test]
async fn slow_everything_continues_when_a_full_disk_has_space_again() {
    if !permits_mounts() {
        return;
    }
    let up = Up::start().await;
    let rest = up.rest().await;
    let mut accepted = Vec::new();
    for origin in ORIGINS {
        accepted.push(rest.create(&request(origin, "csv")).await.id);
    }
    let filler = up.fill();
    // more requests while the disk is full: each is accepted, or refused as unavailable
    for origin in ORIGINS {
        let answer = rest.post("/v1/exports", &request(origin, "ndjson")).await;
        match answer.status {
            StatusCode::ACCEPTED => accepted.push(answer.json::<Export>().id),
            status => assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{}\n{}", answer.text(), up.process.stderr()),
        }
    }
    eventually("an export waits, or the database is full", async || {
        let log = up.process.stderr();
        let waits = async |id| {
            let answer = rest.get(&format!("/v1/exports/{id}")).await;
            let export = answer.status.is_success().then(|| answer.json::<Export>());
            export.is_some_and(|export| export.progress.waiting_for == Some(WaitingFor::Storage))
        };
        for id in &accepted {
            if waits(*id).await {
                return Some(());
            }
        }
        log.contains("an export waits for an outage to end").then_some(())
    })
    .await;
    drop(filler);

    // an export that was accepted is found and completes; so does a new one
    accepted.push(
        eventually("a new export is accepted", async || {
            let answer = rest.post("/v1/exports", &request("ATL", "csv")).await;
            (answer.status == StatusCode::ACCEPTED).then(|| answer.json::<Export>().id)
        })
        .await,
    );
    for id in accepted {
        let path = format!("/v1/exports/{id}");
        let done = eventually("an accepted export ends", async || {
            let answer = rest.get(&path).await;
            assert_ne!(answer.status, StatusCode::NOT_FOUND, "{id}: {}", answer.text());
            let export = answer.status.is_success().then(|| answer.json::<Export>())?;
            (!export.status.is_unfinished()).then_some(export)
        })
        .await;
        assert_eq!(done.status, Status::Completed, "{:?}\n{}", done.problem, up.process.stderr());
        let file = rest.get(&done.links.file).await;
        assert_eq!(Some(testkit::sha256(&file.body)), done.file.map(|file| file.sha256));
    }
    eventually("everything is ready again", async || rest.get("/readyz").await.status.is_success().then_some(())).await;
}
