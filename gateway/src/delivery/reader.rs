//! Reads a file from any offset, also while the export still runs.
//!
//! A file is stored in segments. For each segment, the notifier issues a grant, a short-lived URL. The reader fetches
//! the bytes from this URL only on demand, and buffers at most [`CHUNK_BYTES`](super::CHUNK_BYTES).
//!
//! A grant may expire, a notifier may crash, and the file store may fail. In each case the reader requests new grants
//! and continues at the next unread byte. The caller of the reader notices only a delay, unless the failure lasts
//! longer than the setting `read_retry_timeout`.

mod grants;

use std::{collections::VecDeque, time::Duration};

use async_nats::Subscriber;
use bytes::Bytes;
use futures::StreamExt;
use platform::backoff::Backoff;
use protocol::{
    delivery::{Announcement, Seal},
    id::{ExportId, Owner},
    problem::{FieldError, Problem, Slug},
};
use tokio::time::Instant;
use tracing::{Instrument, Span, debug, warn};

use self::grants::HeldGrant;
use super::{segment::Fetch, source::Source};

/// The number of an export's first attempt. An attempt is one try of an exporter at the export.
const FIRST_ATTEMPT: u32 = 1;
/// The pause before the first retry after a failure.
const FIRST_RETRY_PAUSE: Duration = Duration::from_millis(50);
/// The maximum pause between two retries.
const MAX_RETRY_PAUSE: Duration = Duration::from_secs(2);
/// How long the reader waits for the next bytes of a segment before it treats the read as failed.
const READ_TIMEOUT: Duration = Duration::from_secs(15);
/// The result of [`Reader::ready`]: the next byte can be read, the file has no more bytes, or a problem prevents
/// reading.
#[derive(Debug, PartialEq)]
pub(crate) enum ReadStatus {
    /// The next byte of the file can be read.
    Ready,
    /// The file is complete, and the reader has read all its bytes. The seal contains the size, the rows and the digest
    /// of the file.
    Sealed(Seal),
    /// The reader cannot read further bytes, because of this problem.
    Ended(Box<Problem>),
}

/// The file that a reader reads, and the offset at which the reader starts.
pub(crate) struct ReaderRequest {
    pub(crate) owner: Owner,
    pub(crate) export: ExportId,
    pub(crate) offset: u64,
    /// The number of the attempt that wrote the bytes before `offset`, as named by the client. None if the client named
    /// no attempt. An attempt is one try of an exporter at the export, numbered from 1.
    pub(crate) attempt: Option<u32>,
    /// Whether the export is unfinished. If so, the reader subscribes to announcements, the messages about new segments
    /// of the file.
    pub(crate) is_unfinished: bool,
    /// The tracing span of the delivery, created by [`super::span`]. The span ends when the reader is dropped.
    pub(crate) span: Span,
}

/// Reads one file in order from a start offset.
pub(crate) struct Reader {
    source: Source,
    owner: Owner,
    export: ExportId,
    /// The offset at which the reader started.
    start: u64,
    /// The offset of the next byte to read.
    offset: u64,
    /// The number of the attempt whose bytes the reader reads. An attempt is one try of an exporter at the export,
    /// numbered from 1.
    ///
    /// Before the first grant (the short-lived URL of a segment), this is the attempt that the client named, or None if
    /// the client named no attempt. Before the first grant, it is also None if the reader started at offset 0, where
    /// the bytes of any attempt are acceptable. Each grant sets this to the attempt that wrote the segment.
    attempt: Option<u32>,
    grants: VecDeque<HeldGrant>,
    fetch: Option<Fetch>,
    /// The seal of the file (its size, rows and digest), and the number of the attempt that wrote the file. None until
    /// the notifier has sent the seal.
    seal: Option<(Seal, u32)>,
    announcements: Option<Subscriber>,
    /// The time of the first failed request or read since the last success. None if no request or read has failed since
    /// then.
    failing_since: Option<Instant>,
    backoff: Backoff,
    /// The tracing span of the delivery, for requests to the notifier and for log lines. Single reads have no spans,
    /// because they are too frequent.
    span: Span,
}

impl Reader {
    /// Creates a reader. If the export is unfinished, subscribes to announcements, the messages about new segments of
    /// the file. The first call of [`Reader::ready`] asks the notifier for access to the file.
    pub(crate) async fn open(source: Source, request: ReaderRequest) -> Self {
        let ReaderRequest { owner, export, offset, attempt, is_unfinished, span } = request;
        let announcements = if is_unfinished {
            // without announcements the reader still polls
            let subscribed = source.announcements(export).await;
            subscribed.inspect_err(|e| warn!(error = %e, "failed to subscribe to announcements")).ok()
        } else {
            None
        };
        Self {
            source,
            owner,
            export,
            start: offset,
            offset,
            // a reader at the first byte accepts any attempt
            attempt: attempt.filter(|_| offset > 0),
            grants: VecDeque::new(),
            fetch: None,
            seal: None,
            announcements,
            failing_since: None,
            backoff: Backoff::new(FIRST_RETRY_PAUSE, MAX_RETRY_PAUSE),
            span,
        }
    }

    /// Returns the offset of the next byte to read.
    #[must_use]
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Returns the number of the attempt whose bytes the reader reads. An attempt is one try of an exporter at the
    /// export, numbered from 1.
    ///
    /// The first grant (the short-lived URL of a segment) decides the attempt. Before it, returns the attempt that the
    /// client named, which counts only for an offset above 0; otherwise None.
    #[must_use]
    pub(crate) fn attempt(&self) -> Option<u32> {
        self.attempt
    }

    /// Returns the size of the complete file in bytes. Returns None until the notifier has sent the seal, which
    /// contains the final size, rows and digest of the file.
    #[must_use]
    pub(crate) fn size(&self) -> Option<u64> {
        self.seal.as_ref().map(|(seal, _)| seal.size)
    }

    /// Waits until the reader can read the next byte, has read the whole file, or can't continue because of a problem.
    /// Cancel safe.
    pub(crate) async fn ready(&mut self) -> ReadStatus {
        loop {
            if self.fetch.is_some() || self.grants.front().is_some_and(|held| self.covers(held)) {
                return ReadStatus::Ready;
            }
            if let Some((seal, attempt)) = &self.seal {
                if self.offset == seal.size {
                    return ReadStatus::Sealed(seal.clone());
                }
                if self.offset > seal.size {
                    // a client that named no attempt may have the bytes of an earlier attempt
                    let is_same_file = *attempt == FIRST_ATTEMPT || self.attempt == Some(*attempt);
                    let problem = if is_same_file { beyond(seal.size) } else { restarted() };
                    return ReadStatus::Ended(Box::new(problem));
                }
            }
            self.grants.clear();
            let span = self.span.clone();
            // the box keeps the large future of a request out of the future of a waiting reader
            if let Some(problem) = Box::pin(self.request_grants().instrument(span)).await {
                return ReadStatus::Ended(Box::new(problem));
            }
        }
    }

    /// Reads up to `max` bytes. Call this method after [`Reader::ready`] has returned [`ReadStatus::Ready`]. An empty
    /// result means that the read failed and that a retry may succeed: call `ready` again. Not cancel safe.
    ///
    /// # Errors
    /// `unavailable` when reads have failed for longer than the setting `read_retry_timeout`.
    pub(crate) async fn read(&mut self, max: usize) -> Result<Bytes, Box<Problem>> {
        let mut fetch = match self.fetch.take() {
            Some(fetch) => fetch,
            None => {
                let Some(held) = self.grants.front() else { return Ok(Bytes::new()) };
                match Box::pin(Fetch::start(&self.source.http, &held.grant, self.offset, READ_TIMEOUT)).await {
                    Ok(fetch) => fetch,
                    Err(e) => return self.back_off_in_span(&e.to_string()).await,
                }
            }
        };
        match fetch.take(max, READ_TIMEOUT).await {
            Ok(bytes) => {
                self.offset += bytes.len() as u64;
                self.on_success();
                if fetch.is_finished() {
                    self.grants.pop_front();
                } else {
                    self.fetch = Some(fetch);
                }
                Ok(bytes)
            }
            Err(e) => self.back_off_in_span(&e.to_string()).await,
        }
    }

    /// Waits for the notifier's announcement that the export has ended. Never completes if the reader has no
    /// subscription to announcements, such as for an export that had ended before the reader was opened.
    pub(crate) async fn ended(&mut self) {
        loop {
            let Some(announcements) = &mut self.announcements else { return std::future::pending().await };
            match announcements.next().await.map(|message| serde_json::from_slice(&message.payload)) {
                Some(Ok(Announcement::Ended)) => return,
                Some(Ok(Announcement::Segment { .. })) => {}
                Some(Err(e)) => debug!(error = %e, "skipped an unreadable announcement"),
                None => self.announcements = None,
            }
        }
    }

    /// Closes the connection over which the reader fetches the current segment. Drops the buffered bytes and all grants
    /// (the short-lived URLs of segments). The next call of [`Reader::ready`] requests new grants.
    pub(crate) fn disconnect(&mut self) {
        self.fetch = None;
        self.grants.clear();
    }

    /// Closes the connection over which the reader fetches the current segment, and drops the buffered bytes. Keeps the
    /// grants (the short-lived URLs of segments), so that the next read needs no request to the notifier.
    pub(super) fn release_connection(&mut self) {
        self.fetch = None;
    }

    fn on_success(&mut self) {
        self.failing_since = None;
        self.backoff.reset();
    }

    /// Pauses after a failed read by calling [`Reader::back_off`] inside the tracing span of the delivery. Then returns
    /// empty bytes, which [`Reader::read`] returns to say that a retry may succeed. `error` is the text of the failure.
    async fn back_off_in_span(&mut self, error: &str) -> Result<Bytes, Box<Problem>> {
        let span = self.span.clone();
        self.back_off(error).instrument(span).await.map(|()| Bytes::new())
    }

    /// Closes the connection after a failure and pauses before the next retry.
    ///
    /// # Errors
    /// `unavailable` when reads have failed for longer than the setting `read_retry_timeout`.
    async fn back_off(&mut self, error: &str) -> Result<(), Box<Problem>> {
        self.disconnect();
        let since = *self.failing_since.get_or_insert_with(Instant::now);
        if since.elapsed() > self.source.read_retry_timeout {
            warn!(export.id = %self.export, export.offset = self.offset, %error, "gave up reading a file");
            let detail = format!("The file cannot be read at the moment. Open it again at offset {}.", self.offset);
            return Err(Box::new(Problem::new(Slug::Unavailable, detail)));
        }
        debug!(export.id = %self.export, export.offset = self.offset, %error, "failed to read a file; retrying");
        metrics::counter!("sluice_gateway_file_read_retries_total").increment(1);
        tokio::time::sleep(self.backoff.next_pause()).await;
        Ok(())
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // the telemetry library uses the last exit of a span as its end, and `in_scope` makes this drop the last exit
        self.span.in_scope(|| self.span.record("file.bytes", self.offset - self.start));
    }
}

/// Creates the problem for a client that opens the file at an offset after the end of the file. `size` is the size of
/// the file in bytes.
fn beyond(size: u64) -> Problem {
    Problem::invalid(Slug::InvalidRequest, vec![FieldError::new("/offset", format!("the file has {size} bytes"))])
}

fn restarted() -> Problem {
    let detail = "The exporter crashed and the new attempt produced other bytes. Open the file again from offset 0.";
    Problem::new(Slug::Restarted, detail)
}
