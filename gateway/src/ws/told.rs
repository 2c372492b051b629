//! How often a session hears of an export's progress: at most 5 times a second, whoever reports it.

use std::{collections::HashMap, time::Duration};

use protocol::id::ExportId;
use tokio::time::Instant;

/// The shortest time between two reports of one export.
const PERIOD: Duration = Duration::from_millis(200);
/// Exports of which nothing was heard for this long are forgotten, once there are many.
const FORGET: Duration = Duration::from_secs(10);
/// How many is many.
const MANY: usize = 64;

/// When each export was last reported.
#[derive(Debug, Default)]
pub(crate) struct Told(HashMap<ExportId, Instant>);

impl Told {
    /// Whether a report may be sent now; it then counts as sent. One that comes too soon is dropped: the next one
    /// says more, and the last word is an event.
    pub(crate) fn is_due(&mut self, export: ExportId, now: Instant) -> bool {
        if self.0.get(&export).is_some_and(|last| now.duration_since(*last) < PERIOD) {
            return false;
        }
        if self.0.len() >= MANY {
            self.0.retain(|_, last| now.duration_since(*last) < FORGET);
        }
        self.0.insert(export, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_a_second_for_each_export() {
        let (mut told, start) = (Told::default(), Instant::now());
        let (one, two) = (ExportId::generate(), ExportId::generate());
        let at = |ms| start + Duration::from_millis(ms);
        assert!(told.is_due(one, at(0)) && told.is_due(two, at(10)));
        assert!(!told.is_due(one, at(199)) && told.is_due(one, at(200)) && !told.is_due(two, at(200)));
    }
}
