//! Opens the sources of a catalog file.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use object_store::{ObjectStore, aws::AmazonS3Builder};
use platform::{catalog::MAX_ENTRY_SIZE, secret::Secret};

use super::spec::{SecretRef, SourceSpec};
use crate::{
    ExporterConfig,
    dataset::{DatasetError, Location, PostgresServer, PostgresSettings, SourceDigest, Spool, sql::SqliteFile},
};

/// The timeout for connecting to the server of a remote file, and for each wait for the next bytes of the file.
const FETCH_TIMEOUT: Duration = Duration::from_secs(60);
/// The maximum time that a statement waits while another program holds the write lock of a SQLite file.
const SQLITE_LOCK_TIMEOUT: Duration = Duration::from_secs(30);

/// The settings of the exporter that affect how a catalog file is loaded.
#[derive(Clone, Debug)]
pub struct LoadContext {
    /// The folder that relative paths in the catalog file start from.
    pub folder: PathBuf,
    /// The folder, the maximum size and the timeout for temporary copies of remote files.
    pub spool: Spool,
    /// The number of exports that run at once. A PostgreSQL source reserves this number of its connections, but at most
    /// half of them, for the first connections of exports. An export gets a second or later connection only if the
    /// reserved number of connections stays free.
    pub slots: usize,
    /// The maximum size of a compressed catalog entry, in bytes. It is less than [`MAX_ENTRY_SIZE`] if the NATS server
    /// accepts only smaller messages.
    pub max_entry_size: usize,
    /// The values of environment variables that the catalog file names as secrets. A value here replaces the variable of
    /// the process.
    pub secrets: BTreeMap<String, Secret>,
}

impl LoadContext {
    /// Creates the context from the settings of an exporter, with the default maximum size of catalog entries.
    #[must_use]
    pub fn new(config: &ExporterConfig) -> Self {
        let uses_system_dir = config.spool_dir.as_os_str().is_empty();
        let dir = if uses_system_dir { std::env::temp_dir() } else { config.spool_dir.clone() };
        let spool = Spool { dir, max_size: config.max_spool_size_per_export.bytes(), timeout: FETCH_TIMEOUT };
        Self {
            folder: config.datasets_dir.clone(),
            spool,
            slots: config.slots(),
            max_entry_size: MAX_ENTRY_SIZE,
            secrets: config.tuning.secrets.clone(),
        }
    }

    fn path(&self, path: &str) -> PathBuf {
        // `join` keeps an absolute path
        self.folder.join(path)
    }

    /// Reads the secret that a reference names. An error text never contains the secret.
    pub(super) fn secret(&self, reference: &SecretRef) -> Result<Secret, String> {
        let text = match reference {
            SecretRef::Env(name) if self.secrets.contains_key(name) => self.secrets[name].expose().to_owned(),
            SecretRef::Env(name) => {
                std::env::var(name).map_err(|_| format!("the environment variable `{name}` is not set"))?
            }
            SecretRef::File(path) => {
                std::fs::read_to_string(self.path(path)).map_err(|e| format!("the file `{path}` can't be read: {e}"))?
            }
        };
        let text = text.trim_end_matches(['\r', '\n']);
        if text.is_empty() { Err("the secret is empty".into()) } else { Ok(Secret::new(text)) }
    }

    /// Opens a source. Returns [`OpenSource::Unavailable`] if the source can't be reached.
    ///
    /// # Errors
    /// Returns the text of a fault in the catalog file.
    pub(super) async fn open(&self, spec: &SourceSpec) -> Result<OpenSource, String> {
        Ok(match spec {
            SourceSpec::Postgres { url, connections, connections_per_export, read_timeout, few_rows } => {
                let defaults = PostgresSettings::at(self.secret(url)?);
                let settings = PostgresSettings {
                    connections: connections.unwrap_or(defaults.connections),
                    connections_per_export: connections_per_export.unwrap_or(defaults.connections_per_export),
                    read_timeout: read_timeout.map_or(defaults.read_timeout, platform::units::HumanDuration::get),
                    few_rows: few_rows.unwrap_or(defaults.few_rows),
                    reserved: self.slots,
                    ..defaults
                };
                let server = PostgresServer::new(&settings)?;
                // one check for the source, not one for each of its datasets
                match server.check_connection().await {
                    Ok(()) => OpenSource::Postgres(Arc::new(server)),
                    Err(e) => OpenSource::Unavailable { reason: e.operator_message(), is_postgres: true },
                }
            }
            SourceSpec::Sqlite { path } => {
                let file = SqliteFile::new(&self.path(path), SQLITE_LOCK_TIMEOUT);
                match file.connection().await {
                    Ok(_) => OpenSource::Sqlite(Arc::new(file)),
                    Err(DatasetError::Io(e)) => {
                        let reason =
                            format!("its SQLite file can't be opened: {e}: correct `path`, or the rights on the file");
                        OpenSource::Unavailable { reason, is_postgres: false }
                    }
                    Err(e) => OpenSource::Unavailable { reason: e.operator_message(), is_postgres: false },
                }
            }
            SourceSpec::S3 { bucket, endpoint, region, access_key_id, secret_access_key, allow_http } => {
                let region = region.as_deref().unwrap_or("us-east-1");
                let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket).with_region(region);
                builder = builder.with_allow_http(*allow_http);
                if let Some(endpoint) = endpoint {
                    builder = builder.with_endpoint(endpoint);
                }
                let keys = match (access_key_id, secret_access_key) {
                    (Some(id), Some(key)) => Some((self.secret(id)?, self.secret(key)?)),
                    (None, None) => None,
                    _ => return Err("`access_key_id` and `secret_access_key` belong together".into()),
                };
                if let Some((id, key)) = &keys {
                    builder = builder.with_access_key_id(id.expose()).with_secret_access_key(key.expose());
                }
                let (id, key) = keys.as_ref().map(|(id, key)| (id.expose(), key.expose())).unzip();
                let digest = SourceDigest::of([endpoint.as_deref(), Some(region), Some(bucket), id, key]);
                OpenSource::Bucket(Arc::new(builder.build().map_err(|e| e.to_string())?), digest)
            }
            SourceSpec::Http { base, bearer } => {
                let base = url::Url::parse(base).map_err(|e| format!("`base` is no URL: {e}"))?;
                if !base.username().is_empty() || base.password().is_some() {
                    return Err("`base` holds a password: use `bearer` with an environment variable or a file".into());
                }
                let bearer = bearer.as_ref().map(|bearer| self.secret(bearer)).transpose()?;
                OpenSource::Http(base, bearer.unwrap_or_default())
            }
        })
    }

    /// Returns the location of a dataset's files. `files` is their path, object key or URL, which may have wildcards.
    /// If `source` is None, the files are on this machine. Returns None if the source offers no files or the URL is
    /// invalid.
    pub(super) fn location(&self, files: String, source: Option<OpenSource>) -> Option<Location> {
        let spool = self.spool.clone();
        Some(match source {
            None => Location::local(&self.folder, &files),
            Some(OpenSource::Bucket(store, source)) => Location::Objects { store, source, pattern: files, spool },
            Some(OpenSource::Http(base, bearer)) => {
                let client = reqwest::Client::builder().connect_timeout(FETCH_TIMEOUT).build().ok()?;
                Location::Http { client, url: base.join(&files).ok()?, bearer, spool }
            }
            Some(_) => return None,
        })
    }
}

/// An opened source, or the reason why the source is unavailable.
#[derive(Clone)]
pub(super) enum OpenSource {
    Sqlite(Arc<SqliteFile>),
    Postgres(Arc<PostgresServer>),
    Bucket(Arc<dyn ObjectStore>, SourceDigest),
    Http(url::Url, Secret),
    /// The source can't be reached at present. A later poll of the catalog file tries again.
    Unavailable {
        reason: String,
        is_postgres: bool,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn buckets_of_one_name_are_told_apart_by_server_and_keys() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["one", "two"] {
            std::fs::write(dir.path().join(name), name).unwrap();
        }
        let context = LoadContext {
            folder: dir.path().to_owned(),
            spool: Spool { dir: dir.path().to_owned(), max_size: 1, timeout: FETCH_TIMEOUT },
            slots: 1,
            max_entry_size: MAX_ENTRY_SIZE,
            secrets: BTreeMap::new(),
        };
        let digest = async |settings: &str| {
            let spec = toml::from_str(&format!("kind = \"s3\"\nbucket = \"b\"\n{settings}")).unwrap();
            let Ok(OpenSource::Bucket(_, digest)) = context.open(&spec).await else { panic!("{settings}") };
            digest
        };
        let keys = |id: &str, key: &str| {
            // relative paths begin at the folder of the datasets
            format!("access_key_id = {{ file = \"{id}\" }}\nsecret_access_key = {{ file = \"{key}\" }}\n")
        };
        let settings = [
            String::new(),
            "endpoint = \"https://one\"\n".into(),
            "endpoint = \"https://two\"\n".into(),
            "region = \"eu-west-1\"\n".into(),
            keys("one", "one"),
            keys("one", "two"),
            keys("two", "one"),
        ];
        let mut digests = Vec::new();
        for settings in &settings {
            let found = digest(settings).await;
            assert!(found == digest(settings).await && !digests.contains(&found), "{settings}");
            digests.push(found);
        }
    }
}
