//! Logs an outage once when it begins and once when it ends.

use tracing::{debug, info, warn};

use crate::error::NotifierError;

/// Logs the outages of one operation that a loop retries without limit. `failing` is true if the last call of the
/// operation returned an error.
#[derive(Debug)]
pub(super) struct OutageLog {
    operation: &'static str,
    failing: bool,
}

impl OutageLog {
    pub(super) fn new(operation: &'static str) -> Self {
        Self { operation, failing: false }
    }

    /// Logs at `warn` when the operation starts to fail, at `info` when it recovers, and at `debug` while it keeps
    /// failing.
    pub(super) fn record(&mut self, result: Result<(), NotifierError>) {
        let operation = self.operation;
        match result {
            Ok(()) if std::mem::take(&mut self.failing) => info!(operation, "operation recovered"),
            Ok(()) => {}
            Err(e) if self.failing => debug!(operation, error = %e, "operation still failing"),
            Err(e) => {
                self.failing = true;
                warn!(operation, error = %e, "operation failing, retrying");
            }
        }
    }
}
