//! The notifier settles outcomes, publishes user events, delivers file bytes, and runs the scheduled jobs.
//!
//! Modules, in the order in which an export passes them:
//! - `dispatch` publishes committed exports as jobs, in a fair order.
//! - `delivery` grants gateways short-lived segment URLs and serves the bytes, also while the export still runs.
//! - `outcomes` consumes outcomes of exporters and commands of gateways until each is settled or dead-lettered.
//! - `settle` updates an export and its credits in one transaction, then publishes the user events.
//! - `ops` answers operators who list, cancel and requeue exports.
//! - `gauges` samples the queue and JetStream for the metrics.
//! - `schedule` runs scheduled jobs, such as the daily grants and the sweep.
//!
//! Any number of notifiers may run: every change is a conditional update, the stream deduplicates durable messages by
//! their ids, and the URL of a grant leads to the notifier that signed it.

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
mod schedule;
mod settle;
mod work_queue;

pub use app::{RunningNotifier, start};
pub use config::{NotifierConfig, NotifierTuning};
pub use deps::{BackupSetup, Deps};
pub use error::NotifierError;
pub use schedule::jobs::backup::{BackupRunError, run_ad_hoc_backup, run_backup_job};

/// The name of the queue group and of the durable consumer that all notifiers share.
const GROUP: &str = "notifier";
