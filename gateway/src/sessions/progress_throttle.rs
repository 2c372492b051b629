//! Limits progress messages to 5 a second for each export of a session (protocol.md, `export.progress`).

use std::{collections::HashMap, time::Duration};

use protocol::id::ExportId;
use tokio::time::Instant;

/// The minimum time between two progress messages of one export.
const MIN_INTERVAL: Duration = Duration::from_millis(200);
/// An export is stale if the session has sent no progress message about the export for this time. The throttle may
/// forget stale exports.
const STALE_AFTER: Duration = Duration::from_secs(10);
/// If the throttle holds at least this many exports, it forgets the stale exports before it records the next message.
const CLEANUP_THRESHOLD: usize = 64;

/// Records when a session sent the last progress message of each export.
#[derive(Debug, Default)]
pub(crate) struct ProgressThrottle(HashMap<ExportId, Instant>);

impl ProgressThrottle {
    /// Returns whether the session may send a progress message about this export now. If true, records the message as
    /// sent. If false, the caller must drop the message. The client learns the progress from a later message or event.
    pub(crate) fn is_due(&mut self, export: ExportId, now: Instant) -> bool {
        if self.0.get(&export).is_some_and(|last| now.duration_since(*last) < MIN_INTERVAL) {
            return false;
        }
        if self.0.len() >= CLEANUP_THRESHOLD {
            self.0.retain(|_, last| now.duration_since(*last) < STALE_AFTER);
        }
        self.0.insert(export, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_export_gets_five_progress_messages_a_second() {
        let (mut throttle, start) = (ProgressThrottle::default(), Instant::now());
        let (one, two) = (ExportId::generate(), ExportId::generate());
        let at = |ms| start + Duration::from_millis(ms);
        assert!(throttle.is_due(one, at(0)) && throttle.is_due(two, at(10)));
        assert!(!throttle.is_due(one, at(199)) && throttle.is_due(one, at(200)) && !throttle.is_due(two, at(200)));
    }
}
