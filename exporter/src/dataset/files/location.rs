//! The locations of the files of datasets, and the local copies of remote files.

use std::{
    fmt,
    fs::File,
    io::{Seek, Write},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt};
use object_store::{ObjectStore, ObjectStoreExt, path::Path};
use platform::secret::Secret;

use super::super::DatasetError;

/// The folder for copies of remote files, and the limits of one copy.
#[derive(Clone, Debug)]
pub struct Spool {
    /// The folder in which the temporary files of copies are created.
    pub dir: PathBuf,
    /// The maximum size of one copy, in bytes.
    pub max_size: u64,
    /// The maximum wait for the next bytes of a remote file.
    pub timeout: Duration,
}

/// The location of the files of a dataset.
pub enum Location {
    /// Local files; the path may have the wildcards `*`, `?`, `[…]` and `**`.
    Local(PathBuf),
    /// Objects of a bucket; the key may have the wildcards `*`, `?` and `[…]`.
    Objects {
        /// The store that holds the bucket.
        store: Arc<dyn ObjectStore>,
        /// The key of one object, or a pattern that matches several keys.
        pattern: String,
        /// The folder and the limits of the copies.
        spool: Spool,
    },
    /// The response body of an HTTP endpoint.
    Http {
        /// The client that sends the requests.
        client: reqwest::Client,
        /// The URL of the endpoint.
        url: url::Url,
        /// The token for `Authorization: Bearer`; empty for none.
        bearer: Secret,
        /// The folder and the limits of the copies.
        spool: Spool,
    },
}

impl Location {
    /// Returns the path of a single local file; None for any other location.
    pub(super) fn local_file(&self) -> Option<PathBuf> {
        match self {
            Self::Local(path) if path.is_file() => Some(path.clone()),
            _ => None,
        }
    }

    /// Returns the paths, keys or URLs of all files, sorted.
    pub(super) async fn list(&self) -> Result<Vec<String>, DatasetError> {
        match self {
            Self::Local(pattern) if !has_wildcard(&pattern.to_string_lossy()) => {
                Ok(vec![pattern.to_string_lossy().into_owned()])
            }
            Self::Local(pattern) => {
                let pattern = pattern.to_string_lossy().into_owned();
                tokio::task::spawn_blocking(move || {
                    let paths = glob::glob(&pattern).map_err(|_| DatasetError::NoFile(pattern.clone()))?;
                    let mut found = Vec::new();
                    for path in paths {
                        let path = path.map_err(std::io::Error::from)?;
                        if path.is_file() {
                            found.push(path.to_string_lossy().into_owned());
                        }
                    }
                    found.sort();
                    Ok(found)
                })
                .await?
            }
            Self::Objects { pattern, .. } if !has_wildcard(pattern) => Ok(vec![pattern.clone()]),
            Self::Objects { store, pattern, spool } => {
                let matches = glob::Pattern::new(pattern).map_err(|_| DatasetError::NoFile(pattern.clone()))?;
                let fixed = pattern.find(is_wildcard).map_or(pattern.as_str(), |at| &pattern[..at]);
                let folder = fixed.rsplit_once('/').map(|(folder, _)| key(folder)).transpose()?;
                let options = glob::MatchOptions { require_literal_separator: true, ..glob::MatchOptions::default() };
                let listing = store
                    .list(folder.as_ref())
                    .map_ok(|object| object.location.to_string())
                    .try_filter(|key| std::future::ready(matches.matches_with(key, options)))
                    .try_collect::<Vec<_>>();
                let mut found = tokio::time::timeout(spool.timeout, listing)
                    .await
                    .map_err(|_| DatasetError::Slow(spool.timeout))??;
                found.sort();
                Ok(found)
            }
            Self::Http { url, .. } => Ok(vec![url.to_string()]),
        }
    }

    /// Opens the file of this path, key or URL. A remote file is first copied to a local one.
    pub(super) async fn fetch(&self, name: &str) -> Result<File, DatasetError> {
        match self {
            Self::Local(_) => {
                let path = name.to_owned();
                let opened = tokio::task::spawn_blocking(move || File::open(&path)).await?;
                opened.map_err(|e| DatasetError::from(e).in_file(name))
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

/// Parses the key of an object without percent-decoding, because a `%` in a key has no special meaning.
fn key(text: &str) -> Result<Path, DatasetError> {
    Path::parse(text).map_err(|e| DatasetError::Objects(e.into()))
}

/// Copies the bytes of a remote file into an unlinked temporary file, within the limits of `spool`.
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

/// Removes the URL from an HTTP error, because the URL may contain a secret.
fn http(error: reqwest::Error) -> DatasetError {
    DatasetError::Http(Box::new(error.without_url()))
}

fn is_wildcard(c: char) -> bool {
    "*?[".contains(c)
}

fn has_wildcard(text: &str) -> bool {
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
