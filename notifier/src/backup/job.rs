//! The scheduled job: a backup whenever the settings say, on one notifier at a time.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use platform::config::DatabaseConfig;

use super::{BackupConfig, BackupError, Report, SettingsText, Source, make};
use crate::{
    app::Deps,
    error::NotifierError,
    schedule::{
        job::{Job, Run},
        when::When,
    },
};

/// What a notifier that makes backups has beside what it works with anyway.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The `[backup]` settings.
    pub config: BackupConfig,
    /// How to reach the database, for the tools of PostgreSQL.
    pub database: DatabaseConfig,
    /// The effective settings.
    pub settings: SettingsText,
}

/// The name of the job: of its row, its lease and its metrics.
pub(crate) const NAME: &str = "backup";

/// Makes backups.
pub(crate) struct Backup {
    source: Source,
    when: When,
}

impl Backup {
    /// The job, if a destination is set.
    ///
    /// # Errors
    /// [`NotifierError::Config`] when a setting can't work.
    pub(crate) fn of(deps: &Deps) -> Result<Option<Arc<dyn Job>>, NotifierError> {
        let Some(setup) = deps.backup.as_deref().filter(|setup| !setup.config.to.is_empty()) else { return Ok(None) };
        let config = &setup.config;
        config.validate()?;
        let when = when(config)?;
        let source = Source {
            config: config.clone(),
            db: deps.db.clone(),
            database: setup.database.clone(),
            bus: deps.bus.clone(),
            store: deps.store.clone(),
            clock: Arc::clone(&deps.clock),
            settings: setup.settings.clone(),
        };
        Ok(Some(Arc::new(Self { source, when })))
    }
}

#[async_trait]
impl Job for Backup {
    fn name(&self) -> &'static str {
        NAME
    }

    fn when(&self) -> When {
        self.when.clone()
    }

    fn deadline(&self) -> Option<Duration> {
        // it keeps its own, which names what took too long
        Some(self.source.config.deadline() * 2)
    }

    async fn run(&self, run: &Run<'_>) -> Result<String, NotifierError> {
        tokio::select! {
            biased;
            made = make(&self.source) => Ok(told(&made?)),
            // half a backup is none, and the next one begins anew
            () = run.stopping() => Err(NotifierError::Stopping),
        }
    }
}

/// When backups are due.
///
/// # Errors
/// When the schedule can't work.
pub(super) fn when(config: &BackupConfig) -> Result<When, BackupError> {
    let when = When::cron("schedule", &config.schedule, &config.zone);
    when.map_err(|e| BackupError::setting("schedule", &format!("can't work: {e}")))
}

/// What a backup did, for people who look at the schedule.
pub(super) fn told(report: &Report) -> String {
    let (counts, pruned) = (&report.contents.counts, &report.pruned);
    let mut told = format!(
        "{}: {} exports, {} ledger entries, {} files ({} new objects); {} old backups deleted",
        report.manifest.id,
        counts.exports,
        counts.ledger_entries,
        counts.files,
        report.new_objects,
        pruned.backups.len()
    );
    if !report.contents.lost.is_empty() {
        told += &format!("; lost in the file store: {}", report.contents.lost.join(", "));
    }
    if let Some(why) = &pruned.failed {
        told += &format!("; old ones can't be deleted: {why}");
    }
    told
}
