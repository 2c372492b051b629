//! Layered settings: defaults, then a TOML file, then `SLUICE_` environment variables; unknown keys are refused.
//!
//! `SLUICE_GATEWAY__LISTEN=0.0.0.0:80` sets `listen` in `[gateway]`: two underscores go one level down.
//! `SLUICE_NATS__PASSWORD_FILE=/run/secrets/nats` sets `password` in `[nats]` to what that file holds: any setting can be
//! given so, and a secret should be, as a process's environment shows up in more places than a file does.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    path::Path,
};

use figment::{
    Figment, Metadata, Profile, Provider,
    providers::{Env, Format, Toml},
    util::nest,
    value::{Dict, Map, Value},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::secret::Secret;

/// Variables of the command line and its tools that are no settings.
const NOT_SETTINGS: [&str; 15] = [
    "config",
    "data_dir",
    "token",
    "url",
    "nats_server",
    "web_dir",
    "bin",
    "pg_bin",
    "weed",
    "flights",
    "tpch_dir",
    "python",
    "promtool",
    "heavy_datasets",
    "screenshots",
];

/// Settings whose own names end as those variables do that name a file to read a setting from.
pub const NAMED_AS_FILES: [&str; 5] =
    ["nats.credentials_file", "nats.tls_ca_file", "nats.tls_cert_file", "nats.tls_key_file", "backup.passphrase_file"];

/// What ends the name of a variable that names a file to read the setting from.
const FILE: &str = "_file";

/// The largest file that a setting is read from, bytes.
const FILE_BYTES: u64 = 64 * 1024;

/// Settings that can't be used; the text names the key, where it came from, and what is wrong.
#[derive(Debug, thiserror::Error)]
#[error("settings: {0}")]
pub struct ConfigError(String);

/// Reads settings of type `T`, whose types must refuse unknown members and fill in missing ones from their
/// `Default` (`#[serde(default, deny_unknown_fields)]`).
///
/// # Errors
/// When the file can't be read, a key is unknown, or a value doesn't fit.
pub fn load<T: DeserializeOwned>(file: Option<&Path>) -> Result<T, ConfigError> {
    load_layers(file)
}

/// The same with any number of files, each over the one before.
///
/// Defaults are not a layer of their own: written out they would lose their secrets.
///
/// # Errors
/// As [`load`].
pub fn load_layers<'a, T: DeserializeOwned>(files: impl IntoIterator<Item = &'a Path>) -> Result<T, ConfigError> {
    let mut figment = Figment::new();
    for path in files {
        if !path.is_file() {
            return Err(ConfigError(format!("no such file: {}", path.display())));
        }
        figment = figment.merge(Toml::file_exact(path));
    }
    let env = Env::prefixed("SLUICE_").ignore(&NOT_SETTINGS).split("__");
    let variables = env.iter().map(|(key, text)| (key.as_str().to_owned(), text)).collect();
    merge_variables(figment, &env, variables)?.extract_lossy().map_err(|e| ConfigError(e.to_string()))
}

/// Puts variables over what is there, each under its key with dots. What a variable names a file for is read here.
fn merge_variables(
    mut figment: Figment,
    env: &Env,
    variables: BTreeMap<String, String>,
) -> Result<Figment, ConfigError> {
    for (key, text) in &variables {
        let of_file = key.strip_suffix(FILE).filter(|_| !NAMED_AS_FILES.contains(&key.as_str()));
        figment = match of_file {
            None => figment.merge(Variable { env, key, text }),
            Some(setting) if variables.contains_key(setting) => {
                let detail = format!("{setting} and {key} are both in the environment: only one can hold");
                return Err(ConfigError(detail));
            }
            Some(setting) => {
                let value = read(Path::new(text)).map_err(|e| ConfigError(format!("{key}: {text}: {e}")))?;
                figment.merge(Written { env, key: setting, value })
            }
        };
    }
    Ok(figment)
}

/// What a file holds, without the end of its last line, which editors and `echo` add.
fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?.take(FILE_BYTES + 1).read_to_string(&mut text)? as u64;
    if read > FILE_BYTES {
        return Err(io::Error::other(format!("holds more than {FILE_BYTES} bytes")));
    }
    let text = text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
    if text.is_empty() { Err(io::Error::other("holds nothing")) } else { Ok(text.to_owned()) }
}

/// One setting that came out of a file, which is never read as anything but a text.
struct Written<'a> {
    env: &'a Env,
    key: &'a str,
    value: String,
}

impl Provider for Written<'_> {
    fn metadata(&self) -> Metadata {
        self.env.metadata()
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let value = Value::from(self.value.as_str());
        Ok(Map::from([(Profile::Default, nest(self.key, value).into_dict().unwrap_or_default())]))
    }
}

/// One environment variable, as it is written: a password of digits alone is still a text. Where a number, or a yes or
/// no, is wanted, [`Figment::extract_lossy`] reads the text.
struct Variable<'a> {
    env: &'a Env,
    key: &'a str,
    text: &'a str,
}

impl Provider for Variable<'_> {
    fn metadata(&self) -> Metadata {
        self.env.metadata()
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let value = match self.text.parse() {
            // lists and tables are written as in TOML
            Ok(value @ (Value::Array(..) | Value::Dict(..) | Value::String(..))) => value,
            _ => Value::from(self.text),
        };
        Ok(Map::from([(Profile::Default, nest(self.key, value).into_dict().unwrap_or_default())]))
    }
}

/// Where NATS is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NatsConfig {
    /// One or more comma-separated URLs.
    pub url: String,
    /// The user, where the server wants one.
    pub user: String,
    /// The user's password.
    pub password: Secret,
    /// A credentials file instead of user and password.
    pub credentials_file: String,
    /// The certificate authority, in PEM, that the server's certificate must come from; with it the connection must be
    /// encrypted. Empty: what the URL says (`tls://`), by the authorities of the machine.
    pub tls_ca_file: String,
    /// This process's own certificate, in PEM, for a server that asks for one; with it goes `tls_key_file`.
    pub tls_cert_file: String,
    /// The certificate's key, in PEM.
    pub tls_key_file: String,
    /// Where answers to this process come in: only its user should be able to read there. Empty for `_INBOX.<user>`.
    pub inbox_prefix: String,
    /// Replicas of each stream: 1 on one server, 3 on a cluster.
    pub replicas: usize,
    /// How long a request over NATS may take, milliseconds.
    pub request_timeout_ms: u64,
    /// How long gateways and exporters wait at their start for the streams, which a notifier makes, and a notifier for
    /// servers that are not ready to have them made, milliseconds.
    pub streams_wait_ms: u64,
}

impl NatsConfig {
    /// The prefix of the subjects on which answers come in.
    #[must_use]
    pub fn inbox(&self) -> String {
        match (self.inbox_prefix.as_str(), self.user.as_str()) {
            ("", "") => "_INBOX".to_owned(),
            ("", user) => format!("_INBOX.{}", protocol::subject::token(user)),
            (prefix, _) => prefix.to_owned(),
        }
    }
}

impl Default for NatsConfig {
    fn default() -> Self {
        Self {
            url: "nats://127.0.0.1:4222".into(),
            user: String::new(),
            password: Secret::default(),
            credentials_file: String::new(),
            tls_ca_file: String::new(),
            tls_cert_file: String::new(),
            tls_key_file: String::new(),
            inbox_prefix: String::new(),
            replicas: 1,
            request_timeout_ms: 5_000,
            streams_wait_ms: 60_000,
        }
    }
}

/// Where the database is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DatabaseConfig {
    /// `postgres://…` or `sqlite://…`. It may hold a password, so it is a secret.
    pub url: Secret,
    /// The most connections of this process.
    pub max_connections: u32,
    /// How long to wait for a connection, milliseconds.
    pub acquire_timeout_ms: u64,
}

impl Default for DatabaseConfig {
    fn default() -> Self {
        Self { url: Secret::new("sqlite://sluice.db?mode=rwc"), max_connections: 8, acquire_timeout_ms: 10_000 }
    }
}

/// Where files are kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// `file:///folder` or `s3://bucket/prefix`.
    pub url: String,
    /// For S3 servers other than Amazon's: their URL.
    pub s3_endpoint: String,
    /// The region that requests are signed for.
    pub s3_region: String,
    /// The access key; empty for those of the environment or the machine.
    pub s3_access_key_id: String,
    /// Its secret.
    pub s3_secret_access_key: Secret,
    /// Whether plain HTTP to the endpoint is fine.
    pub s3_allow_http: bool,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            url: "file://./files".into(),
            s3_endpoint: String::new(),
            s3_region: "us-east-1".into(),
            s3_access_key_id: String::new(),
            s3_secret_access_key: Secret::default(),
            s3_allow_http: false,
        }
    }
}

/// How to log.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// What to log, such as `info` or `gateway=debug,info`.
    pub filter: String,
    /// `text` for people, `json` for machines.
    pub format: LogFormat,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { filter: "info,sqlx=warn,async_nats=warn,tokio_cron_scheduler=warn".into(), format: LogFormat::Text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Settings {
        nats: NatsConfig,
        database: DatabaseConfig,
    }

    fn load_toml(text: &str) -> Result<Settings, ConfigError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        load(Some(file.path()))
    }

    #[test]
    fn a_file_overrides_defaults_key_by_key() {
        let settings = load_toml("[nats]\nreplicas = 3").unwrap();
        assert_eq!((settings.nats.replicas, settings.nats.request_timeout_ms), (3, 5_000));
        assert_eq!(settings.database.url, DatabaseConfig::default().url, "a secret's default stays what it is");
    }

    #[test]
    fn variables_are_taken_as_written() {
        let env = Env::raw();
        let variable = |figment: Figment, (key, text): (&str, &str)| figment.merge(Variable { env: &env, key, text });
        let read = |texts: &[(&str, &str)]| texts.iter().copied().fold(Figment::new(), variable).extract_lossy();
        for password in ["007", "true", "1e9", "x", "\"quoted\"", "p=a,b"] {
            let settings: Settings = read(&[("nats.password", password), ("nats.replicas", "3")]).unwrap();
            assert_eq!(settings.nats.password.expose(), password.trim_matches('"'));
            assert_eq!(settings.nats.replicas, 3);
        }
        let wrong = read(&[("nats.replicas", "three")]).unwrap_err().to_string();
        assert!(wrong.contains("NATS.REPLICAS") && wrong.contains("three"), "{wrong}");
    }

    fn of_variables<const N: usize>(variables: [(&str, &str); N]) -> Result<Settings, ConfigError> {
        let variables = variables.map(|(key, text)| (key.to_owned(), text.to_owned())).into();
        let figment = merge_variables(Figment::new(), &Env::raw(), variables)?;
        figment.extract_lossy().map_err(|e| ConfigError(e.to_string()))
    }

    #[test]
    fn any_setting_can_be_in_a_file_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        for (text, password) in [("hunter2\n", "hunter2"), ("[1]\r\n", "[1]"), (" 007 \n\n", " 007 \n")] {
            let path = file("password", text);
            let settings = of_variables([("nats.password_file", &path), ("database.url_file", &path)]).unwrap();
            assert_eq!((settings.nats.password.expose(), settings.database.url.expose()), (password, password));
        }
        let settings = of_variables([("nats.replicas_file", &file("replicas", "3\n"))]).unwrap();
        assert_eq!(settings.nats.replicas, 3);
        let settings = of_variables([("nats.credentials_file", "/nowhere.creds")]).unwrap();
        assert_eq!(settings.nats.credentials_file, "/nowhere.creds", "a setting of its own is no file to read");
    }

    #[test]
    fn a_file_that_gives_nothing_is_named_and_its_text_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let given = path.display().to_string();
        let refused = |variables: [(&str, &str); 2]| of_variables(variables).unwrap_err().to_string();
        let missing = refused([("nats.password_file", &given), ("nats.user", "x")]);
        assert!(missing.contains("nats.password_file") && missing.contains(&given), "{missing}");
        std::fs::write(&path, "hunter2").unwrap();
        let twice = refused([("nats.password_file", &given), ("nats.password", "x")]);
        assert!(twice.contains("both") && !twice.contains("hunter2"), "{twice}");
        let unknown = refused([("nats.passwort_file", &given), ("nats.user", "x")]);
        assert!(unknown.contains("passwort") && !unknown.contains("hunter2"), "{unknown}");
        for wrong in ["", "\n", &"x".repeat(70_000)] {
            std::fs::write(&path, wrong).unwrap();
            assert!(refused([("nats.password_file", &given), ("nats.user", "x")]).contains("holds"));
        }
    }

    #[test]
    fn unknown_keys_and_wrong_types_are_refused_by_name() {
        assert!(load_toml("[nats]\nreplica = 3").unwrap_err().to_string().contains("replica"));
        assert!(load_toml("[nats]\nreplicas = \"x\"").unwrap_err().to_string().contains("nats.replicas"));
        assert!(load::<Settings>(Some(Path::new("/nonexistent.toml"))).is_err());
    }
}
