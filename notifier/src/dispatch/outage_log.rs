//! Logs a repeated failure once when it begins and once when it ends.

use tracing::{debug, info, warn};

use crate::error::NotifierError;

/// The log of one operation that is retried without limit.
#[derive(Debug)]
pub(super) struct OutageLog {
    operation: &'static str,
    failing: bool,
}

impl OutageLog {
    pub(super) fn new(operation: &'static str) -> Self {
        Self { operation, failing: false }
    }

    /// Logs a change from success to failure or back. Further failures are logged at debug level.
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
