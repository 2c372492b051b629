//! The notifier settles outcomes, publishes user events, delivers file bytes, and runs the scheduled jobs.
//!
//! These modules process an export, in this order:
//! - `dispatch` publishes a job for each committed export, in a fair order. The job tells an exporter to make the
//!   export.
//! - `delivery` grants gateways short-lived segment URLs and serves the bytes, also while the export still runs.
//! - `outcomes` consumes the outcomes stream until each message is settled or dead-lettered. An outcome is the message
//!   by which an exporter reports how an attempt ended. A command asks to cancel an export or to delete its file.
//! - `settle` records the end of an export and the change of its credits in one transaction, then publishes the user
//!   events.
//!
//! These modules do the other work of a notifier:
//! - `ops` answers operators who list, cancel and requeue exports.
//! - `gauges` samples the queue and JetStream for the metrics.
//! - `saved_exports` starts the exports of schedules that users saved.
//! - `schedule` runs scheduled jobs, such as the daily grants of credits and the sweep of expired files.
//!
//! Any number of notifiers may run at the same time. Every change of an export is a conditional update, so only one of
//! two concurrent notifiers succeeds. Of several messages with the same id, JetStream stores only the first within its
//! deduplication window. If a notifier signs a segment URL itself, the URL has the address of this notifier, because no
//! other process can verify the signature.

mod app;
mod config;
mod credit_counters;
mod dead_letters;
mod delivery;
mod deps;
mod dispatch;
mod error;
mod gauges;
mod lease;
mod ops;
mod outcomes;
mod requests;
mod saved_exports;
mod schedule;
mod settle;
mod work_queue;

pub use app::{RunningNotifier, start};
pub use config::{NotifierConfig, NotifierTuning};
pub use deps::{BackupSetup, Deps};
pub use error::NotifierError;
pub use schedule::jobs::backup::{BackupRunError, run_ad_hoc_backup, run_backup_job};

/// The name of the NATS queue group of all notifiers, and of the durable consumer with which they share the outcomes
/// stream.
const GROUP: &str = "notifier";
