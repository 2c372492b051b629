//! Reads settings in layers. Environment variables with the prefix `SLUICE_` override TOML files, which override the
//! defaults. An unknown key is an error.
//!
//! - `SLUICE_GATEWAY__LISTEN=0.0.0.0:80` sets `listen` in `[gateway]`. Two underscores separate a table from its key.
//! - `SLUICE_NATS__PASSWORD_FILE=/run/secrets/nats` sets `password` in `[nats]` to the text of that file. The suffix
//!   `_FILE` works for every setting. Operators should use it for secrets, because the environment of a process is
//!   visible in more places than a file.

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
use serde::de::DeserializeOwned;

/// Variables with the prefix `SLUICE_` that are not settings: options of the command line, the tests and other tools.
const NON_SETTINGS: [&str; 19] = [
    "config",
    "data_dir",
    "token",
    "url",
    "nats_server",
    "web_dir",
    "bin",
    "pg_bin",
    "pg_newest_bin",
    "pg_templates",
    "pgbouncer",
    "weed",
    "flights",
    "tpch_dir",
    "python",
    "promtool",
    "heavy_datasets",
    "screenshots",
    "no_mounts",
];

/// Settings whose own names end in `_file`. Their value is the path itself, not the text of the file.
pub const SETTINGS_WITH_FILE_SUFFIX: [&str; 5] =
    ["nats.credentials_file", "nats.tls_ca_file", "nats.tls_cert_file", "nats.tls_key_file", "backup.passphrase_file"];

/// The suffix of a variable whose value is the path of a file with the setting's text.
const FILE_SUFFIX: &str = "_file";

/// The maximum size of a file with the text of a setting, in bytes.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// The reason why settings cannot be read. The text names the key, the file or variable, and the error.
#[derive(Debug, thiserror::Error)]
#[error("settings: {0}")]
pub struct ConfigError(String);

/// Reads settings of type `T` from a file and the environment.
///
/// The type must refuse unknown keys, and must fill missing keys from its `Default`
/// (`#[serde(default, deny_unknown_fields)]`).
///
/// # Errors
/// When the file can't be read, a key is unknown, or a value has the wrong type.
pub fn load<T: DeserializeOwned>(file: Option<&Path>) -> Result<T, ConfigError> {
    load_layers(file)
}

/// Reads settings as [`load`] does, from any number of files. Later files override earlier files.
///
/// The defaults come from the type and are not a layer. A layer would hold the defaults in serialised form, which hides
/// secrets.
///
/// # Errors
/// When a file can't be read, a key is unknown, or a value has the wrong type.
pub fn load_layers<'a, T: DeserializeOwned>(files: impl IntoIterator<Item = &'a Path>) -> Result<T, ConfigError> {
    let mut figment = Figment::new();
    for path in files {
        if !path.is_file() {
            return Err(ConfigError(format!("no such file: {}", path.display())));
        }
        figment = figment.merge(Toml::file_exact(path));
    }
    let env = Env::prefixed("SLUICE_").ignore(&NON_SETTINGS).split("__");
    let variables = env.iter().map(|(key, text)| (key.as_str().to_owned(), text)).collect();
    merge_variables(figment, &env, variables)?.extract_lossy().map_err(|e| ConfigError(e.to_string()))
}

/// Merges environment variables over the files. `variables` maps dotted keys, such as `nats.password_file`, to texts.
fn merge_variables(
    mut figment: Figment,
    env: &Env,
    variables: BTreeMap<String, String>,
) -> Result<Figment, ConfigError> {
    for (key, text) in &variables {
        let from_file = key.strip_suffix(FILE_SUFFIX).filter(|_| !SETTINGS_WITH_FILE_SUFFIX.contains(&key.as_str()));
        figment = match from_file {
            None => figment.merge(Variable { env, key, text }),
            Some(setting) if variables.contains_key(setting) => {
                let detail = format!("{setting} and {key} are both in the environment: set only one of the two");
                return Err(ConfigError(detail));
            }
            Some(setting) => {
                let text = read(Path::new(text)).map_err(|e| ConfigError(format!("{key}: {text}: {e}")))?;
                figment.merge(FileText { env, key: setting, text })
            }
        };
    }
    Ok(figment)
}

/// Reads the text of a file and removes its last line break, which editors and `echo` add.
fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_string(&mut text)? as u64;
    if read > MAX_FILE_BYTES {
        return Err(io::Error::other(format!("the file holds more than {MAX_FILE_BYTES} bytes")));
    }
    let text = text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
    if text.is_empty() { Err(io::Error::other("the file is empty")) } else { Ok(text.to_owned()) }
}

/// The text of a file that a `_FILE` variable names. The text is never parsed as a list or a table.
struct FileText<'a> {
    env: &'a Env,
    key: &'a str,
    text: String,
}

impl Provider for FileText<'_> {
    fn metadata(&self) -> Metadata {
        self.env.metadata()
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let value = Value::from(self.text.as_str());
        Ok(Map::from([(Profile::Default, nest(self.key, value).into_dict().unwrap_or_default())]))
    }
}

/// An environment variable. Its value stays a text, so that a password of digits is not parsed as a number.
/// [`Figment::extract_lossy`] parses the text if the setting is a number or a boolean.
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
            // lists and tables have TOML syntax
            Ok(value @ (Value::Array(..) | Value::Dict(..) | Value::String(..))) => value,
            _ => Value::from(self.text),
        };
        Ok(Map::from([(Profile::Default, nest(self.key, value).into_dict().unwrap_or_default())]))
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::{
        config::{DatabaseConfig, NatsConfig},
        units::HumanDuration,
    };

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
        assert_eq!((settings.nats.replicas, settings.nats.request_timeout), (3, HumanDuration::from_secs(5)));
        assert_eq!(settings.database.url, DatabaseConfig::default().url, "a secret keeps its default");
    }

    #[test]
    fn a_variable_is_parsed_only_where_the_setting_is_not_a_text() {
        let env = Env::raw();
        let variable = |figment: Figment, (key, text): (&str, &str)| figment.merge(Variable { env: &env, key, text });
        let read = |texts: &[(&str, &str)]| texts.iter().copied().fold(Figment::new(), variable).extract_lossy();
        for password in ["007", "true", "1e9", "x", "\"quoted\"", "p=a,b"] {
            let variables = [("nats.password", password), ("nats.replicas", "3"), ("nats.request_timeout", "90s")];
            let settings: Settings = read(&variables).unwrap();
            assert_eq!(settings.nats.password.expose(), password.trim_matches('"'));
            assert_eq!((settings.nats.replicas, settings.nats.request_timeout), (3, HumanDuration::from_secs(90)));
        }
        for (key, text, expected) in
            [("nats.replicas", "three", "three"), ("nats.request_timeout", "90", "write a number with a unit")]
        {
            let error = read(&[(key, text)]).unwrap_err().to_string();
            assert!(error.contains(&key.to_uppercase()) && error.contains(expected), "{error}");
        }
    }

    fn from_variables<const N: usize>(variables: [(&str, &str); N]) -> Result<Settings, ConfigError> {
        let variables = variables.map(|(key, text)| (key.to_owned(), text.to_owned())).into();
        let figment = merge_variables(Figment::new(), &Env::raw(), variables)?;
        figment.extract_lossy().map_err(|e| ConfigError(e.to_string()))
    }

    #[test]
    fn any_setting_can_be_read_from_a_file_that_a_variable_names() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        for (text, password) in [("hunter2\n", "hunter2"), ("[1]\r\n", "[1]"), (" 007 \n\n", " 007 \n")] {
            let path = file("password", text);
            let settings = from_variables([("nats.password_file", &path), ("database.url_file", &path)]).unwrap();
            assert_eq!((settings.nats.password.expose(), settings.database.url.expose()), (password, password));
        }
        let settings = from_variables([("nats.replicas_file", &file("replicas", "3\n"))]).unwrap();
        assert_eq!(settings.nats.replicas, 3);
        let settings = from_variables([("nats.credentials_file", "/nowhere.creds")]).unwrap();
        assert_eq!(settings.nats.credentials_file, "/nowhere.creds", "a setting whose name ends in _file holds a path");
    }

    #[test]
    fn an_unusable_file_is_named_in_the_error_and_its_text_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let given = path.display().to_string();
        let refused = |variables: [(&str, &str); 2]| from_variables(variables).unwrap_err().to_string();
        let missing = refused([("nats.password_file", &given), ("nats.user", "x")]);
        assert!(missing.contains("nats.password_file") && missing.contains(&given), "{missing}");
        std::fs::write(&path, "hunter2").unwrap();
        let twice = refused([("nats.password_file", &given), ("nats.password", "x")]);
        assert!(twice.contains("both") && !twice.contains("hunter2"), "{twice}");
        let unknown = refused([("nats.passwort_file", &given), ("nats.user", "x")]);
        assert!(unknown.contains("passwort") && !unknown.contains("hunter2"), "{unknown}");
        let large = "x".repeat(70_000);
        for (text, expected) in [("", "empty"), ("\n", "empty"), (large.as_str(), "more than 65536 bytes")] {
            std::fs::write(&path, text).unwrap();
            assert!(refused([("nats.password_file", &given), ("nats.user", "x")]).contains(expected));
        }
    }

    #[test]
    fn unknown_keys_and_wrong_types_are_refused_by_name() {
        assert!(load_toml("[nats]\nreplica = 3").unwrap_err().to_string().contains("replica"));
        assert!(load_toml("[nats]\nreplicas = \"x\"").unwrap_err().to_string().contains("nats.replicas"));
        assert!(load::<Settings>(Some(Path::new("/nonexistent.toml"))).is_err());
    }
}
