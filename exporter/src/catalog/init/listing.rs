//! Lists the files of a local folder, of a pattern, or of a bucket.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, path::Path as Key};

use super::{InitError, draft::NotOffered};

/// The maximum number of files in a listing; more files are an error.
const MAX_FILES: usize = 20_000;
/// The maximum number of nested folders that a listing enters.
const MAX_DEPTH: usize = 32;
/// The time limit for listing a bucket.
const LIST_TIMEOUT: Duration = Duration::from_secs(120);
/// The name of a file that only data folders of `sluice up` have. A listing skips a folder with this file, because the
/// folder has no data of the user.
const DATA_FOLDER_MARK: &str = "sluice.lock";

/// The files below a folder of a source.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Listing {
    /// The folder that was listed: a local path, or the prefix of object keys without a final slash.
    pub(super) folder: String,
    /// The paths of the files relative to the folder, in ascending order, with `/` between folders.
    pub(super) paths: Vec<String>,
    /// The files and folders that the listing skips, each with the reason.
    pub(super) left_out: Vec<NotOffered>,
}

/// Lists local files. `path` is a file, a folder, or a pattern. A folder is listed with all folders in it.
///
/// # Errors
///
/// When a folder can't be read, or there are too many files.
pub(super) fn local(path: &Path) -> Result<Listing, InitError> {
    let unreadable = |path: &Path, e: &dyn std::fmt::Display| InitError::Source(format!("{}: {e}", path.display()));
    if path.is_dir() {
        let mut listing = Listing { folder: text(path)?, ..Listing::default() };
        walk(path, path, 0, &mut listing)?;
        listing.paths.sort();
        return Ok(listing);
    }
    if path.is_file() {
        let (folder, name) = (path.parent().unwrap_or(Path::new("/")), path.file_name().unwrap_or_default());
        let name = text(Path::new(name))?;
        return Ok(Listing { folder: text(folder)?, paths: vec![name], left_out: Vec::new() });
    }
    let folder = path.ancestors().skip(1).find(|folder| folder.is_dir()).unwrap_or(Path::new("/"));
    let below = path.strip_prefix(folder).unwrap_or(path);
    let pattern = PathBuf::from(glob::Pattern::escape(&text(folder)?)).join(below);
    let matches = glob::glob(&text(&pattern)?).map_err(|e| unreadable(path, &e))?;
    let mut listing = Listing { folder: text(folder)?, ..Listing::default() };
    for found in matches {
        let found = found.map_err(|e| unreadable(path, &e))?;
        if found.is_file() {
            add(folder, &found, &mut listing)?;
        }
    }
    listing.paths.sort();
    Ok(listing)
}

fn walk(root: &Path, folder: &Path, depth: usize, listing: &mut Listing) -> Result<(), InitError> {
    let unreadable = |e: std::io::Error| InitError::Source(format!("{}: {e}", folder.display()));
    let mut hidden = 0;
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let (path, name) = (entry.path(), entry.file_name());
        if name.to_string_lossy().starts_with(['.', '_']) {
            hidden += 1;
        } else if entry.file_type().map_err(unreadable)?.is_dir() {
            if path.join(DATA_FOLDER_MARK).exists() {
                let reason = "it is a data folder of Sluice";
                listing.left_out.push(NotOffered::new(format!("folder `{}`", relative(root, &path)), reason));
            } else if depth == MAX_DEPTH {
                let reason = format!("folders are searched {MAX_DEPTH} levels deep");
                listing.left_out.push(NotOffered::new(format!("folder `{}`", relative(root, &path)), reason));
            } else {
                walk(root, &path, depth + 1, listing)?;
            }
        } else if path.is_file() {
            // a link to a file is a file; a link to a folder could lead back to this one
            add(root, &path, listing)?;
        } else {
            let reason = "it is a link to a folder, or no file: give it as a source of its own";
            listing.left_out.push(NotOffered::new(format!("`{}`", relative(root, &path)), reason));
        }
    }
    if hidden > 0 {
        let place = relative(root, folder);
        let place = if place.is_empty() { "the folder".to_owned() } else { format!("folder `{place}`") };
        let reason = "their names begin with `.` or `_`, as those of files that programs write for themselves";
        listing.left_out.push(NotOffered::new(format!("{hidden} entries of {place}"), reason));
    }
    Ok(())
}

fn add(root: &Path, path: &Path, listing: &mut Listing) -> Result<(), InitError> {
    if path.to_str().is_none() {
        let reason = "its name is no UTF-8: rename it";
        listing.left_out.push(NotOffered::new(format!("file `{}`", relative(root, path)), reason));
        return Ok(());
    }
    listing.paths.push(relative(root, path));
    check_count(listing)
}

fn check_count(listing: &Listing) -> Result<(), InitError> {
    if listing.paths.len() <= MAX_FILES {
        return Ok(());
    }
    Err(InitError::Source(format!("there are more than {MAX_FILES} files: give a folder or a pattern with fewer")))
}

fn relative(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned()
}

fn text(path: &Path) -> Result<String, InitError> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| InitError::Source(format!("the name of {} is no UTF-8: rename it", path.display())))
}

/// Lists objects of the bucket `store`. `prefix` is the key of one object, a folder, or a pattern of keys.
///
/// # Errors
///
/// When the bucket can't be listed in time, or has too many objects.
pub(super) async fn bucket(store: &dyn ObjectStore, prefix: &str) -> Result<Listing, InitError> {
    let listing = tokio::time::timeout(LIST_TIMEOUT, objects(store, prefix)).await;
    listing.unwrap_or_else(|_| {
        Err(InitError::Source(format!("the bucket was not listed within {} s: give a prefix", LIST_TIMEOUT.as_secs())))
    })
}

async fn objects(store: &dyn ObjectStore, prefix: &str) -> Result<Listing, InitError> {
    let failed = |e: object_store::Error| InitError::Dataset(e.into());
    let key = |text: &str| Key::parse(text).map_err(|e| failed(e.into()));
    let split = |text: &str| match text.rsplit_once('/') {
        Some((folder, name)) => (folder.to_owned(), name.to_owned()),
        None => (String::new(), text.to_owned()),
    };
    let wildcard = prefix.find(['*', '?', '[']);
    if wildcard.is_none() && !prefix.is_empty() && store.head(&key(prefix)?).await.is_ok() {
        let (folder, name) = split(prefix);
        return Ok(Listing { folder, paths: vec![name], left_out: Vec::new() });
    }
    let folder = wildcard.map_or_else(|| prefix.to_owned(), |at| split(&prefix[..at]).0);
    let pattern = wildcard.map(|_| glob::Pattern::new(prefix)).transpose();
    let pattern = pattern.map_err(|e| InitError::Source(format!("the pattern is invalid: {e}")))?;
    let options = glob::MatchOptions { require_literal_separator: true, ..glob::MatchOptions::default() };
    let mut listing = Listing { folder: folder.clone(), ..Listing::default() };
    let below = if folder.is_empty() { None } else { Some(key(&folder)?) };
    let mut hidden = 0;
    let mut objects = store.list(below.as_ref());
    while let Some(object) = objects.try_next().await.map_err(failed)? {
        let name = object.location.to_string();
        if pattern.as_ref().is_some_and(|pattern| !pattern.matches_with(&name, options)) {
            continue;
        }
        let relative = name.strip_prefix(folder.as_str()).unwrap_or(&name).trim_start_matches('/').to_owned();
        if relative.split('/').any(|part| part.starts_with(['.', '_'])) {
            hidden += 1;
            continue;
        }
        listing.paths.push(relative);
        check_count(&listing)?;
    }
    if hidden > 0 {
        let reason = "their names begin with `.` or `_`, as those of files that programs write for themselves";
        listing.left_out.push(NotOffered::new(format!("{hidden} objects"), reason));
    }
    listing.paths.sort();
    Ok(listing)
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    #[test]
    fn local_files_are_listed_below_a_folder_and_others_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("a[1]");
        for file in ["x.csv", "deep/er/y.csv", ".hidden.csv", "_SUCCESS", "data/sluice.lock", "data/z.csv"] {
            let path = root.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "a\n").unwrap();
        }
        std::os::unix::fs::symlink(&root, root.join("deep/loop")).unwrap();
        std::os::unix::fs::symlink(root.join("x.csv"), root.join("deep/link.csv")).unwrap();
        let listing = local(&root).unwrap();
        assert_eq!(listing.paths, ["deep/er/y.csv", "deep/link.csv", "x.csv"]);
        let mut left_out: Vec<_> = listing.left_out.iter().map(|one| one.what.as_str()).collect();
        left_out.sort_unstable();
        assert_eq!(left_out, ["2 entries of the folder", "`deep/loop`", "folder `data`"]);

        let matched = local(&root.join("**/*.csv")).unwrap();
        assert_eq!(matched.folder, root.to_str().unwrap());
        assert!(matched.paths.contains(&"deep/er/y.csv".to_owned()), "{matched:?}");
        assert_eq!(local(&root.join("x.csv")).unwrap().paths, ["x.csv"]);
        assert_eq!(local(&root.join("*.parquet")).unwrap().paths, [""; 0]);
    }

    #[tokio::test]
    async fn objects_are_listed_below_a_prefix_or_by_a_pattern() {
        let store = InMemory::new();
        for key in ["lake/a/x.csv", "lake/a/y.parquet", "lake/_tmp/z.csv", "other.csv"] {
            store.put(&Key::from(key), "a\n".into()).await.unwrap();
        }
        let paths = async |prefix: &str| bucket(&store, prefix).await.map(|listing| (listing.folder, listing.paths));
        let expect = |folder: &str, paths: &[&str]| {
            (folder.to_owned(), paths.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(paths("").await.unwrap(), expect("", &["lake/a/x.csv", "lake/a/y.parquet", "other.csv"]));
        assert_eq!(paths("lake").await.unwrap(), expect("lake", &["a/x.csv", "a/y.parquet"]));
        assert_eq!(paths("lake/a/x.csv").await.unwrap(), expect("lake/a", &["x.csv"]));
        assert_eq!(paths("lake/*/*.csv").await.unwrap(), expect("lake", &["a/x.csv"]));
        assert_eq!(bucket(&store, "lake").await.unwrap().left_out.len(), 1);
    }
}
