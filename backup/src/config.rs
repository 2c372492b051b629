//! The `[backup]` settings, their defaults and their validation.

use std::{str::FromStr, time::Duration};

use chrono_tz::Tz;
use platform::{config::StoreConfig, secret::Secret, store::FileStore, units::HumanDuration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::BackupError;

/// The `[backup]` settings: the destination, the schedule, the retention and the encryption.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BackupConfig {
    /// Where backups are stored: a folder, `file:///folder` or `s3://bucket/prefix`. Empty means that no backups are
    /// made. Give each installation a destination that no other installation uses.
    pub destination: String,
    /// Endpoint of an S3-compatible store, for an `s3://` destination; empty: AWS. An `http://` URL sends backups
    /// without TLS: use it only on a trusted network.
    pub s3_endpoint: String,
    /// Region of the destination's bucket.
    pub s3_region: String,
    /// Access key for the destination's bucket; empty for the credentials of the environment or the machine.
    pub s3_access_key_id: String,
    /// Secret that belongs to the access key.
    pub s3_secret_access_key: Secret,
    /// Cron expression of the times at which a backup is made, evaluated in the top-level `schedule_time_zone`. It has
    /// five fields, or six fields that begin with the seconds.
    pub schedule: String,
    /// Number of days whose last backup is kept. More days need more space at the destination.
    pub keep_daily: usize,
    /// Number of ISO weeks whose last backup is kept.
    pub keep_weekly: usize,
    /// Number of months whose last backup is kept.
    pub keep_monthly: usize,
    /// Public age keys (`age1…`) for which backups are encrypted; empty for no encryption by key. Only the matching
    /// private keys decrypt the backups, so the machine that creates backups can't read them.
    pub recipients: Vec<String>,
    /// File whose first line is the passphrase that encrypts backups; empty for no passphrase. Use it if you don't want
    /// to manage a key pair. It can't be used together with `recipients`.
    pub passphrase_file: String,
    /// Whether backups include the files of completed exports. If not, the retention of these exports ends when a
    /// backup is restored.
    pub include_files: bool,
    /// Folder of `pg_dump` and `pg_restore`; empty for those on the `PATH`. Their version must not be older than that
    /// of the server.
    pub pg_bin_dir: String,
    /// Longest time that one backup or one restore may take as a whole; a longer one is aborted. Raise it for large
    /// installations.
    pub backup_or_restore_timeout: HumanDuration,
    /// Limits that operators can't set.
    #[serde(skip)]
    #[schemars(skip)]
    pub tuning: BackupTuning,
    /// The time zone of `schedule`, and of the days, weeks and months of the retention; from the top-level
    /// `schedule_time_zone`.
    #[serde(skip)]
    #[schemars(skip)]
    pub schedule_time_zone: Tz,
}

/// Limits that are constants in production.
#[derive(Clone, Copy, Debug)]
pub struct BackupTuning {
    /// Number of files or objects that a backup or a restore copies or verifies at the same time; default 4.
    pub concurrency: usize,
    /// The zstd compression level; default 3.
    pub compression_level: i32,
    /// Time without a transferred byte after which a read or a write fails; default 5 min.
    pub stall_timeout: Duration,
}

impl Default for BackupTuning {
    fn default() -> Self {
        Self { concurrency: 4, compression_level: 3, stall_timeout: Duration::from_secs(5 * 60) }
    }
}

impl Default for BackupConfig {
    fn default() -> Self {
        Self {
            destination: String::new(),
            s3_endpoint: String::new(),
            s3_region: StoreConfig::default().s3_region,
            s3_access_key_id: String::new(),
            s3_secret_access_key: Secret::default(),
            schedule: "15 3 * * *".into(),
            keep_daily: 7,
            keep_weekly: 4,
            keep_monthly: 6,
            recipients: vec![],
            passphrase_file: String::new(),
            include_files: true,
            pg_bin_dir: String::new(),
            backup_or_restore_timeout: HumanDuration::from_secs(6 * 60 * 60),
            tuning: BackupTuning::default(),
            schedule_time_zone: Tz::UTC,
        }
    }
}

impl BackupConfig {
    /// Checks rules that the types of the fields can't express. Does not check `schedule`, because the scheduler of the
    /// notifier checks it.
    ///
    /// # Errors
    /// [`BackupError::Setting`] with the name of the first invalid setting.
    pub fn validate(&self) -> Result<(), BackupError> {
        if self.backup_or_restore_timeout.get().is_zero() {
            return Err(BackupError::setting("backup_or_restore_timeout", "must be longer than zero"));
        }
        if self.keep_daily + self.keep_weekly + self.keep_monthly == 0 {
            return Err(BackupError::setting("keep_daily", "must be at least 1, or keep_weekly or keep_monthly"));
        }
        for recipient in &self.recipients {
            age::x25519::Recipient::from_str(recipient)
                .map_err(|e| BackupError::setting("recipients", &format!("{recipient}: {e}")))?;
        }
        if !self.recipients.is_empty() && !self.passphrase_file.is_empty() {
            return Err(BackupError::setting("passphrase_file", "can't be used together with backup.recipients"));
        }
        Ok(())
    }

    /// Opens the file store at the destination.
    ///
    /// # Errors
    /// When no destination is set, or the destination can't be opened.
    pub fn open_destination(&self) -> Result<FileStore, BackupError> {
        if self.destination.is_empty() {
            return Err(BackupError::setting("destination", "is empty: set a folder or s3://bucket/prefix"));
        }
        FileStore::open(&self.destination_store()).map_err(|e| BackupError::setting("destination", &e.to_string()))
    }

    /// Whether the destination's endpoint is an `http://` URL, so that backups are sent without TLS.
    #[must_use]
    pub fn uses_plain_http(&self) -> bool {
        self.destination_store().uses_plain_http()
    }

    /// Returns the settings of the file store at the destination.
    fn destination_store(&self) -> StoreConfig {
        let has_scheme = self.destination.contains("://");
        let url = if has_scheme { self.destination.clone() } else { format!("file://{}", self.destination) };
        StoreConfig {
            url,
            s3_endpoint: self.s3_endpoint.clone(),
            s3_region: self.s3_region.clone(),
            s3_access_key_id: self.s3_access_key_id.clone(),
            s3_secret_access_key: self.s3_secret_access_key.clone(),
        }
    }

    pub(crate) fn stall_timeout(&self) -> Duration {
        self.tuning.stall_timeout
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_setting_is_named() {
        let default = BackupConfig::default;
        default().validate().unwrap();
        for (config, name) in [
            (
                BackupConfig { backup_or_restore_timeout: HumanDuration::from_secs(0), ..default() },
                "backup.backup_or_restore_timeout",
            ),
            (BackupConfig { keep_daily: 0, keep_weekly: 0, keep_monthly: 0, ..default() }, "backup.keep_daily"),
            (BackupConfig { recipients: vec!["age1invalid".into()], ..default() }, "backup.recipients"),
        ] {
            let error = config.validate().unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
        assert!(default().open_destination().unwrap_err().to_string().contains("backup.destination"));
    }
}
