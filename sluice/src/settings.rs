//! All settings of the binary, and where they come from.

use std::path::{Path, PathBuf};

use entity::credit_policy::CreditsConfig;
use exporter::ExporterConfig;
use gateway::GatewayConfig;
use notifier::{NotifierConfig, backup::BackupConfig};
use platform::config::{ConfigError, DatabaseConfig, LogConfig, NatsConfig, StoreConfig, load_layers};
use serde::{Deserialize, Serialize};

use crate::cli::Place;

/// The settings that `sluice up` leaves in its data folder.
pub const FILE: &str = "sluice.toml";

/// Settings that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A file or variable is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The folder isn't that of a `sluice up`.
    #[error("{0} holds no {FILE}: start `sluice up --data-dir {0}` once, or name another folder")]
    NoDataDir(PathBuf),
}

/// Everything that can be set. Each service takes its part.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How long work may take to drain at the end, seconds.
    pub shutdown_grace_s: u64,
    /// The IANA time zone of daily credits, scheduled jobs and backups.
    pub time_zone: String,
    /// Logs.
    pub log: LogConfig,
    /// NATS.
    pub nats: NatsConfig,
    /// The database that all services share.
    pub database: DatabaseConfig,
    /// Where files are kept; the gateway needs none.
    pub store: StoreConfig,
    /// The terms of credits, for gateways and notifiers alike.
    pub credits: CreditsConfig,
    /// The gateway.
    pub gateway: GatewayConfig,
    /// The exporter.
    pub exporter: ExporterConfig,
    /// The notifier.
    pub notifier: NotifierConfig,
    /// Backups, which notifiers make by the clock.
    pub backup: BackupConfig,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            shutdown_grace_s: 20,
            time_zone: "UTC".into(),
            log: LogConfig::default(),
            nats: NatsConfig::default(),
            database: DatabaseConfig::default(),
            store: StoreConfig::default(),
            credits: CreditsConfig::default(),
            gateway: GatewayConfig::default(),
            exporter: ExporterConfig::default(),
            notifier: NotifierConfig::default(),
            backup: BackupConfig::default(),
        }
    }
}

impl Place {
    /// The effective settings: defaults, the data folder's, the file's, the environment's.
    ///
    /// # Errors
    /// When one of them can't be read or holds what it shouldn't.
    pub fn load(&self) -> Result<Settings, SettingsError> {
        let of_data_dir = self.data_dir.as_deref().map(|dir| dir.join(FILE));
        if let (Some(file), Some(dir)) = (&of_data_dir, &self.data_dir)
            && !file.is_file()
        {
            return Err(SettingsError::NoDataDir(dir.clone()));
        }
        let files: [Option<&Path>; 2] = [of_data_dir.as_deref(), self.config.as_deref()];
        Ok(load_layers(files.into_iter().flatten())?)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn place(data_dir: Option<&str>, config: Option<&str>) -> (tempfile::TempDir, Place) {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let config = config.map(|text| file("given.toml", text));
        let data_dir = data_dir.map(|text| {
            file(FILE, text);
            dir.path().to_path_buf()
        });
        (dir, Place { config, data_dir })
    }

    #[test]
    fn a_given_file_overrides_that_of_the_data_folder_key_by_key() {
        let (_dir, place) = place(
            Some("[nats]\nurl = \"nats://a\"\nreplicas = 3\n[database]\nurl = \"sqlite://a\""),
            Some("[nats]\nurl = \"nats://b\""),
        );
        let settings = place.load().unwrap();
        assert_eq!((settings.nats.url.as_str(), settings.nats.replicas), ("nats://b", 3));
        assert_eq!(settings.database.url.expose(), "sqlite://a");
        assert_eq!(settings.shutdown_grace_s, 20);
    }

    #[test]
    fn unknown_keys_are_refused_by_name() {
        for text in
            ["[gatway]", "[gateway]\nlisten_on = \"x\"", "[gateway.identity.local]\nsecrets = 1", "shutdown = 1"]
        {
            let (_dir, place) = place(None, Some(text));
            let error = place.load().unwrap_err().to_string();
            assert!(error.contains("unknown field"), "{error}");
        }
    }

    #[test]
    fn a_folder_without_settings_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place { config: None, data_dir: Some(dir.path().into()) };
        assert!(matches!(place.load(), Err(SettingsError::NoDataDir(_))));
    }

    #[test]
    fn settings_that_are_named_as_files_are_known() {
        fn names(value: &serde_json::Value, at: &str, found: &mut Vec<String>) {
            for (key, value) in value.as_object().into_iter().flatten() {
                let key = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
                names(value, &key, found);
                if key.ends_with("_file") {
                    found.push(key);
                }
            }
        }
        let mut found = vec![];
        names(&serde_json::to_value(Settings::default()).unwrap(), "", &mut found);
        found.sort();
        let mut known = platform::config::NAMED_AS_FILES;
        known.sort();
        assert_eq!(found, known, "a variable that ends in _FILE names a file to read, but for these");
    }

    #[test]
    fn the_settings_of_clusters_have_only_keys_that_exist_and_time_to_end() {
        let texts = [
            include_str!("../../ops/kubernetes/base/sluice.toml"),
            include_str!("../../ops/kubernetes/overlays/dev/sluice.toml"),
            include_str!("../../ops/kubernetes/overlays/staging/sluice.toml"),
            include_str!("../../ops/kubernetes/overlays/production/sluice.toml"),
        ];
        // preStop (5 s) and the grace have to fit into terminationGracePeriodSeconds
        for text in texts {
            let (_dir, place) = place(None, Some(text));
            let settings = place.load().unwrap();
            assert!(settings.shutdown_grace_s + 5 < 75);
            let Settings { gateway, exporter, .. } = &settings;
            let drain = gateway.drain.look_away_ms + gateway.drain.spread_ms + gateway.drain.requests_ms;
            assert!(drain.max(exporter.drain_ms) < 1000 * settings.shutdown_grace_s);
            exporter.validate().unwrap();
        }
    }

    #[test]
    fn exporters_in_a_cluster_scale_by_the_consumers_that_there_are() {
        use protocol::subject::{Lane, STREAM_JOBS, job_consumer};
        let scaling = include_str!("../../ops/kubernetes/components/keda/scaledobject.yaml");
        let pool = Settings::default().exporter.pool;
        for lane in Lane::ALL {
            assert!(scaling.contains(&format!("consumer: {}\n", job_consumer(&pool, lane))), "{lane:?}");
        }
        assert_eq!(scaling.matches(&format!("stream: {STREAM_JOBS}\n")).count(), Lane::ALL.len());
    }

    #[test]
    fn the_example_for_operators_has_only_keys_that_exist() {
        let text = include_str!("../../ops/sluice.toml");
        let (_dir, place) = place(None, Some(text));
        assert_eq!(place.load().unwrap().gateway.identity.tenant_claim, "org_id");
    }
}
