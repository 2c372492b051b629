//! All settings of the binary, and the files and variables from which a process reads the settings.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use backup::BackupConfig;
use chrono_tz::Tz;
use entity::credit_policy::{CreditPolicy, CreditPolicyError, CreditsConfig};
use exporter::ExporterConfig;
use gateway::GatewayConfig;
use notifier::NotifierConfig;
use platform::{
    config::{ConfigError, DatabaseConfig, LogConfig, NatsConfig, StoreConfig, load_layers},
    units::HumanDuration,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cli::SettingsFiles;

/// The name of the settings file that `sluice up` writes into its data folder.
pub const FILE: &str = "sluice.toml";

/// The reason why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A file or an environment variable is invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The data folder has no settings file.
    #[error("{0} holds no {FILE}: start `sluice up --data-dir {0}` once, or name another folder")]
    NoDataDir(PathBuf),
}

/// The settings of an installation. All services may read the same file; each service uses the tables that concern it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(title = "Settings of Sluice")]
pub struct Settings {
    /// The longest time that running work may take to finish after a stop signal. Keep it below the time after which
    /// the service manager kills the process.
    pub shutdown_grace: HumanDuration,
    /// IANA time zone of daily grants, scheduled jobs and backups, such as `Europe/Berlin`.
    #[schemars(with = "String")]
    pub schedule_time_zone: Tz,
    /// The log on standard error.
    pub log: LogConfig,
    /// The connection to NATS.
    pub nats: NatsConfig,
    /// The database that all services share.
    pub database: DatabaseConfig,
    /// The file store of exporters and notifiers. Gateways need none.
    pub store: StoreConfig,
    /// The credit policy of gateways and notifiers.
    pub credits: CreditsConfig,
    /// Gateways: listeners, limits, and the delays of a graceful stop.
    pub gateway: GatewayConfig,
    /// Exporters: datasets, slots, segments and temporary files.
    pub exporter: ExporterConfig,
    /// Notifiers: outcomes, dispatch, delivery and scheduled jobs.
    pub notifier: NotifierConfig,
    /// Backups, by notifiers and by `sluice backup`.
    pub backup: BackupConfig,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            shutdown_grace: HumanDuration::from_secs(20),
            schedule_time_zone: Tz::UTC,
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

impl Settings {
    /// Returns the credit policy in the time zone of the installation.
    ///
    /// # Errors
    /// When a `[credits]` setting is invalid.
    pub fn credit_policy(&self) -> Result<CreditPolicy, CreditPolicyError> {
        CreditPolicy::new(&self.credits, self.schedule_time_zone.name())
    }

    /// Returns the longest time that a gateway takes to drain.
    #[must_use]
    pub(crate) fn gateway_drain(&self) -> Duration {
        let gateway = &self.gateway;
        let close = gateway.http_drain_timeout.get().max(gateway.session_close_spread.get());
        gateway.shutdown_delay.get().saturating_add(close).saturating_add(gateway::CLOSE_GRACE)
    }
}

impl SettingsFiles {
    /// Loads the effective settings. The settings file of the data folder overrides the defaults, the file of
    /// `--config` overrides both, and the environment overrides all files.
    ///
    /// # Errors
    /// When a file can't be read, a key is unknown, or a value is invalid.
    pub fn load(&self) -> Result<Settings, SettingsError> {
        let of_data_dir = self.data_dir.as_deref().map(|dir| dir.join(FILE));
        if let (Some(file), Some(dir)) = (&of_data_dir, &self.data_dir)
            && !file.is_file()
        {
            return Err(SettingsError::NoDataDir(dir.clone()));
        }
        let files: [Option<&Path>; 2] = [of_data_dir.as_deref(), self.config.as_deref()];
        let mut settings: Settings = load_layers(files.into_iter().flatten())?;
        settings.notifier.schedule_time_zone = settings.schedule_time_zone;
        settings.backup.schedule_time_zone = settings.schedule_time_zone;
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn files(data_dir: Option<&str>, config: Option<&str>) -> (tempfile::TempDir, SettingsFiles) {
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
        (dir, SettingsFiles { config, data_dir })
    }

    #[test]
    fn a_given_file_overrides_the_data_folder_key_by_key() {
        let (_dir, files) = files(
            Some("[nats]\nurl = \"nats://a\"\nreplicas = 3\n[database]\nurl = \"sqlite://a\""),
            Some("[nats]\nurl = \"nats://b\""),
        );
        let settings = files.load().unwrap();
        assert_eq!((settings.nats.url.as_str(), settings.nats.replicas), ("nats://b", 3));
        assert_eq!(settings.database.url.expose(), "sqlite://a");
        assert_eq!(settings.shutdown_grace, HumanDuration::from_secs(20));
    }

    #[test]
    fn the_schedule_time_zone_reaches_every_service_and_an_unknown_one_is_refused() {
        let (_dir, known) = files(None, Some("schedule_time_zone = \"Europe/Berlin\""));
        let settings = known.load().unwrap();
        assert_eq!([settings.notifier.schedule_time_zone, settings.backup.schedule_time_zone], [Tz::Europe__Berlin; 2]);
        assert_eq!(settings.credit_policy().unwrap().time_zone, Tz::Europe__Berlin);
        let (_dir, unknown) = files(None, Some("schedule_time_zone = \"Mars/Olympus\""));
        let error = unknown.load().unwrap_err().to_string();
        assert!(error.contains("schedule_time_zone"), "{error}");
    }

    #[test]
    fn unknown_keys_are_refused_by_name() {
        for text in
            ["[gatway]", "[gateway]\nlisten_on = \"x\"", "[gateway.identity.local]\nsecrets = 1", "shutdown = 1"]
        {
            let (_dir, files) = files(None, Some(text));
            let error = files.load().unwrap_err().to_string();
            assert!(error.contains("unknown field"), "{error}");
        }
    }

    #[test]
    fn a_data_folder_without_settings_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let files = SettingsFiles { config: None, data_dir: Some(dir.path().into()) };
        assert!(matches!(files.load(), Err(SettingsError::NoDataDir(_))));
    }

    #[test]
    fn every_setting_whose_name_ends_in_file_is_known_to_the_environment() {
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
        let mut known = platform::config::SETTINGS_WITH_FILE_SUFFIX;
        known.sort();
        assert_eq!(found, known, "other variables that end in _FILE name a file that holds the setting");
    }

    #[test]
    fn the_settings_of_clusters_are_valid_and_leave_time_to_drain() {
        let texts = [
            include_str!("../../ops/kubernetes/base/sluice.toml"),
            include_str!("../../ops/kubernetes/overlays/dev/sluice.toml"),
            include_str!("../../ops/kubernetes/overlays/staging/sluice.toml"),
            include_str!("../../ops/kubernetes/overlays/production/sluice.toml"),
        ];
        // preStop (5 s) and the grace have to fit into terminationGracePeriodSeconds
        for text in texts {
            let (_dir, files) = files(None, Some(text));
            let settings = files.load().unwrap();
            assert!(settings.shutdown_grace.as_secs() + 5 < 75);
            let drain = settings.gateway_drain().max(settings.exporter.shutdown_drain_timeout.get());
            assert!(drain < settings.shutdown_grace.get());
            settings.exporter.validate().unwrap();
        }
    }

    #[test]
    fn the_autoscaling_of_clusters_names_the_job_consumers() {
        use protocol::subject::{Lane, STREAM_JOBS, job_consumer};
        let scaling = include_str!("../../ops/kubernetes/components/keda/scaledobject.yaml");
        let pool = Settings::default().exporter.pool;
        for lane in Lane::ALL {
            assert!(scaling.contains(&format!("consumer: {}\n", job_consumer(&pool, lane))), "{lane:?}");
        }
        assert_eq!(scaling.matches(&format!("stream: {STREAM_JOBS}\n")).count(), Lane::ALL.len());
    }

    #[test]
    fn the_example_for_operators_is_valid() {
        let text = include_str!("../../ops/sluice.toml");
        let (_dir, files) = files(None, Some(text));
        assert_eq!(files.load().unwrap().gateway.identity.tenant_claim, "org_id");
    }
}
