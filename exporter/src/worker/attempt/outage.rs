//! Waits while a part of the installation, such as the file store, is unavailable or full. Meanwhile, the attempt keeps
//! its lease, and progress reports show the owner of the export which part the attempt waits for.
//!
//! A step is one operation with such a part, for example the upload of a segment.

use std::{future::Future, sync::atomic::Ordering, time::Duration};

use platform::backoff::{Backoff, Schedule};
use protocol::export::WaitingFor;
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use super::Attempt;
use crate::{error::JobError, progress::Meter};

/// The pauses before a failed step is repeated. They grow with each failure, from about 250 ms to 10 s.
const PAUSES: Schedule = Schedule::new(Duration::from_millis(250), Duration::from_secs(10));
/// The time without an answer after which progress reports show that the attempt waits, even before the step has
/// failed. A client of S3 repeats a request for minutes before it reports an error.
const NOTICE_AFTER: Duration = Duration::from_secs(3);

impl Attempt<'_> {
    /// Repeats a step while it fails because of an outage of `part`, for at most `exporter.export_outage_timeout`.
    ///
    /// # Errors
    ///
    /// Returns the error of the step if the cause is not an outage of `part`, or if the outage lasted too long.
    pub(super) async fn outlast<T, F>(&self, part: WaitingFor, step: impl FnMut() -> F) -> Result<T, JobError>
    where
        F: Future<Output = Result<T, JobError>> + Send,
    {
        self.repeat(part, Some(self.context.config.export_outage_timeout.get()), step).await
    }

    /// Repeats a step while it fails because of an outage of `part`. Stops repeating after `limit`; None means no
    /// limit.
    ///
    /// # Errors
    ///
    /// The same as for [`Self::outlast`].
    pub(super) async fn repeat<T, F>(
        &self,
        part: WaitingFor,
        limit: Option<Duration>,
        mut step: impl FnMut() -> F,
    ) -> Result<T, JobError>
    where
        F: Future<Output = Result<T, JobError>> + Send,
    {
        let began = Instant::now();
        let mut backoff = Backoff::from(PAUSES);
        let mut waiting = None;
        loop {
            let mut running = std::pin::pin!(step());
            let result = match timeout(NOTICE_AFTER, running.as_mut()).await {
                Ok(result) => result,
                Err(_) => {
                    waiting.get_or_insert_with(|| Waiting::begin(&self.meter, part));
                    running.await
                }
            };
            let error = match result {
                Err(error) if error.outage() == Some(part) => error,
                result => {
                    if waiting.is_some() {
                        let waited_ms = began.elapsed().as_millis() as u64;
                        info!(export.id = %self.id, outage.part = part.as_str(), waited_ms, "an export continues");
                    }
                    return result;
                }
            };
            let left = limit.map(|limit| limit.saturating_sub(began.elapsed()));
            if left.is_some_and(|left| left.is_zero()) {
                self.gave_up.store(true, Ordering::Relaxed);
                return Err(error);
            }
            if backoff.failures() == 0 {
                warn!(export.id = %self.id, outage.part = part.as_str(), %error, "an export waits for an outage to end");
            }
            waiting.get_or_insert_with(|| Waiting::begin(&self.meter, part));
            sleep(backoff.next_pause().min(left.unwrap_or(Duration::MAX))).await;
        }
    }
}

/// Marks an attempt as waiting for a part of the installation, in progress reports and in a gauge. Dropping this value
/// ends the mark.
pub(super) struct Waiting<'a> {
    meter: &'a Meter,
    part: WaitingFor,
}

impl<'a> Waiting<'a> {
    pub(super) fn begin(meter: &'a Meter, part: WaitingFor) -> Self {
        meter.set_waiting(part, true);
        metrics::gauge!("sluice_exporter_jobs_stalled_by_outage", "part" => part.as_str()).increment(1);
        Self { meter, part }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.meter.set_waiting(self.part, false);
        metrics::gauge!("sluice_exporter_jobs_stalled_by_outage", "part" => self.part.as_str()).decrement(1);
    }
}
