//! The connections, settings and state that all running jobs of an exporter share.

use platform::{bus::Bus, clock::SharedClock, store::FileStore};
use sea_orm::DatabaseConnection;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::cancel::Cancellations;
use crate::{catalog::Current, config::ExporterConfig, drain::Drain};

/// The connections, settings and state that all jobs of a process share.
pub(crate) struct WorkerContext {
    pub(crate) config: ExporterConfig,
    pub(crate) catalog: Current,
    pub(crate) bus: Bus,
    pub(crate) db: DatabaseConnection,
    pub(crate) store: FileStore,
    pub(crate) clock: SharedClock,
    /// The name under which this process holds the leases of exports.
    pub(crate) instance: String,
    pub(crate) cancellations: Cancellations,
    /// The token that stops all running jobs. Other exporters then take over the exports of these jobs.
    pub(crate) hand_over: CancellationToken,
    /// The tracker of the running jobs. A stopping process waits until the tracker is empty.
    pub(crate) jobs: TaskTracker,
    /// Whether this process is the child of another exporter, and runs only one export.
    pub(crate) is_own_process: bool,
    /// The drain state: whether an operator drains the exporter.
    pub(crate) drain: Drain,
}
