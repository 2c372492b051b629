//! The settings of a running `sluice up`, left in its data folder for the other commands.

use std::{env, net::SocketAddr, path::Path};

use gateway::config::Person;
use serde::Serialize;

use super::{
    UpError,
    data_dir::{DataDir, write_private},
    nats::USER,
    secrets::Secrets,
};
use crate::settings;

/// People of two tenants to sign in as.
const PEOPLE: [(&str, &str, &str); 4] =
    [("alice", "Alice", "acme"), ("bob", "Bob", "acme"), ("carol", "Carol", "globex"), ("dave", "Dave", "globex")];

/// What is quiet enough beside the block that a person should see.
const LOG: &str = "warn";

/// The part of [`settings::Settings`] that `up` knows better than the defaults. Secrets are plain here, as they are
/// written for reading.
#[derive(Debug, Serialize)]
struct Runtime<'a> {
    log: Log<'a>,
    nats: Nats<'a>,
    database: Url,
    store: Url,
    gateway: Gateway,
    exporter: Exporter<'a>,
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

#[derive(Debug, Serialize)]
struct Gateway {
    listen: String,
    web_dir: String,
    identity: Identity,
    drain: Drain,
}

/// There is no balancer and no other gateway.
#[derive(Debug, Serialize)]
struct Drain {
    look_away_ms: u64,
    spread_ms: u64,
}

#[derive(Debug, Serialize)]
struct Identity {
    local: Local,
}

#[derive(Debug, Serialize)]
struct Local {
    secret: String,
    sign_in: bool,
    people: Vec<Person>,
}

#[derive(Debug, Serialize)]
struct Exporter<'a> {
    datasets_dir: &'a Path,
}

/// Writes them, for their owner alone.
pub(super) fn write(dir: &DataDir, address: SocketAddr, nats_url: &str, secrets: &Secrets) -> Result<(), UpError> {
    let web_dir = env::var("SLUICE_WEB_DIR").unwrap_or_default();
    let file = dir.path().join(settings::FILE);
    let text =
        text(dir, address, nats_url, secrets, web_dir).map_err(|e| UpError::file(&file)(std::io::Error::other(e)))?;
    write_private(&file, &text)
}

fn text(
    dir: &DataDir,
    address: SocketAddr,
    nats_url: &str,
    secrets: &Secrets,
    web_dir: String,
) -> Result<String, toml::ser::Error> {
    let person = |(id, name, tenant): (&str, &str, &str)| Person {
        id: id.into(),
        name: name.into(),
        sub: id.into(),
        tenant: tenant.into(),
    };
    let datasets = dir.datasets();
    let runtime = Runtime {
        log: Log { filter: LOG },
        nats: Nats { url: nats_url, user: USER, password: &secrets.nats_password },
        database: Url { url: platform::db::making(&dir.database()).expose().to_owned() },
        store: Url { url: format!("file://{}", dir.files().display()) },
        gateway: Gateway {
            listen: address.to_string(),
            web_dir,
            identity: Identity {
                local: Local { secret: secrets.identity.clone(), sign_in: true, people: PEOPLE.map(person).to_vec() },
            },
            drain: Drain { look_away_ms: 0, spread_ms: 0 },
        },
        exporter: Exporter { datasets_dir: &datasets },
    };
    let head = "# Written by `sluice up` at each start; settings of your own belong into a file for --config.\n\n";
    Ok(format!("{head}{}", toml::to_string(&runtime)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Place;

    #[test]
    fn what_is_written_is_what_the_commands_read() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::claim(&folder.path().join("data")).unwrap();
        let secrets = Secrets::of(&dir).unwrap();
        write(&dir, "127.0.0.1:8099".parse().unwrap(), "nats://127.0.0.1:4999", &secrets).unwrap();
        let place = Place { data_dir: Some(dir.path().into()), config: None };
        let settings = place.load().unwrap();
        assert_eq!(settings.gateway.listen, "127.0.0.1:8099");
        assert_eq!(settings.nats.password.expose(), secrets.nats_password);
        assert_eq!(settings.gateway.identity.local.secret.expose(), secrets.identity);
        assert_eq!(settings.gateway.identity.local.people.len(), 4);
        assert!(settings.database.url.expose().starts_with("sqlite:///"));
        assert_eq!(settings.exporter.datasets_dir, dir.datasets());
    }
}
