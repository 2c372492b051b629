//! Records which streams did not store their last message.
//!
//! After a failed write to a stream, for example on a full disk, nats-server stores no message in this stream until the
//! server restarts, even when the disk has space again. The server still answers requests for the stream's state, but
//! never acknowledges a message. So only the result of a real message shows that a stream accepts no writes.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use protocol::subject;

/// The streams that did not store their last message, each with the error. Clones share the state.
#[derive(Clone, Debug, Default)]
pub(super) struct Writes(Arc<Mutex<BTreeMap<&'static str, String>>>);

impl Writes {
    /// Records whether a stream has stored a message: the result of publishing the message.
    pub(super) fn record<E: std::fmt::Display>(&self, stream: &'static str, result: &Result<(), E>) {
        let mut failed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(()) => drop(failed.remove(stream)),
            Err(e) => drop(failed.insert(stream, e.to_string())),
        }
        set_gauge(stream, result.is_err());
    }

    /// Clears all failures after a reconnect, because the new connection may lead to a restarted server.
    pub(super) fn forget(&self) {
        let failed = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        for stream in failed.into_keys() {
            set_gauge(stream, false);
        }
    }

    /// Checks that every stream has stored its last message.
    ///
    /// # Errors
    /// A text that names the streams that have not stored their last message.
    pub(super) fn check(&self) -> Result<(), String> {
        let failed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.is_empty() {
            return Ok(());
        }
        let streams: Vec<_> = failed.iter().map(|(stream, error)| format!("{stream} ({error})")).collect();
        Err(format!(
            "JetStream did not store the last message to {}; if its disk was full, restart nats-server after there is space",
            streams.join(", ")
        ))
    }
}

fn set_gauge(stream: &'static str, failed: bool) {
    metrics::gauge!("sluice_jetstream_write_failed", "stream" => stream).set(f64::from(u8::from(failed)));
}

/// Returns the stream that stores messages with this subject; None for a subject of core NATS.
pub(super) fn stream_of(subject: &str) -> Option<&'static str> {
    let streams = [
        (subject::JOBS_ALL, subject::STREAM_JOBS),
        (subject::OUTCOMES_ALL, subject::STREAM_OUTCOMES),
        (subject::EVENTS_ALL, subject::STREAM_EVENTS),
        (subject::DEAD_ALL, subject::STREAM_DEAD),
    ];
    streams.into_iter().find(|(all, _)| subject.starts_with(all.trim_end_matches('>'))).map(|(_, stream)| stream)
}

#[cfg(test)]
mod tests {
    use protocol::id::ExportId;

    use super::*;

    #[test]
    fn a_stream_is_reported_until_it_stores_a_message_or_the_connection_is_new() {
        let writes = Writes::default();
        let stream = stream_of(&subject::outcome(ExportId::generate())).unwrap();
        assert_eq!((stream, stream_of("sluice.v1.delivery.grant")), (subject::STREAM_OUTCOMES, None));
        for forget in [false, true] {
            writes.record(stream, &Err("timed out"));
            writes.record(subject::STREAM_JOBS, &Ok::<_, String>(()));
            let error = writes.check().unwrap_err();
            assert!(error.contains("SLUICE_OUTCOMES (timed out)") && !error.contains("JOBS"), "{error}");
            if forget {
                writes.forget()
            } else {
                writes.record(stream, &Ok::<_, String>(()))
            }
            assert_eq!(writes.check(), Ok(()));
        }
    }
}
