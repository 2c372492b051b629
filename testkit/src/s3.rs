//! Starts a real S3 server (SeaweedFS), which the tests of one process share.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU32, Ordering},
    },
};

use platform::{config::StoreConfig, secret::Secret, store::FileStore};
use tempfile::TempDir;
use uuid::Uuid;

use crate::{eventually, ports::reserve, server_process::ServerProcess};

const ACCESS_KEY: &str = "test-key";
const SECRET_KEY: &str = "test-secret-key";

/// The shared server; the weak reference is empty while no test uses the server.
static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());

/// The maximum number of attempts to start the server on free ports.
const MAX_ATTEMPTS: usize = 20;
/// The components of SeaweedFS, which listen on consecutive ports.
const COMPONENTS: [&str; 4] = ["master", "volume", "filer", "s3"];
/// The difference between a component's gRPC port and its HTTP port.
const GRPC_OFFSET: u16 = 10_000;
/// The lowest HTTP port of the first component. All ports are below the range that systems use for outgoing
/// connections.
const LOWEST_PORT: u16 = 10_000;
/// The number of ports from [`LOWEST_PORT`] on that the first component may use.
const PORT_COUNT: u16 = 12_000;
/// The folder in which SeaweedFS creates some of its sockets. No option changes this folder.
const SOCKETS_FOLDER: &str = "/tmp";
/// The name of the file with the access key.
const KEYS_FILE: &str = "s3.json";

/// An S3 server. Dropping the last clone and the last bucket ends the server.
#[derive(Clone)]
pub struct S3Server {
    server: Arc<Server>,
}

/// A bucket for one test.
pub struct Bucket {
    server: Arc<Server>,
    name: String,
}

struct Server {
    /// The running process; None while the server is killed.
    process: Mutex<Option<ServerProcess>>,
    first_port: u16,
    buckets: AtomicU32,
    dir: TempDir,
    sockets: TempDir,
}

impl S3Server {
    /// Starts a server, or returns the running server of another test in this process.
    ///
    /// # Panics
    /// When SeaweedFS is not installed or does not start.
    pub async fn start() -> Self {
        let started = tokio::task::spawn_blocking(|| {
            let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
            shared.upgrade().unwrap_or_else(|| {
                let server = Arc::new(Server::start(&env::temp_dir()));
                *shared = Arc::downgrade(&server);
                server
            })
        });
        match started.await {
            Ok(server) => Self { server },
            Err(e) => std::panic::resume_unwind(e.into_panic()),
        }
    }

    /// Starts a server whose data is in a new folder below this one.
    ///
    /// # Panics
    /// When SeaweedFS is not installed or does not start.
    pub async fn start_in(folder: &Path) -> Self {
        let folder = folder.to_owned();
        match tokio::task::spawn_blocking(move || Server::start(&folder)).await {
            Ok(server) => Self { server: Arc::new(server) },
            Err(e) => std::panic::resume_unwind(e.into_panic()),
        }
    }

    /// Kills the server, as in a crash.
    pub fn kill(&self) {
        *self.server.lock() = None;
    }

    /// Starts the killed server again, on the same ports with the same data. Returns false when the server ends before it
    /// is ready, for example because its disk is full.
    pub async fn try_restart(&self) -> bool {
        let server = Arc::clone(&self.server);
        match tokio::task::spawn_blocking(move || server.launch()).await {
            Ok(is_ready) => is_ready,
            Err(e) => std::panic::resume_unwind(e.into_panic()),
        }
    }

    /// The process id of the server; None while it is killed.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.server.lock().as_ref().map(ServerProcess::pid)
    }

    /// Whether the server has not ended.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.server.lock().as_mut().is_some_and(ServerProcess::is_running)
    }

    /// Creates a bucket and waits until it accepts objects.
    ///
    /// # Panics
    /// When the bucket can't be created.
    pub async fn bucket(&self) -> Bucket {
        let name = format!("test-{}", self.server.buckets.fetch_add(1, Ordering::Relaxed));
        let bucket = Bucket { server: Arc::clone(&self.server), name };
        let store = bucket.store("");
        // the first object creates the bucket; a server that just started has no volume for it yet
        eventually("the bucket accepts an object", async || store.put("probe", "probe").await.ok()).await;
        store.delete_where("", |path| path == "probe").await.expect("the object can be deleted");
        bucket
    }
}

impl Bucket {
    /// The address of the server, `host:port`.
    #[must_use]
    pub fn address(&self) -> String {
        self.server.address()
    }

    /// The settings of a store in this bucket below a prefix. An empty prefix selects the whole bucket.
    #[must_use]
    pub fn config(&self, prefix: &str) -> StoreConfig {
        StoreConfig {
            url: format!("s3://{}/{prefix}", self.name),
            s3_endpoint: format!("http://{}", self.server.address()),
            s3_access_key_id: ACCESS_KEY.into(),
            s3_secret_access_key: Secret::new(SECRET_KEY),
            ..StoreConfig::default()
        }
    }

    /// Opens the bucket as a file store.
    ///
    /// # Panics
    /// When the store can't be opened.
    #[must_use]
    pub fn store(&self, prefix: &str) -> FileStore {
        FileStore::open(&self.config(prefix)).expect("these settings are complete")
    }
}

impl Server {
    fn start(folder: &Path) -> Self {
        let dir = tempfile::tempdir_in(folder).expect("the folder for temporary files is writable");
        // a socket path has at most about 100 characters, and the folder for temporary files may be deep
        let sockets = tempfile::tempdir_in(SOCKETS_FOLDER).expect("the folder for sockets is writable");
        let known = serde_json::json!({"identities": [{
            "name": "test",
            "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }]});
        fs::write(dir.path().join(KEYS_FILE), known.to_string()).expect("a new folder is writable");
        let mut server = Self { process: Mutex::new(None), first_port: 0, buckets: AtomicU32::new(0), dir, sockets };
        for _ in 0..MAX_ATTEMPTS {
            let Some(first_port) = free_ports() else { continue };
            server.first_port = first_port;
            if server.launch() {
                return server;
            }
        }
        panic!("SeaweedFS ended before it was ready, or found no ports, {MAX_ATTEMPTS} times")
    }

    /// Starts the process, and returns whether it accepts requests.
    fn launch(&self) -> bool {
        let mut weed = Command::new(program());
        let dir = self.dir.path().display();
        // SeaweedFS writes its log files to this folder
        weed.env("TMPDIR", self.dir.path());
        weed.args(["server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3"]);
        weed.arg(format!("-dir={dir}")).arg(format!("-s3.config={dir}/{KEYS_FILE}"));
        weed.args(["-master.telemetry=false", "-master.volumeSizeLimitMB=64", "-volume.max=100"]);
        weed.args(["-s3.iam=false", "-s3.port.iceberg=0", "-s3.port.lance=0"]);
        for (part, port) in COMPONENTS.iter().zip(self.first_port..) {
            weed.arg(format!("-{part}.port={port}")).arg(format!("-{part}.port.grpc={}", port + GRPC_OFFSET));
        }
        for part in ["filer", "s3"] {
            weed.arg(format!("-{part}.localSocket={}", self.sockets.path().join(part).display()));
        }
        let ready = |line: &str| line.contains("Start Seaweed S3 API Server").then_some(());
        let started = ServerProcess::start("weed", &mut weed, ready).map(|(process, ())| process);
        let is_ready = started.is_some();
        *self.lock() = started;
        is_ready
    }

    fn lock(&self) -> MutexGuard<'_, Option<ServerProcess>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.first_port + COMPONENTS.len() as u16 - 1)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        *self.lock() = None;
        // the test kills the server, because a graceful stop takes six seconds; the killed server leaves these sockets
        for (part, port) in COMPONENTS.iter().zip(self.first_port + GRPC_OFFSET..) {
            drop(fs::remove_file(format!("{SOCKETS_FOLDER}/seaweedfs-{part}-grpc-{port}.sock")));
        }
    }
}

/// Reserves a random range of ports for all components, and returns the first; None when a port of the range is in use.
fn free_ports() -> Option<u16> {
    let first = LOWEST_PORT + (Uuid::new_v4().as_u128() % u128::from(PORT_COUNT)) as u16;
    let ports = (first..).take(COMPONENTS.len()).flat_map(|port| [port, port + GRPC_OFFSET]);
    ports.into_iter().all(|port| reserve(port).is_ok()).then_some(first)
}

/// The path of `weed`: `SLUICE_WEED`, else the program on the PATH.
fn program() -> PathBuf {
    if let Some(path) = env::var_os("SLUICE_WEED").filter(|path| !path.is_empty()) {
        return path.into();
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|dir| dir.join("weed")).find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("no SeaweedFS: run `cargo xtask test`, or set SLUICE_WEED to the path of `weed`"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use futures::TryStreamExt;
    use reqwest::{Client, StatusCode, header};

    use super::*;

    async fn assert_works_as_file_store(bucket: &Bucket, prefix: &str) {
        let store = bucket.store(prefix);
        store.put("a/1/x", Bytes::from_static(b"hello")).await.unwrap();
        store.put("a/1/x", Bytes::from_static(b"world")).await.unwrap();
        store.put("a/2/y", Bytes::from_static(b"other")).await.unwrap();
        assert_eq!(store.get("a/1/x").await.unwrap(), "world", "the last write wins");
        let part = store.read("a/1/x", Some(1..3)).await.unwrap();
        assert_eq!((part.size, part.range), (5, 1..3));
        assert_eq!(part.stream.try_collect::<Vec<_>>().await.unwrap().concat(), b"or");

        let url = store.presign("a/1/x", Duration::from_secs(60)).await.unwrap().expect("a bucket can presign");
        let http = Client::builder().no_proxy().build().unwrap();
        let answer = http.get(url.clone()).header(header::RANGE, "bytes=1-2").send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::PARTIAL_CONTENT);
        assert_eq!(answer.bytes().await.unwrap(), "or");
        // the URL allows reads of this object only
        let other = url.as_str().replace("a/1/x", "a/2/y");
        for request in [http.get(other), http.delete(url.clone()), http.put(url).body("overwritten")] {
            assert_eq!(request.send().await.unwrap().status(), StatusCode::FORBIDDEN);
        }

        assert_eq!(store.delete_where("a", |path| path.starts_with("a/1/")).await.unwrap(), 1);
        assert!(store.get("a/1/x").await.unwrap_err().is_not_found());
        assert_eq!(store.list("a").await.unwrap(), ["a/2/y"]);
    }

    #[tokio::test]
    async fn a_bucket_is_a_file_store_with_and_without_a_prefix() {
        let bucket = S3Server::start().await.bucket().await;
        assert_works_as_file_store(&bucket, "").await;
        assert_works_as_file_store(&bucket, "some/deep prefix").await;
        let mut all = bucket.store("").list("").await.unwrap();
        all.sort();
        assert_eq!(all, ["a/2/y", "some/deep prefix/a/2/y"]);

        let guess = StoreConfig { s3_secret_access_key: Secret::new("guess"), ..bucket.config("") };
        let intruder = FileStore::open(&guess).unwrap();
        intruder.get("a/2/y").await.unwrap_err();
        intruder.put("a/2/y", "overwritten").await.unwrap_err();

        let missing = StoreConfig { url: "s3://missing/some/prefix".into(), ..bucket.config("") };
        let error = FileStore::open(&missing).unwrap().list("").await.unwrap_err();
        assert!(error.to_string().contains("the bucket does not exist: create it"), "{error}");
    }
}
