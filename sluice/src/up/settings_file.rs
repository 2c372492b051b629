//! Writes the settings file into the data folder of `sluice up`. Other commands read the addresses and secrets of the
//! running services from this file.

use std::{
    env, fs,
    io::ErrorKind,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use gateway::config::{LocalSignIn, LocalUser};
use serde::{Deserialize, Serialize};

use super::{
    data_dir::{DataDir, write_private},
    error::UpError,
    nats::USER,
    secrets::Secrets,
};
use crate::settings;

/// The users of the local identity: id, name and tenant.
pub(super) const LOCAL_USERS: [(&str, &str, &str); 4] =
    [("alice", "Alice", "acme"), ("bob", "Bob", "acme"), ("carol", "Carol", "globex"), ("dave", "Dave", "globex")];

/// The id of the local user who may open the page of operators.
const OPERATOR: &str = "alice";

/// The log filter: warnings only, so that the ready block stays visible.
const LOG_FILTER: &str = "warn";

/// The choice of the catalog file on the command line.
#[derive(Clone, Debug, Default)]
pub(super) enum CatalogChoice {
    /// Keeps the catalog of the previous start, if there is one.
    #[default]
    Keep,
    /// Uses this file, now and at later starts.
    Use(PathBuf),
    /// Uses no catalog, now and at later starts.
    None,
}

/// The settings that `sluice up` writes, a part of [`settings::Settings`]. Secrets are in plain text, because other
/// commands read the secrets from the file.
#[derive(Debug, Serialize)]
struct WrittenSettings<'a> {
    log: Log<'a>,
    nats: Nats<'a>,
    database: Url,
    store: Url,
    gateway: Gateway,
    exporter: Exporter,
}

#[derive(Debug, Serialize)]
struct Log<'a> {
    filter: &'a str,
}

#[derive(Debug, Serialize)]
struct Nats<'a> {
    url: &'a str,
    user: &'a str,
    password: &'a str,
}

#[derive(Debug, Serialize)]
struct Url {
    url: String,
}

/// The settings of the gateway. No load balancer sends requests to this gateway, so its drain needs no delays.
#[derive(Debug, Serialize)]
struct Gateway {
    listen: String,
    web_dir: String,
    shutdown_delay: &'static str,
    session_close_spread: &'static str,
    identity: Identity,
}

#[derive(Debug, Serialize)]
struct Identity {
    local: Local,
}

#[derive(Debug, Serialize)]
struct Local {
    secret: String,
    sign_in: LocalSignIn,
    sign_in_users: Vec<LocalUser>,
}

#[derive(Debug, Serialize)]
struct Exporter {
    datasets_dir: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    catalog: Option<PathBuf>,
}

/// Writes the settings file, which only its owner can read.
pub(super) fn write(
    dir: &DataDir,
    address: SocketAddr,
    nats_url: &str,
    secrets: &Secrets,
    catalog: &CatalogChoice,
) -> Result<(), UpError> {
    let web_dir = env::var("SLUICE_WEB_DIR").unwrap_or_default();
    let file = dir.path().join(settings::FILE);
    let catalog = match catalog {
        CatalogChoice::Keep => previous_catalog(&file)?,
        CatalogChoice::Use(path) => Some(path.clone()),
        CatalogChoice::None => None,
    };
    let text = text(dir, address, nats_url, secrets, web_dir, catalog)
        .map_err(|e| UpError::file(&file)(std::io::Error::other(e)))?;
    write_private(&file, &text)
}

/// Returns the catalog in the settings file of the previous start. A file with invalid contents counts as a file
/// without a catalog, because each start writes the file again.
fn previous_catalog(file: &Path) -> Result<Option<PathBuf>, UpError> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Previous {
        exporter: PreviousExporter,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct PreviousExporter {
        catalog: Option<PathBuf>,
    }
    match fs::read_to_string(file) {
        Ok(text) => Ok(toml::from_str::<Previous>(&text).unwrap_or_default().exporter.catalog),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(UpError::file(file)(e)),
    }
}

fn text(
    dir: &DataDir,
    address: SocketAddr,
    nats_url: &str,
    secrets: &Secrets,
    web_dir: String,
    catalog: Option<PathBuf>,
) -> Result<String, toml::ser::Error> {
    let user = |(id, name, tenant): (&str, &str, &str)| LocalUser {
        id: id.into(),
        name: name.into(),
        sub: id.into(),
        tenant: tenant.into(),
        operator: id == OPERATOR,
    };
    let sign_in_users = LOCAL_USERS.map(user).to_vec();
    let written = WrittenSettings {
        log: Log { filter: LOG_FILTER },
        nats: Nats { url: nats_url, user: USER, password: &secrets.nats_password },
        database: Url { url: platform::db::sqlite_create(&dir.database()).expose().to_owned() },
        store: Url { url: format!("file://{}", dir.files().display()) },
        gateway: Gateway {
            listen: address.to_string(),
            web_dir,
            shutdown_delay: "0s",
            session_close_spread: "0s",
            identity: Identity {
                local: Local { secret: secrets.identity.clone(), sign_in: LocalSignIn::Link, sign_in_users },
            },
        },
        exporter: Exporter { datasets_dir: dir.datasets(), catalog },
    };
    let head = "# Written by `sluice up` at each start. Put settings of your own into a file for --config.\n\n";
    Ok(format!("{head}{}", toml::to_string(&written)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::SettingsFiles;

    #[test]
    fn the_commands_read_what_is_written_and_a_catalog_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::claim(&folder.path().join("data")).unwrap();
        let secrets = Secrets::load(&dir).unwrap();
        let load = |catalog: CatalogChoice| {
            write(&dir, "127.0.0.1:8099".parse().unwrap(), "nats://127.0.0.1:4999", &secrets, &catalog).unwrap();
            SettingsFiles { data_dir: Some(dir.path().into()), config: None }.load().unwrap()
        };
        let settings = load(CatalogChoice::Keep);
        assert_eq!(settings.gateway.listen, "127.0.0.1:8099");
        assert_eq!(settings.nats.password.expose(), secrets.nats_password);
        assert_eq!(settings.gateway.identity.local.secret.expose(), secrets.identity);
        assert_eq!(settings.gateway.identity.local.sign_in_users.len(), 4);
        assert_eq!(settings.gateway.identity.local.sign_in, LocalSignIn::Link);
        assert!(settings.database.url.expose().starts_with("sqlite:///"));
        assert_eq!(settings.exporter.datasets_dir, dir.datasets());
        assert_eq!(settings.exporter.catalog, PathBuf::new());

        let file = PathBuf::from("/srv/catalog.toml");
        assert_eq!(load(CatalogChoice::Use(file.clone())).exporter.catalog, file);
        assert_eq!(load(CatalogChoice::Keep).exporter.catalog, file);
        assert_eq!(load(CatalogChoice::None).exporter.catalog, PathBuf::new());
        assert_eq!(load(CatalogChoice::Keep).exporter.catalog, PathBuf::new());
    }
}
