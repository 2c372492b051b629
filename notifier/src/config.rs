//! Settings of a notifier.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{error::NotifierError, schedule::when::When};

/// The `[notifier]` table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NotifierConfig {
    /// Where gateways fetch segments, and where health and metrics are. Never reachable from outside.
    pub internal_listen: String,
    /// The URL under which gateways reach that port; empty: the address it listens on.
    pub advertise_url: String,
    /// Outcomes settled at once.
    pub intake_concurrency: usize,
    /// An outcome that was tried this often and can never work becomes a dead letter. Outages are waited out.
    pub intake_max_deliver: u32,
    /// How often to look for committed exports that nobody told of, milliseconds.
    pub dispatch_poll_ms: u64,
    /// Jobs of a lane that wait at the exporters beyond their free slots, so that no slot is idle until that is known.
    pub dispatch_ahead: u64,
    /// Exports of one tenant that are handed over and have not ended, in each lane; the rest wait for their turn.
    pub tenant_in_flight: u32,
    /// The same of one person.
    pub user_in_flight: u32,
    /// How often at most to tell those who wait where they stand, milliseconds.
    pub queue_notes_ms: u64,
    /// How many of them to tell at once, nearest first.
    pub queue_notes_max: usize,
    /// For how long a notifier that does what only one should do may be silent before another does it, milliseconds.
    pub lease_ms: u64,
    /// How long a grant is good, seconds.
    pub grant_ttl_s: u64,
    /// The most grants in one answer.
    pub grant_max: u32,
    /// Requests for grants and metadata answered at once, of each kind.
    pub delivery_concurrency: usize,
    /// Connections of gateways at once; further ones wait until one ends.
    pub serve_connections: usize,
    /// A connection on which no byte moves for this long is closed, seconds. More than the five minutes for which a
    /// client may stand still.
    pub serve_idle_s: u64,
    /// How often at least to look into the table of scheduled jobs, milliseconds.
    pub schedule_poll_ms: u64,
    /// How long one run of a scheduled job may take, seconds.
    pub schedule_deadline_s: u64,
    /// The IANA zone by whose clocks cron lines are read.
    pub schedule_zone: String,
    /// How often to look for what was forgotten and can't wait for the sweep, seconds.
    pub patrol_s: u64,
    /// When to sweep: a cron line.
    pub sweep_cron: String,
    /// How many exports a patrol takes of each kind, and a sweep at a time.
    pub sweep_batch: u64,
    /// How many objects of the file store one sweep looks at; the next goes on from there.
    pub sweep_objects: usize,
    /// An object of an export without a row is deleted when it is older than this, seconds. A database that was just
    /// brought back from a backup may lack rows.
    pub orphan_grace_s: u64,
    /// Accounts that get their nightly credit in one transaction.
    pub credits_batch: u64,
    /// An export without a sign of life for this long gets a fresh job if it has none, seconds.
    pub stuck_after_s: u64,
    /// For this long after the end of an export its objects are looked for that nobody needs, seconds: an exporter
    /// that was stopped late may have written some.
    pub tidy_window_s: u64,
    /// When to compare all accounts with the ledger: a cron line.
    pub audit_cron: String,
    /// How often to look at the queue and at JetStream for their metrics, milliseconds.
    pub gauges_ms: u64,
}

impl Default for NotifierConfig {
    fn default() -> Self {
        Self {
            internal_listen: "127.0.0.1:0".into(),
            advertise_url: String::new(),
            intake_concurrency: 8,
            intake_max_deliver: 20,
            dispatch_poll_ms: 500,
            dispatch_ahead: 1,
            tenant_in_flight: 16,
            user_in_flight: 8,
            queue_notes_ms: 1000,
            queue_notes_max: 500,
            lease_ms: 6000,
            grant_ttl_s: 60,
            grant_max: 64,
            delivery_concurrency: 32,
            serve_connections: 1024,
            serve_idle_s: 360,
            schedule_poll_ms: 1000,
            schedule_deadline_s: 3600,
            schedule_zone: "UTC".into(),
            patrol_s: 30,
            sweep_cron: "0 * * * *".into(),
            sweep_batch: 200,
            sweep_objects: 50_000,
            orphan_grace_s: 86_400,
            credits_batch: 1000,
            stuck_after_s: 600,
            tidy_window_s: 7200,
            audit_cron: "30 3 * * *".into(),
            gauges_ms: 15_000,
        }
    }
}

impl NotifierConfig {
    /// Checks what types can't say.
    ///
    /// # Errors
    /// Names the first setting that can't work.
    pub fn validate(&self) -> Result<(), NotifierError> {
        let positive = [
            ("intake_concurrency", self.intake_concurrency as u64),
            ("intake_max_deliver", self.intake_max_deliver.into()),
            ("lease_ms", self.lease_ms),
            ("tenant_in_flight", self.tenant_in_flight.into()),
            ("user_in_flight", self.user_in_flight.into()),
            ("dispatch_ahead", self.dispatch_ahead),
            ("queue_notes_ms", self.queue_notes_ms),
            ("queue_notes_max", self.queue_notes_max as u64),
            ("dispatch_poll_ms", self.dispatch_poll_ms),
            ("grant_ttl_s", self.grant_ttl_s),
            ("grant_max", self.grant_max.into()),
            ("delivery_concurrency", self.delivery_concurrency as u64),
            ("serve_connections", self.serve_connections as u64),
            ("serve_idle_s", self.serve_idle_s),
            ("schedule_poll_ms", self.schedule_poll_ms),
            ("schedule_deadline_s", self.schedule_deadline_s),
            ("patrol_s", self.patrol_s),
            ("sweep_batch", self.sweep_batch),
            ("sweep_objects", self.sweep_objects as u64),
            ("credits_batch", self.credits_batch),
            ("stuck_after_s", self.stuck_after_s),
            ("tidy_window_s", self.tidy_window_s),
            ("gauges_ms", self.gauges_ms),
        ];
        if let Some((name, _)) = positive.into_iter().find(|(_, value)| *value == 0) {
            return Err(NotifierError::Config(format!("notifier.{name} must be at least 1")));
        }
        When::cron("sweep_cron", &self.sweep_cron, &self.schedule_zone)?;
        When::cron("audit_cron", &self.audit_cron, &self.schedule_zone)?;
        let http = |url: &str| url.starts_with("http://") || url.starts_with("https://");
        if !self.advertise_url.is_empty() && !http(&self.advertise_url) {
            return Err(NotifierError::Config("notifier.advertise_url must begin with http:// or https://".into()));
        }
        Ok(())
    }

    pub(crate) fn grant_ttl(&self) -> Duration {
        Duration::from_secs(self.grant_ttl_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_work_are_named() {
        assert!(NotifierConfig::default().validate().is_ok());
        let zero = NotifierConfig { patrol_s: 0, ..NotifierConfig::default() };
        assert!(zero.validate().unwrap_err().to_string().contains("notifier.patrol_s"));
        let cron = NotifierConfig { sweep_cron: "hourly".into(), ..NotifierConfig::default() };
        assert!(cron.validate().unwrap_err().to_string().contains("notifier.sweep_cron"));
        let url = NotifierConfig { advertise_url: "notifier:80".into(), ..NotifierConfig::default() };
        assert!(url.validate().unwrap_err().to_string().contains("advertise_url"));
    }
}
