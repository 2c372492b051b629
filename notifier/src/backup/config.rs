//! Settings of backups.

use std::{str::FromStr, time::Duration};

use chrono_tz::Tz;
use platform::{config::StoreConfig, secret::Secret, store::FileStore};
use serde::{Deserialize, Serialize};

use super::error::BackupError;

/// The `[backup]` table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BackupConfig {
    /// Where backups go: a folder, `file:///folder` or `s3://bucket/prefix`; empty: none are made. Each installation
    /// needs a place of its own.
    pub to: String,
    /// As in `[store]`, for a destination in S3.
    pub s3_endpoint: String,
    /// As in `[store]`.
    pub s3_region: String,
    /// As in `[store]`.
    pub s3_access_key_id: String,
    /// As in `[store]`.
    pub s3_secret_access_key: Secret,
    /// As in `[store]`.
    pub s3_allow_http: bool,
    /// When, as cron with five fields or six, the first of six being seconds.
    pub schedule: String,
    /// The zone of the schedule, and of the days, weeks and months that are kept.
    pub zone: String,
    /// The last backup of each of this many days is kept.
    pub keep_daily: usize,
    /// The last one of each of this many weeks.
    pub keep_weekly: usize,
    /// The last one of each of this many months.
    pub keep_monthly: usize,
    /// Public keys of age (`age1…`) for which backups are encrypted.
    pub recipients: Vec<String>,
    /// A file with a passphrase instead, on its first line.
    pub passphrase_file: String,
    /// Whether the files of completed exports are part of it.
    pub files: bool,
    /// Objects copied at once.
    pub concurrency: usize,
    /// zstd's level.
    pub compression_level: i32,
    /// The folder of `pg_dump` and `pg_restore`; empty: those on the PATH. Not older than the server.
    pub pg_bin: String,
    /// Where a copy of a SQLite database is put for as long as a backup takes; empty: the system's folder for temporary
    /// files.
    pub scratch_dir: String,
    /// How long a whole backup may take, seconds.
    pub deadline_s: u64,
    /// For how long nothing may move in a read or a write, seconds.
    pub stall_s: u64,
}

impl Default for BackupConfig {
    fn default() -> Self {
        Self {
            to: String::new(),
            s3_endpoint: String::new(),
            s3_region: StoreConfig::default().s3_region,
            s3_access_key_id: String::new(),
            s3_secret_access_key: Secret::default(),
            s3_allow_http: false,
            schedule: "15 3 * * *".into(),
            zone: "UTC".into(),
            keep_daily: 7,
            keep_weekly: 4,
            keep_monthly: 6,
            recipients: vec![],
            passphrase_file: String::new(),
            files: true,
            concurrency: 4,
            compression_level: 3,
            pg_bin: String::new(),
            scratch_dir: String::new(),
            deadline_s: 6 * 60 * 60,
            stall_s: 300,
        }
    }
}

impl BackupConfig {
    /// Checks what types can't say.
    ///
    /// # Errors
    /// Names the first setting that can't work.
    pub fn validate(&self) -> Result<(), BackupError> {
        let positive = [
            ("concurrency", self.concurrency as u64),
            ("deadline_s", self.deadline_s),
            ("stall_s", self.stall_s),
            ("keep_daily", (self.keep_daily + self.keep_weekly + self.keep_monthly) as u64),
        ];
        if let Some((name, _)) = positive.into_iter().find(|(_, value)| *value == 0) {
            return Err(BackupError::setting(name, "must be at least 1"));
        }
        if !zstd::compression_level_range().contains(&self.compression_level) {
            return Err(BackupError::setting("compression_level", "is none of zstd's levels"));
        }
        for recipient in &self.recipients {
            age::x25519::Recipient::from_str(recipient)
                .map_err(|e| BackupError::setting("recipients", &format!("{recipient}: {e}")))?;
        }
        if !self.recipients.is_empty() && !self.passphrase_file.is_empty() {
            return Err(BackupError::setting("passphrase_file", "can't be used together with backup.recipients"));
        }
        self.zone().map(drop)
    }

    /// The zone of the schedule.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn zone(&self) -> Result<Tz, BackupError> {
        self.zone.parse().map_err(|_| BackupError::setting("zone", &format!("no zone is called {}", self.zone)))
    }

    /// Opens the destination.
    ///
    /// # Errors
    /// When none is set, or it can't be opened.
    pub fn destination(&self) -> Result<FileStore, BackupError> {
        if self.to.is_empty() {
            return Err(BackupError::setting("to", "is empty: name a folder or s3://bucket/prefix"));
        }
        let url = if self.to.contains("://") { self.to.clone() } else { format!("file://{}", self.to) };
        let store = StoreConfig {
            url,
            s3_endpoint: self.s3_endpoint.clone(),
            s3_region: self.s3_region.clone(),
            s3_access_key_id: self.s3_access_key_id.clone(),
            s3_secret_access_key: self.s3_secret_access_key.clone(),
            s3_allow_http: self.s3_allow_http,
        };
        FileStore::open(&store).map_err(|e| BackupError::setting("to", &e.to_string()))
    }

    pub(super) fn deadline(&self) -> Duration {
        Duration::from_secs(self.deadline_s)
    }

    pub(super) fn stall(&self) -> Duration {
        Duration::from_secs(self.stall_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_work_are_named() {
        let default = BackupConfig::default;
        default().validate().unwrap();
        for (config, name) in [
            (BackupConfig { concurrency: 0, ..default() }, "backup.concurrency"),
            (BackupConfig { keep_daily: 0, keep_weekly: 0, keep_monthly: 0, ..default() }, "backup.keep_daily"),
            (BackupConfig { recipients: vec!["age1nobody".into()], ..default() }, "backup.recipients"),
            (BackupConfig { zone: "Mars/Olympus".into(), ..default() }, "backup.zone"),
            (BackupConfig { compression_level: 99, ..default() }, "backup.compression_level"),
        ] {
            let error = config.validate().unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
        assert!(default().destination().unwrap_err().to_string().contains("backup.to"));
    }
}
