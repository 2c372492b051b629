//! The `[notifier]` settings, and the limits that only tests change.

use chrono_tz::Tz;
use platform::units::HumanDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{error::NotifierError, schedule::recurrence::Recurrence};

/// The settings of the `[notifier]` table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NotifierConfig {
    /// Address of the notifier's only HTTP port, which serves health, metrics, and the bytes of segments for gateways.
    /// Never make it reachable from outside.
    pub internal_listen: String,
    /// URL under which gateways reach the internal HTTP port. Set it when the notifier listens on all interfaces;
    /// empty means the listening address.
    pub advertise_url: String,
    /// Largest number of outcomes that one notifier settles at the same time. Settling an outcome records the result of
    /// its export, and captures or releases the credits. Raise the limit when outcomes pile up while the database has
    /// capacity to spare.
    pub max_concurrent_outcomes: usize,
    /// Largest number of exports of one tenant that are in flight (dispatched or running) in one lane of one pool; each
    /// lane of each pool counts on its own. Further exports of the tenant wait, so that one tenant can't take all
    /// slots.
    pub max_in_flight_per_tenant_pool_and_lane: u32,
    /// Largest number of exports of one user that are in flight (dispatched or running) in one lane of one pool; each
    /// lane of each pool counts on its own. Further exports of the user wait.
    pub max_in_flight_per_user_pool_and_lane: u32,
    /// Duration of the leases of the dispatcher and of scheduled jobs. If the holder does not renew a lease for this
    /// time, another notifier takes over the lease. Shorter values speed up a takeover and tolerate less database
    /// latency.
    pub lease_duration: HumanDuration,
    /// How long the signed URL of one segment stays valid. Shorter values limit the use of a leaked URL and cost
    /// gateways more requests.
    pub segment_url_ttl: HumanDuration,
    /// Timeout of one run of a scheduled job. Backups have another timeout: twice `backup.backup_or_restore_timeout`.
    /// Raise it when a sweep or an audit of a large installation times out.
    pub scheduled_job_timeout: HumanDuration,
    /// Time between two runs in which the notifier publishes lost commands to cancel or delete again, and deletes
    /// objects that were written late: after their export had ended. Shorter values repair sooner and cost database
    /// queries.
    pub command_reconcile_interval: HumanDuration,
    /// Cron expression of the sweep, evaluated in the top-level `schedule_time_zone`. The sweep deletes expired files,
    /// and orphans: objects in the file store that no export needs.
    pub sweep_schedule: String,
    /// Age from which the sweep deletes an object whose export has no row in the database. The row may be missing
    /// because an old backup was restored. Choose an age that leaves time to restore a newer backup with the row.
    pub orphan_object_grace: HumanDuration,
    /// Time between two updates of the metrics that describe the queue and JetStream. Set it to at most the scrape
    /// interval of Prometheus.
    pub metrics_interval: HumanDuration,
    /// The time zone of the cron expressions, from the top-level setting `schedule_time_zone`.
    #[serde(skip)]
    #[schemars(skip)]
    pub schedule_time_zone: Tz,
    /// Limits that operators can't set. Tests use smaller limits.
    #[serde(skip)]
    #[schemars(skip)]
    pub tuning: NotifierTuning,
}

impl Default for NotifierConfig {
    fn default() -> Self {
        Self {
            internal_listen: "127.0.0.1:0".into(),
            advertise_url: String::new(),
            max_concurrent_outcomes: 8,
            max_in_flight_per_tenant_pool_and_lane: 16,
            max_in_flight_per_user_pool_and_lane: 8,
            lease_duration: HumanDuration::from_secs(6),
            segment_url_ttl: HumanDuration::from_secs(60),
            scheduled_job_timeout: HumanDuration::from_secs(60 * 60),
            command_reconcile_interval: HumanDuration::from_secs(30),
            sweep_schedule: "0 * * * *".into(),
            orphan_object_grace: HumanDuration::from_secs(24 * 60 * 60),
            metrics_interval: HumanDuration::from_secs(15),
            schedule_time_zone: Tz::UTC,
            tuning: NotifierTuning::default(),
        }
    }
}

/// Limits that are constants in production. Tests set other values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NotifierTuning {
    /// Number of jobs that the dispatcher publishes in a lane (the queue of interactive or of bulk exports) beyond the
    /// free slots of the exporters; default 1. A slot is room for one running export. With one extra job, an exporter
    /// starts the next job as soon as a slot becomes free. More extra jobs make the dispatch order less fair.
    pub prefetch: u64,
    /// Shortest time between two rounds of queue positions; default 1 s. In each round, the dispatcher publishes queue
    /// positions to the owners of waiting exports.
    pub queue_position_interval: HumanDuration,
    /// Largest number of connections of gateways to the internal HTTP port; default 1024. Further connections wait
    /// until one ends.
    pub max_connections: usize,
    /// Age of the last valid token of a user from which on the user's schedules pause; default 30 days. A scheduled
    /// export runs with the rights of that token.
    pub schedule_rights_max_age: HumanDuration,
    /// Time after which a job counts as lost, if an exporter received the job but no exporter has taken the lease of
    /// the export; default 90 s. The default is longer than any pause before NATS redelivers a job.
    pub unclaimed_timeout: HumanDuration,
    /// Time after the last change of an ended export during which the sweep keeps all objects of the export; default 10
    /// min. During this time, another service may still delete objects of the export.
    pub settled_after: HumanDuration,
    /// Time after the end of an export during which the reconciler looks for objects that a slow exporter wrote after
    /// the end; default 2 h.
    pub orphan_scan_window: HumanDuration,
    /// Cron expression of the credit audit, which compares all accounts with the ledger; default each day at 03:30 in
    /// the top-level `schedule_time_zone`.
    pub audit_schedule: &'static str,
    /// Time between two polls of the database in which the dispatcher looks for waiting exports; default 500 ms. A poll
    /// finds an export even if the message with which a gateway wakes the dispatcher was lost.
    pub dispatch_poll_interval: HumanDuration,
    /// Largest number of deliveries of an outcome whose settlement fails permanently; default 20. After the last
    /// delivery, the outcome becomes a dead letter. After a transient failure, such as an unreachable database, NATS
    /// redelivers the outcome without limit.
    pub max_outcome_attempts: u32,
    /// Largest number of queue positions that the dispatcher publishes in one round, starting at the front of the
    /// queue; default 500.
    pub max_queue_notifications: usize,
    /// Largest number of grants in one reply to a gateway; default 64. A grant is a short-lived URL of one segment.
    pub max_grants: u32,
    /// Largest number of NATS requests of one kind that a notifier answers at the same time; default 32.
    pub max_concurrent_requests: usize,
    /// Time without a transferred byte after which the internal HTTP port closes a connection; default 6 min. A gateway
    /// that still needs bytes of the segment then requests a new segment URL.
    pub connection_idle_timeout: HumanDuration,
    /// Time between two polls of the `scheduled_job` table; default 1 s.
    pub schedule_poll_interval: HumanDuration,
    /// Largest number of exports that the reconciler or the sweep reads with one query; default 200.
    pub sweep_batch: u64,
    /// Largest number of objects that one run of the sweep scans in the file store; default 50,000. The next run
    /// continues with the next object.
    pub sweep_max_objects: usize,
    /// Time after the end of an export during which a client may resume a file stream of an older attempt; default
    /// 10 min. A later client starts again at the first byte.
    pub resume_grace: HumanDuration,
    /// The sweep deletes a ticket that is this much older than the newest ticket of all users; default 10 min. A ticket
    /// is a secret with which a browser opens a session; it is valid for 30 seconds.
    pub ticket_retention: HumanDuration,
    /// Largest number of accounts that receive their daily grant in one transaction; default 1000.
    pub daily_grant_batch: u64,
}

impl Default for NotifierTuning {
    fn default() -> Self {
        Self {
            prefetch: 1,
            queue_position_interval: HumanDuration::from_secs(1),
            max_connections: 1024,
            schedule_rights_max_age: HumanDuration::from_secs(30 * 24 * 60 * 60),
            unclaimed_timeout: HumanDuration::from_secs(90),
            settled_after: HumanDuration::from_secs(10 * 60),
            orphan_scan_window: HumanDuration::from_secs(2 * 60 * 60),
            audit_schedule: "30 3 * * *",
            dispatch_poll_interval: HumanDuration::from_millis(500),
            max_outcome_attempts: 20,
            max_queue_notifications: 500,
            max_grants: 64,
            max_concurrent_requests: 32,
            connection_idle_timeout: HumanDuration::from_secs(6 * 60),
            schedule_poll_interval: HumanDuration::from_secs(1),
            sweep_batch: 200,
            sweep_max_objects: 50_000,
            resume_grace: HumanDuration::from_secs(10 * 60),
            ticket_retention: HumanDuration::from_secs(10 * 60),
            daily_grant_batch: 1000,
        }
    }
}

impl NotifierConfig {
    /// Checks rules that the types of the fields can't express, such as a minimum of 1 for a limit.
    ///
    /// # Errors
    /// [`NotifierError::Config`] with the key of the first invalid setting.
    pub fn validate(&self) -> Result<(), NotifierError> {
        let counts = [
            ("max_concurrent_outcomes", self.max_concurrent_outcomes as u64),
            ("max_in_flight_per_tenant_pool_and_lane", self.max_in_flight_per_tenant_pool_and_lane.into()),
            ("max_in_flight_per_user_pool_and_lane", self.max_in_flight_per_user_pool_and_lane.into()),
        ];
        if let Some((name, _)) = counts.into_iter().find(|(_, value)| *value == 0) {
            return Err(NotifierError::Config(format!("notifier.{name} must be at least 1")));
        }
        let durations = [
            ("lease_duration", self.lease_duration),
            ("segment_url_ttl", self.segment_url_ttl),
            ("scheduled_job_timeout", self.scheduled_job_timeout),
            ("command_reconcile_interval", self.command_reconcile_interval),
            ("metrics_interval", self.metrics_interval),
        ];
        if let Some((name, _)) = durations.into_iter().find(|(_, value)| value.get().is_zero()) {
            return Err(NotifierError::Config(format!("notifier.{name} must be longer than 0s")));
        }
        Recurrence::cron("notifier.sweep_schedule", &self.sweep_schedule, self.schedule_time_zone)?;
        let http = |url: &str| url.starts_with("http://") || url.starts_with("https://");
        if !self.advertise_url.is_empty() && !http(&self.advertise_url) {
            return Err(NotifierError::Config("notifier.advertise_url must begin with http:// or https://".into()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_setting_is_refused_by_its_key() {
        assert!(NotifierConfig::default().validate().is_ok());
        let zero = NotifierConfig { lease_duration: HumanDuration::from_secs(0), ..NotifierConfig::default() };
        assert!(zero.validate().unwrap_err().to_string().contains("notifier.lease_duration"));
        let none = NotifierConfig { max_in_flight_per_user_pool_and_lane: 0, ..NotifierConfig::default() };
        assert!(none.validate().unwrap_err().to_string().contains("notifier.max_in_flight_per_user_pool_and_lane"));
        let cron = NotifierConfig { sweep_schedule: "hourly".into(), ..NotifierConfig::default() };
        assert!(cron.validate().unwrap_err().to_string().contains("notifier.sweep_schedule"));
        let url = NotifierConfig { advertise_url: "notifier:80".into(), ..NotifierConfig::default() };
        assert!(url.validate().unwrap_err().to_string().contains("notifier.advertise_url"));
    }
}
