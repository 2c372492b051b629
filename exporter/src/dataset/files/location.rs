//! Finds the files of datasets on disk, in buckets and behind HTTP, and copies remote files to the local disk.

use std::{
    fmt,
    fs::File,
    io::{ErrorKind, Seek, Write},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use aws_lc_rs::digest;
use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt};
use object_store::{ObjectStore, ObjectStoreExt, path::Path};
use platform::secret::Secret;

use super::super::DatasetError;

/// The folder for local copies of remote files, and the limits of each copy.
#[derive(Clone, Debug)]
pub struct Spool {
    /// The folder in which the temporary files of copies are created.
    pub dir: PathBuf,
    /// The maximum size of one copy, in bytes.
    pub max_size: u64,
    /// The maximum duration of a listing. Also the maximum wait for a response, and for the next bytes of a remote
    /// file.
    pub timeout: Duration,
}

/// A digest that identifies the configured source of remote files: its server, its bucket and its credentials. Every
/// load of the same configuration gives the same digest. `Debug` does not show the digest, because it depends on
/// secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct SourceDigest(String);

impl SourceDigest {
    /// Returns a digest of the settings of a source. A missing setting (`None`) and an empty setting give different
    /// digests.
    pub fn of<'a>(settings: impl IntoIterator<Item = Option<&'a str>>) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        for setting in settings {
            // the length separates the settings from each other
            context.update(&setting.map_or(u64::MAX, |text| text.len() as u64).to_le_bytes());
            context.update(setting.unwrap_or_default().as_bytes());
        }
        Self(hex::encode(context.finish()))
    }
}

impl fmt::Debug for SourceDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SourceDigest")
    }
}

/// A file of a dataset, as listed by its location.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ListedFile {
    /// The path, key or URL of the file.
    pub(super) name: String,
    /// A text that identifies the source, key and version of an object. The text must not be logged, because it has the
    /// digest of the source. None for a local file and for an HTTP response. Also None if the location is a single key
    /// without wildcards, because its listing does not ask for the version.
    pub(super) version: Option<String>,
}

impl From<String> for ListedFile {
    fn from(name: String) -> Self {
        Self { name, version: None }
    }
}

/// The location of the files of a dataset.
pub enum Location {
    /// Local files. If a file with exactly this path exists, the path means only that file. Otherwise, the path may
    /// have the wildcards `*`, `?`, `[...]` and `**`.
    Local(PathBuf),
    /// Objects of a bucket. The key may have the wildcards `*`, `?` and `[...]`. If the key has no `*`, and an object
    /// with exactly this key exists, the key means only that object.
    Objects {
        /// The store that holds the bucket.
        store: Arc<dyn ObjectStore>,
        /// The digest of the settings of the store.
        source: SourceDigest,
        /// The key of one object, or a pattern that matches several keys.
        pattern: String,
        /// The folder for the local copies of the objects, and the limits of each copy.
        spool: Spool,
    },
    /// The response body of an HTTP endpoint, as a single file.
    Http {
        /// The client that sends the requests.
        client: reqwest::Client,
        /// The URL of the endpoint.
        url: url::Url,
        /// The token for the header `Authorization: Bearer`. If the token is empty, requests have no such header.
        bearer: Secret,
        /// The folder for the local copy of the response body, and the limits of the copy.
        spool: Spool,
    },
}

impl Location {
    /// Returns the location of local files. `files` is a path or a pattern, either relative to `folder` or absolute. In
    /// the name of a folder that exists, `*`, `?` and `[` are ordinary characters, and not wildcards.
    #[must_use]
    pub fn local(folder: &std::path::Path, files: &str) -> Self {
        // `join` keeps an absolute path
        let path = folder.join(files);
        let folder = path.ancestors().skip(1).find(|folder| folder.is_dir());
        let Some((folder, pattern)) = folder.and_then(|folder| Some((folder, path.strip_prefix(folder).ok()?))) else {
            return Self::Local(path);
        };
        if path.is_file() || !has_wildcard(&pattern.to_string_lossy()) {
            return Self::Local(path);
        }
        Self::Local(PathBuf::from(glob::Pattern::escape(&folder.to_string_lossy())).join(pattern))
    }

    /// Returns the path if the location is a single local file that exists; None for any other location.
    pub(super) fn local_file(&self) -> Option<PathBuf> {
        match self {
            Self::Local(path) if path.is_file() => Some(path.clone()),
            _ => None,
        }
    }

    /// Whether the files are on this machine.
    pub(super) const fn is_local(&self) -> bool {
        matches!(self, Self::Local(_))
    }

    /// Whether the location is a pattern, which may match any number of files.
    pub(super) fn is_pattern(&self) -> bool {
        match self {
            Self::Local(path) => !path.is_file() && has_wildcard(&path.to_string_lossy()),
            Self::Objects { pattern, .. } => has_wildcard(pattern),
            Self::Http { .. } => false,
        }
    }

    /// Returns a text that identifies the location. For local files, this text is the path. For objects, it is the
    /// pattern with a digest of the source. For an HTTP endpoint, it is a digest of the URL and the token. The text
    /// contains no secret, but must not be logged, because the digests depend on secrets.
    pub(super) fn identity(&self) -> String {
        match self {
            Self::Local(path) => format!("file {}", path.display()),
            Self::Objects { source, pattern, .. } => format!("objects {} {pattern}", source.0),
            Self::Http { url, bearer, .. } => {
                format!("http {}", SourceDigest::of([Some(url.as_str()), Some(bearer.expose())]).0)
            }
        }
    }

    /// Returns all files of the location, sorted by their paths or keys. A location without wildcards gives one file,
    /// even if that file does not exist.
    pub(super) async fn list(&self) -> Result<Vec<ListedFile>, DatasetError> {
        match self {
            Self::Local(pattern) if !has_wildcard(&pattern.to_string_lossy()) => {
                Ok(vec![pattern.to_string_lossy().into_owned().into()])
            }
            Self::Local(pattern) => {
                let pattern = pattern.clone();
                tokio::task::spawn_blocking(move || local_files(&pattern)).await?
            }
            Self::Objects { store, source, pattern, spool } => objects(store, source, pattern, spool).await,
            Self::Http { url, .. } => Ok(vec![url.to_string().into()]),
        }
    }

    /// Opens the file with this path, key or URL. Copies a remote file to a local temporary file first.
    pub(super) async fn fetch(&self, name: &str) -> Result<File, DatasetError> {
        match self {
            Self::Local(_) => {
                let path = name.to_owned();
                let opened = tokio::task::spawn_blocking(move || File::open(&path)).await?;
                opened.map_err(|e| match e.kind() {
                    ErrorKind::NotFound => DatasetError::NoFile(name.to_owned()),
                    _ => DatasetError::from(e).in_file(name),
                })
            }
            Self::Objects { store, spool, .. } => {
                let got = tokio::time::timeout(spool.timeout, store.get(&key(name)?)).await;
                let got = got.map_err(|_| DatasetError::Slow(spool.timeout))??;
                copy(got.into_stream().map_err(DatasetError::from), spool).await.map_err(|e| e.in_file(name))
            }
            Self::Http { client, url, bearer, spool } => {
                let mut request = client.get(url.clone());
                if !bearer.is_empty() {
                    request = request.bearer_auth(bearer.expose());
                }
                let answered = tokio::time::timeout(spool.timeout, request.send()).await;
                let answer = answered.map_err(|_| DatasetError::Slow(spool.timeout))?.map_err(http)?;
                let answer = answer.error_for_status().map_err(http)?;
                copy(answer.bytes_stream().map_err(http), spool).await
            }
        }
    }
}

/// Returns the local files that match a pattern, sorted by path. If the pattern is also the path of an existing file,
/// returns only that file.
fn local_files(pattern: &std::path::Path) -> Result<Vec<ListedFile>, DatasetError> {
    let text = pattern.to_string_lossy().into_owned();
    if pattern.is_file() {
        return Ok(vec![text.into()]);
    }
    let paths = glob::glob(&text).map_err(|_| DatasetError::NoFile(text.clone()))?;
    let mut found = Vec::new();
    for path in paths {
        let path = path.map_err(std::io::Error::from)?;
        if path.is_file() {
            found.push(path.to_string_lossy().into_owned().into());
        }
    }
    found.sort();
    Ok(found)
}

/// Returns the objects whose keys match a pattern, sorted by key. If the pattern has no `*` and is also the key of an
/// existing object, returns only that object.
async fn objects(
    store: &Arc<dyn ObjectStore>,
    source: &SourceDigest,
    pattern: &str,
    spool: &Spool,
) -> Result<Vec<ListedFile>, DatasetError> {
    let listed = |object: object_store::ObjectMeta| {
        let (name, at, size) = (object.location.to_string(), object.last_modified, object.size);
        let tag = object.e_tag.unwrap_or_default();
        let version = format!("{} {name} {tag} {} {size}", source.0, at.timestamp_micros());
        ListedFile { version: Some(version), name }
    };
    if !has_wildcard(pattern) {
        return Ok(vec![pattern.to_owned().into()]);
    }
    let slow = |_| DatasetError::Slow(spool.timeout);
    if !pattern.contains('*')
        && let Ok(alone) = key(pattern)
    {
        match tokio::time::timeout(spool.timeout, store.head(&alone)).await.map_err(slow)? {
            Ok(object) => return Ok(vec![listed(object)]),
            Err(object_store::Error::NotFound { .. }) => {}
            Err(e) => return Err(e.into()),
        }
    }
    let matches = glob::Pattern::new(pattern).map_err(|_| DatasetError::NoFile(pattern.to_owned()))?;
    let fixed = pattern.find(is_wildcard).map_or(pattern, |at| &pattern[..at]);
    let folder = fixed.rsplit_once('/').map(|(folder, _)| key(folder)).transpose()?;
    let options = glob::MatchOptions { require_literal_separator: true, ..glob::MatchOptions::default() };
    let listing = store
        .list(folder.as_ref())
        .try_filter(|object| std::future::ready(matches.matches_with(object.location.as_ref(), options)))
        .map_ok(listed)
        .try_collect::<Vec<_>>();
    let mut found = tokio::time::timeout(spool.timeout, listing).await.map_err(slow)??;
    found.sort();
    Ok(found)
}

/// Parses the key of an object without percent-decoding, because a `%` in a key has no special meaning.
fn key(text: &str) -> Result<Path, DatasetError> {
    Path::parse(text).map_err(|e| DatasetError::Objects(e.into()))
}

/// Copies the bytes of a remote file into an unnamed temporary file. Returns an error if the file has more bytes than
/// `spool` allows, or if the wait for its next bytes exceeds the timeout in `spool`.
async fn copy(bytes: impl Stream<Item = Result<Bytes, DatasetError>>, spool: &Spool) -> Result<File, DatasetError> {
    let dir = spool.dir.clone();
    let mut file = tokio::task::spawn_blocking(move || tempfile::tempfile_in(dir)).await??;
    let mut left = spool.max_size;
    let mut bytes = std::pin::pin!(bytes.ready_chunks(64));
    loop {
        let next = tokio::time::timeout(spool.timeout, bytes.next()).await;
        let Some(chunks) = next.map_err(|_| DatasetError::Slow(spool.timeout))? else { break };
        let chunks = chunks.into_iter().collect::<Result<Vec<_>, _>>()?;
        let size: usize = chunks.iter().map(Bytes::len).sum();
        left = left.checked_sub(size as u64).ok_or(DatasetError::TooLarge(spool.max_size))?;
        let written = tokio::task::spawn_blocking(move || {
            chunks.iter().try_for_each(|chunk| file.write_all(chunk)).map(|()| file)
        });
        file = written.await??;
    }
    file.rewind()?;
    Ok(file)
}

/// Converts an HTTP error to a [`DatasetError`] without the URL, because the URL may contain a secret.
fn http(error: reqwest::Error) -> DatasetError {
    DatasetError::Http(Box::new(error.without_url()))
}

fn is_wildcard(c: char) -> bool {
    "*?[".contains(c)
}

/// Whether a path or key has one of the wildcard characters `*`, `?` and `[`.
pub(super) fn has_wildcard(text: &str) -> bool {
    text.contains(is_wildcard)
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) => write!(f, "{}", path.display()),
            Self::Objects { pattern, .. } => f.write_str(pattern),
            Self::Http { url, .. } => f.write_str(url.host_str().unwrap_or_default()),
        }
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Location({self})")
    }
}
