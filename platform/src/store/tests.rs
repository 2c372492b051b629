//! Tests of the file store in a folder.

use super::*;
use crate::config::StoreConfig;

fn folder() -> (tempfile::TempDir, FileStore) {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("file://{}", dir.path().join("files").display());
    let store = FileStore::open(&StoreConfig { url, ..StoreConfig::default() }).unwrap();
    (dir, store)
}

#[tokio::test]
async fn an_object_is_read_whole_or_in_part_and_deleted_by_folder() {
    let (dir, store) = folder();
    store.put("a/1/x", Bytes::from_static(b"hello")).await.unwrap();
    store.put("a/2/x", Bytes::from_static(b"other")).await.unwrap();
    let part = store.read("a/1/x", Some(1..3)).await.unwrap();
    assert_eq!(part.size, 5);
    let bytes: Vec<Bytes> = part.stream.try_collect().await.unwrap();
    assert_eq!(bytes.concat(), b"el");
    assert_eq!(store.delete_where("a", |p| !p.starts_with("a/2/")).await.unwrap(), 1);
    assert!(store.get("a/1/x").await.unwrap_err().is_not_found());
    assert_eq!(store.list("a").await.unwrap(), ["a/2/x"]);
    assert!(!dir.path().join("files/a/1").exists(), "an empty folder is deleted");
    assert_eq!(store.presign("a/2/x", Duration::from_secs(1)).await.unwrap(), None);
}

/// Returns `count` chunks, each with another byte value. The size of a chunk does not divide the size of an upload
/// part.
fn chunks(count: u8) -> Vec<Bytes> {
    (0..count).map(|n| Bytes::from(vec![n; 1_000_003])).collect()
}

#[tokio::test]
async fn an_object_of_any_size_is_written_whole_or_not_at_all() {
    let (_dir, store) = folder();
    for (path, count) in [("empty", 0), ("small", 1), ("large", 40)] {
        let bytes = chunks(count);
        let written = store.write(path, futures::stream::iter(bytes.clone().into_iter().map(Ok))).await.unwrap();
        assert_eq!(written, u64::from(count) * 1_000_003);
        assert_eq!(store.size(path).await.unwrap(), Some(written));
        assert!(store.get(path).await.unwrap() == bytes.concat(), "{path} has other bytes");
    }
    for count in [1, 40] {
        let failing = chunks(count).into_iter().map(Ok).chain([Err(std::io::Error::other("failed"))]);
        assert!(matches!(store.write("failed", futures::stream::iter(failing)).await, Err(FileStoreError::Source(_))));
        assert_eq!(store.size("failed").await.unwrap(), None);
    }
    let mut all: Vec<ObjectInfo> = store.list_stream("").try_collect().await.unwrap();
    all.sort_by(|a, b| a.path.cmp(&b.path));
    let sizes: Vec<_> = all.iter().map(|object| (object.path.as_str(), object.size)).collect();
    assert_eq!(sizes, [("empty", 0), ("large", 40_000_120), ("small", 1_000_003)]);
    assert_eq!(store.delete(["small".into()]).await.unwrap(), 1);
    assert_eq!(store.size("small").await.unwrap(), None);
}

#[tokio::test]
async fn a_long_list_is_read_in_steps_and_in_order() {
    let (_dir, store) = folder();
    for path in ["a/2/x", "a/1/y", "a/10/x", "a/1/x", "b/1/x"] {
        store.put(path, Bytes::from_static(b"hello")).await.unwrap();
    }
    let (mut paths, mut after) = (Vec::new(), None::<String>);
    loop {
        let step = store.list_after("a", after.as_deref(), 3).await.unwrap();
        assert!(step.len() <= 3 && paths.len() <= 4);
        let Some(last) = step.last() else { break };
        after = Some(last.path.clone());
        paths.extend(step.into_iter().map(|object| object.path));
    }
    assert_eq!(paths, ["a/1/x", "a/1/y", "a/10/x", "a/2/x"]);
    assert_eq!(store.delete(["a/1/x".to_owned(), "a/missing".to_owned()]).await.unwrap(), 2);
    assert!(store.get("a/1/x").await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn what_an_interrupted_write_left_is_listed_and_deleted_with_its_objects() {
    let (dir, store) = folder();
    for path in ["a/1/x", "a/2/x", "b/1/x"] {
        store.put(path, Bytes::from_static(b"hello")).await.unwrap();
    }
    let file = |path: &str| dir.path().join("files").join(path);
    for path in ["a/1/x#1", "a/1/y#12", "a/2/x#1", "b/1/x#1"] {
        std::fs::write(file(path), "hel").unwrap();
    }
    std::fs::create_dir_all(file("a/3")).unwrap();
    std::fs::write(file("a/3/z#1"), "").unwrap();
    let partials = async |prefix: &str| {
        let mut paths: Vec<_> = store.list_partials(prefix).await.unwrap().into_iter().map(|o| o.path).collect();
        paths.sort();
        paths
    };
    assert_eq!(partials("a").await, ["a/1/x#1", "a/1/y#12", "a/2/x#1", "a/3/z#1"]);
    assert_eq!(partials("c").await, [""; 0]);
    assert_eq!(store.delete_where("a", |path| !path.starts_with("a/2/")).await.unwrap(), 4);
    assert_eq!(partials("").await, ["a/2/x#1", "b/1/x#1"]);
    assert!(!file("a/1").exists() && !file("a/3").exists(), "empty folders are deleted");
    assert_eq!(store.list("a").await.unwrap(), ["a/2/x"]);
    assert_eq!(store.delete_partials(vec!["b/1/x#1".into(), "b/1/missing#1".into()]).await.unwrap(), 2);
    assert!(store.delete_partials(vec!["b/1/x".into()]).await.is_err(), "an object is no partial object");
    assert_eq!(store.list("b").await.unwrap(), ["b/1/x"]);
}

#[test]
fn urls_other_than_file_and_s3_are_refused() {
    for url in ["ftp://x", "files", "s3://"] {
        assert!(FileStore::open(&StoreConfig { url: url.into(), ..StoreConfig::default() }).is_err(), "{url}");
    }
}
