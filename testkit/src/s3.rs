//! A real S3 server (SeaweedFS), shared by the tests of one process.

use std::{
    env, fs,
    path::PathBuf,
    process::Command,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU32, Ordering},
    },
};

use platform::{config::StoreConfig, secret::Secret, store::FileStore};
use tempfile::TempDir;
use uuid::Uuid;

use crate::{eventually, ports::reserve, watched::Watched};

const KEY: &str = "test-key";
const SECRET: &str = "test-secret-key";

/// The server of this process, as long as a test holds it.
static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());

/// Others may have one of the ports; then others are tried.
const TRIES: usize = 20;
/// Its four parts listen side by side, and for gRPC each this much higher.
const PARTS: [&str; 4] = ["master", "volume", "filer", "s3"];
const GRPC: u16 = 10_000;
/// Both rows of ports end below those that systems give to outgoing connections.
const LOWEST: u16 = 10_000;
const SPREAD: u16 = 12_000;
/// Where it puts some of its sockets, whatever it is told.
const SOCKETS: &str = "/tmp";

/// An S3 server. It ends with the last of these values and of their buckets.
#[derive(Clone)]
pub struct S3Server {
    server: Arc<Server>,
}

/// A bucket of one test's own.
pub struct Bucket {
    server: Arc<Server>,
    name: String,
}

struct Server {
    _watched: Watched,
    first_port: u16,
    buckets: AtomicU32,
    _dir: TempDir,
    _sockets: TempDir,
}

impl S3Server {
    /// Starts one, or joins the one that another test of this process started.
    ///
    /// # Panics
    /// When SeaweedFS isn't there, or does not start.
    pub async fn start() -> Self {
        let started = tokio::task::spawn_blocking(|| {
            let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
            shared.upgrade().unwrap_or_else(|| {
                let server = Arc::new(Server::start());
                *shared = Arc::downgrade(&server);
                server
            })
        });
        match started.await {
            Ok(server) => Self { server },
            Err(e) => std::panic::resume_unwind(e.into_panic()),
        }
    }

    /// A fresh bucket that takes objects.
    ///
    /// # Panics
    /// When it can't be made.
    pub async fn bucket(&self) -> Bucket {
        let name = format!("test-{}", self.server.buckets.fetch_add(1, Ordering::Relaxed));
        let bucket = Bucket { server: Arc::clone(&self.server), name };
        let store = bucket.store("");
        // the first object makes the bucket; a young server has no place for it yet
        eventually("the bucket takes an object", async || store.put("probe", "probe").await.ok()).await;
        store.delete_where("", |path| path == "probe").await.expect("what was put can be deleted");
        bucket
    }
}

impl Bucket {
    /// Where the server listens, `host:port`.
    #[must_use]
    pub fn address(&self) -> String {
        self.server.address()
    }

    /// How to open it, with everything below this prefix; empty for the whole bucket.
    #[must_use]
    pub fn config(&self, prefix: &str) -> StoreConfig {
        StoreConfig {
            url: format!("s3://{}/{prefix}", self.name),
            s3_endpoint: format!("http://{}", self.server.address()),
            s3_access_key_id: KEY.into(),
            s3_secret_access_key: Secret::new(SECRET),
            s3_allow_http: true,
            ..StoreConfig::default()
        }
    }

    /// The store itself.
    ///
    /// # Panics
    /// When it can't be opened.
    #[must_use]
    pub fn store(&self, prefix: &str) -> FileStore {
        FileStore::open(&self.config(prefix)).expect("these settings are complete")
    }
}

impl Server {
    fn start() -> Self {
        let program = program();
        let dir = tempfile::tempdir().expect("the folder for temporary files is writable");
        // the path of a socket has a hundred characters at most, however deep that folder is
        let sockets = tempfile::tempdir_in(SOCKETS).expect("the folder for sockets is writable");
        let keys = dir.path().join("s3.json");
        let known = serde_json::json!({"identities": [{
            "name": "test",
            "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }]});
        fs::write(&keys, known.to_string()).expect("a new folder is writable");
        for _ in 0..TRIES {
            let Some(first_port) = free_ports() else { continue };
            let mut weed = Command::new(&program);
            // its log files go there
            weed.env("TMPDIR", dir.path());
            weed.args(["server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3"]);
            weed.arg(format!("-dir={}", dir.path().display())).arg(format!("-s3.config={}", keys.display()));
            weed.args(["-master.telemetry=false", "-master.volumeSizeLimitMB=64", "-volume.max=100"]);
            weed.args(["-s3.iam=false", "-s3.port.iceberg=0", "-s3.port.lance=0"]);
            for (part, port) in PARTS.iter().zip(first_port..) {
                weed.arg(format!("-{part}.port={port}")).arg(format!("-{part}.port.grpc={}", port + GRPC));
            }
            for part in ["filer", "s3"] {
                weed.arg(format!("-{part}.localSocket={}", sockets.path().join(part).display()));
            }
            let ready = |line: &str| line.contains("Start Seaweed S3 API Server").then_some(());
            if let Some((watched, ())) = Watched::start("weed", &mut weed, ready) {
                let buckets = AtomicU32::new(0);
                return Self { _watched: watched, first_port, buckets, _dir: dir, _sockets: sockets };
            }
        }
        panic!("SeaweedFS ended before it was ready, or found no ports, {TRIES} times")
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.first_port + PARTS.len() as u16 - 1)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // it puts these where no option can move them, and is killed (it takes six seconds to stop)
        for (part, port) in PARTS.iter().zip(self.first_port + GRPC..) {
            drop(fs::remove_file(format!("{SOCKETS}/seaweedfs-{part}-grpc-{port}.sock")));
        }
    }
}

/// The first of the ports for all parts, unless somebody has one of them.
fn free_ports() -> Option<u16> {
    let first = LOWEST + (Uuid::new_v4().as_u128() % u128::from(SPREAD)) as u16;
    let ports = (first..).take(PARTS.len()).flat_map(|port| [port, port + GRPC]);
    ports.into_iter().all(|port| reserve(port).is_ok()).then_some(first)
}

/// `SLUICE_WEED`, else the one on the PATH.
fn program() -> PathBuf {
    if let Some(path) = env::var_os("SLUICE_WEED").filter(|path| !path.is_empty()) {
        return path.into();
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|dir| dir.join("weed")).find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("no SeaweedFS: run `cargo xtask test`, or name its `weed` with SLUICE_WEED"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use futures::TryStreamExt;
    use reqwest::{Client, StatusCode, header};

    use super::*;

    async fn keeps_and_presigns(bucket: &Bucket, prefix: &str) {
        let store = bucket.store(prefix);
        store.put("a/1/x", Bytes::from_static(b"hello")).await.unwrap();
        store.put("a/1/x", Bytes::from_static(b"world")).await.unwrap();
        store.put("a/2/y", Bytes::from_static(b"other")).await.unwrap();
        assert_eq!(store.get("a/1/x").await.unwrap(), "world", "the last write holds");
        let part = store.read("a/1/x", Some(1..3)).await.unwrap();
        assert_eq!((part.size, part.range), (5, 1..3));
        assert_eq!(part.stream.try_collect::<Vec<_>>().await.unwrap().concat(), b"or");

        let url = store.presign("a/1/x", Duration::from_secs(60)).await.unwrap().expect("S3 can");
        let http = Client::builder().no_proxy().build().unwrap();
        let answer = http.get(url.clone()).header(header::RANGE, "bytes=1-2").send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::PARTIAL_CONTENT);
        assert_eq!(answer.bytes().await.unwrap(), "or");
        // good for this object and for reading, and nothing else
        let other = url.as_str().replace("a/1/x", "a/2/y");
        for request in [http.get(other), http.delete(url.clone()), http.put(url).body("mine now")] {
            assert_eq!(request.send().await.unwrap().status(), StatusCode::FORBIDDEN);
        }

        assert_eq!(store.delete_where("a", |path| path.starts_with("a/1/")).await.unwrap(), 1);
        assert!(store.get("a/1/x").await.unwrap_err().is_not_found());
        assert_eq!(store.list("a").await.unwrap(), ["a/2/y"]);
    }

    #[tokio::test]
    async fn a_bucket_is_a_file_store_with_and_without_a_prefix() {
        let bucket = S3Server::start().await.bucket().await;
        keeps_and_presigns(&bucket, "").await;
        keeps_and_presigns(&bucket, "some/deep prefix").await;
        let mut all = bucket.store("").list("").await.unwrap();
        all.sort();
        assert_eq!(all, ["a/2/y", "some/deep prefix/a/2/y"]);

        let guess = StoreConfig { s3_secret_access_key: Secret::new("guess"), ..bucket.config("") };
        let guessing = FileStore::open(&guess).unwrap();
        guessing.get("a/2/y").await.unwrap_err();
        guessing.put("a/2/y", "mine now").await.unwrap_err();

        let nowhere = StoreConfig { url: "s3://nowhere/some/prefix".into(), ..bucket.config("") };
        let told = FileStore::open(&nowhere).unwrap().list("").await.unwrap_err();
        assert!(told.to_string().contains("the bucket does not exist: make it"), "{told}");
    }
}
