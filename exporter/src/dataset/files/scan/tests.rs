//! Tests the limited wait for a scan of text files, and the cache of scanned files.

use std::{os::unix::fs::MetadataExt, time::Duration};

use platform::secret::Secret;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::{mpsc, oneshot},
};

use super::*;
use crate::dataset::files::{CsvDialect, Location, Spool};

const CSV: FileKind = FileKind::Csv(CsvDialect::new(b','));

#[tokio::test]
async fn a_scan_goes_on_after_the_wait_for_it() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.csv"), "n\n1\n").unwrap();
    let location = Arc::new(Location::Local(dir.path().join("a.csv")));
    // without a wait, no scan can be complete
    let error = find(&location, CSV, std::time::Duration::ZERO).await.unwrap_err();
    assert!(matches!(error, DatasetError::Scanning) && error.is_transient(), "{error}");
    assert!(error.to_string().contains("declare its columns"), "{error}");
    let found = find(&location, CSV, MAX_WAIT).await.unwrap();
    assert_eq!(found.columns, [Column::new("n", protocol::catalog::ColumnType::Int)]);
}

#[tokio::test]
async fn calls_at_once_share_a_scan_that_outlives_the_first_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let location = Arc::new(Location::Http {
        client: reqwest::Client::builder().no_proxy().build().unwrap(),
        url: format!("http://{}/a.csv", listener.local_addr().unwrap()).parse().unwrap(),
        bearer: Secret::default(),
        spool: Spool { dir: dir.path().to_owned(), max_size: 1 << 20, timeout: Duration::from_secs(20) },
    });
    let (requested, mut requests) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let (answer, answered) = oneshot::channel::<()>();
            requested.send(answer).unwrap();
            tokio::spawn(async move {
                answered.await.unwrap();
                assert!(socket.read(&mut [0; 4096]).await.unwrap() > 0);
                socket
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nn\n1\n")
                    .await
                    .unwrap();
            });
        }
    });
    let call = || {
        let location = Arc::clone(&location);
        tokio::spawn(async move { find(&location, CSV, MAX_WAIT).await })
    };
    let first = call();
    let answer = requests.recv().await.unwrap();
    let (second, third) = (call(), call());
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    assert!(matches!(find(&location, CSV, Duration::ZERO).await, Err(DatasetError::Scanning)));
    answer.send(()).unwrap();
    for call in [second, third] {
        let found = call.await.unwrap().unwrap();
        assert_eq!(found.columns, [Column::new("n", protocol::catalog::ColumnType::Int)]);
    }
    assert!(requests.try_recv().is_err(), "one request for all calls");
    // the next call scans again, because the file may have changed
    let next = call();
    requests.recv().await.unwrap().send(()).unwrap();
    next.await.unwrap().unwrap();
}

#[test]
fn a_stopped_scan_reads_no_further() {
    let dir = tempfile::tempdir().unwrap();
    let stop = Stop::default();
    stop.stop();
    for (name, text, kind) in [("a.csv", "n\n1\n", CSV), ("a.ndjson", "{\"n\":1}\n", FileKind::Ndjson)] {
        std::fs::write(dir.path().join(name), text).unwrap();
        let file = File::open(dir.path().join(name)).unwrap();
        assert!(matches!(scan_file(file, kind, None, &stop), Err(DatasetError::Scanning)), "{name}");
    }
}

#[test]
fn a_version_of_a_file_is_scanned_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.csv");
    let scan = |remote: Option<&str>, kind| {
        scan_file(File::open(&path).unwrap(), kind, remote.map(str::to_owned), &Stop::default()).unwrap()
    };
    std::fs::write(&path, "n\n1\n").unwrap();
    // for an object, the store states the version
    let version = path.display().to_string();
    let first = scan(Some(&version), CSV);
    assert!(Arc::ptr_eq(&first, &scan(Some(&version), CSV)));
    assert!(!Arc::ptr_eq(&first, &scan(Some("another version"), CSV)));
    let semicolons = FileKind::Csv(CsvDialect { delimiter: b';', is_declared: true, ..CsvDialect::new(b';') });
    assert!(!Arc::ptr_eq(&first, &scan(Some(&version), semicolons)));
}

#[test]
fn only_files_that_were_not_written_lately_are_remembered() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.csv");
    std::fs::write(&path, "n\n1\n").unwrap();
    let assert_settles = || {
        let file = File::open(&path).unwrap();
        let key = cache::Key::of(&file, CSV, None).unwrap();
        let written = chrono::DateTime::from_timestamp(file.metadata().unwrap().ctime(), 0).unwrap();
        // a write within the same tick of the clock gives a file the same times
        assert!(!key.is_settled(written + chrono::TimeDelta::seconds(1)));
        assert!(key.is_settled(written + chrono::TimeDelta::seconds(4)));
    };
    assert_settles();
    // a file with an old modification time may have been written just now
    File::options().append(true).open(&path).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    assert_settles();
    let remote = cache::Key::of(&File::open(&path).unwrap(), CSV, Some("version 1".into())).unwrap();
    assert!(remote.is_settled(chrono::DateTime::UNIX_EPOCH), "the store names the version");
}
