//! Reads a file from any byte on, also while it is being made.
//!
//! A grant that ran out, a notifier that died or a store that stumbles is retried from the exact byte; whoever reads
//! sees at most a pause. Nothing is fetched before it is asked for, so memory is one network chunk.

use std::{collections::VecDeque, time::Duration};

use async_nats::Subscriber;
use bytes::Bytes;
use futures::StreamExt;
use protocol::{
    delivery::{Announcement, Grant, GrantReply, Seal},
    id::{ExportId, Owner},
    problem::{Problem, Slug},
};
use tokio::time::Instant;
use tracing::{Instrument, Span, debug, warn};

use super::{Source, segment::Fetch};

/// Announced grants that may wait; further ones are asked for when they are due.
const MAX_WAITING: usize = 32;
/// The first pause before a failed fetch is tried again; it doubles up to the next.
const FIRST_RETRY: Duration = Duration::from_millis(50);
/// The longest pause between tries.
const LAST_RETRY: Duration = Duration::from_secs(2);

/// What comes next.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// At least one byte can be read now.
    Ready,
    /// All bytes were read, and the file is whole.
    Sealed(Seal),
    /// There is nothing more to read, and why.
    Ended(Box<Problem>),
}

/// A file being read.
pub struct Reader {
    source: Source,
    owner: Owner,
    export: ExportId,
    /// Where reading began.
    begin: u64,
    /// The next byte to read.
    offset: u64,
    /// Whose bytes were read so far.
    attempt: Option<u32>,
    grants: VecDeque<Grant>,
    fetch: Option<Fetch>,
    seal: Option<Seal>,
    announcements: Option<Subscriber>,
    /// When the present trouble began, and the pause before the next try.
    trouble: Option<(Instant, Duration)>,
    /// Around what is asked and logged, and not around the bytes, of which there may be very many.
    span: Span,
}

impl Reader {
    /// Reads from this byte on. `attempt`: whose bytes the reader has before it, where known. `live`: the export is
    /// unfinished, so its news are followed. `span`: ends with the reader; see [`super::span`].
    pub async fn open(
        source: Source,
        owner: Owner,
        export: ExportId,
        offset: u64,
        attempt: Option<u32>,
        live: bool,
        span: Span,
    ) -> Self {
        let announcements = if live {
            // without them the reader still asks from time to time
            source.announcements(export).await.inspect_err(|e| warn!(error = %e, "no announcements")).ok()
        } else {
            None
        };
        // before the first byte, any attempt will do
        let attempt = attempt.filter(|_| offset > 0);
        let (grants, fetch, seal, trouble) = (VecDeque::new(), None, None, None);
        let begin = offset;
        Self { source, owner, export, begin, offset, attempt, grants, fetch, seal, announcements, trouble, span }
    }

    /// The next byte to read.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Whose bytes are read, once that is known.
    #[must_use]
    pub fn attempt(&self) -> Option<u32> {
        self.attempt
    }

    /// The file's size, once the export is completed.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.seal.as_ref().map(|seal| seal.size)
    }

    /// Waits until a byte can be read, or it is clear that none will come. Safe to drop and call again.
    pub async fn ready(&mut self) -> Step {
        loop {
            if self.fetch.is_some() || self.grants.front().is_some_and(|g| self.covers(g)) {
                return Step::Ready;
            }
            if let Some(seal) = &self.seal {
                if self.offset == seal.size {
                    return Step::Sealed(seal.clone());
                }
                if self.offset > seal.size {
                    // the bytes before were of an attempt that made a longer file
                    return Step::Ended(Box::new(restarted()));
                }
            }
            self.grants.clear();
            let span = self.span.clone();
            if let Some(problem) = self.ask().instrument(span).await {
                return Step::Ended(Box::new(problem));
            }
        }
    }

    /// Up to `max` bytes from the offset on; call it after [`Reader::ready`] said so. An empty answer means that the
    /// source stumbled and `ready` has to be asked again. Not safe to drop half-way.
    ///
    /// # Errors
    /// When the source failed for longer than is worth waiting.
    pub async fn read(&mut self, max: usize) -> Result<Bytes, Box<Problem>> {
        let timeout = Duration::from_millis(self.source.config.read_timeout_ms);
        let mut fetch = match self.fetch.take() {
            Some(fetch) => fetch,
            None => {
                let Some(grant) = self.grants.front() else { return Ok(Bytes::new()) };
                match Fetch::begin(&self.source.http, grant, self.offset, timeout).await {
                    Ok(fetch) => fetch,
                    Err(e) => return self.pause(&e.to_string()).await,
                }
            }
        };
        match fetch.take(max, timeout).await {
            Ok(bytes) => {
                self.offset += bytes.len() as u64;
                self.trouble = None;
                if fetch.is_over() {
                    self.grants.pop_front();
                } else {
                    self.fetch = Some(fetch);
                }
                Ok(bytes)
            }
            Err(e) => self.pause(&e.to_string()).await,
        }
    }

    /// Waits for the news that the export ended. Never comes back for one that ended before it was opened.
    pub async fn ended(&mut self) {
        loop {
            let Some(announcements) = &mut self.announcements else { return std::future::pending().await };
            match announcements.next().await.map(|message| serde_json::from_slice(&message.payload)) {
                Some(Ok(Announcement::Ended)) => return,
                Some(Ok(Announcement::Segment { .. })) => {}
                Some(Err(e)) => debug!(error = %e, "an unreadable announcement was passed over"),
                None => self.announcements = None,
            }
        }
    }

    /// Lets go of the connection and of bytes not yet taken, while nobody wants any.
    pub fn park(&mut self) {
        self.fetch = None;
        self.grants.clear();
    }

    fn covers(&self, grant: &Grant) -> bool {
        let fresh = grant.expires_at.as_datetime() > self.source.clock.now();
        fresh && grant.segment.offset <= self.offset && self.offset < grant.segment.end()
    }

    /// Asks for grants; waits for news when there are none yet. Some: there will never be any.
    async fn ask(&mut self) -> Option<Problem> {
        match self.source.grants(&self.owner, self.export, self.attempt, self.offset).await {
            Ok(GrantReply::Granted { attempt, grants, seal, .. }) => {
                if grants.first().is_some_and(|grant| !self.covers(grant)) {
                    // of a clock far off, or of a place that was not asked for: asking at once would only repeat it
                    return self.stumble("a grant is of no use").await.err().map(|p| *p);
                }
                let nothing = grants.is_empty() && seal.is_none();
                self.seal = seal;
                if !grants.is_empty() {
                    self.attempt = Some(attempt);
                }
                self.grants = grants.into();
                if nothing {
                    self.trouble = None;
                    self.news().await;
                } else if self.grants.is_empty() && self.seal.as_ref().is_some_and(|s| self.offset < s.size) {
                    return self.stumble("the file is whole, yet a segment is missing").await.err().map(|p| *p);
                }
                None
            }
            Ok(GrantReply::Restarted) => Some(restarted()),
            // a notifier whose database is slow is a pause, not an end
            Ok(GrantReply::Refused { problem }) if problem.slug() == Slug::Unavailable => {
                self.stumble(&problem.detail).await.err().map(|p| *p)
            }
            Ok(GrantReply::Refused { problem }) => Some(problem),
            Err(e) => self.stumble(&e.to_string()).await.err().map(|p| *p),
        }
    }

    /// Waits for an announcement that helps, or until it is time to ask again.
    async fn news(&mut self) {
        let until = Instant::now() + self.source.poll();
        loop {
            let Some(announcements) = &mut self.announcements else { return tokio::time::sleep_until(until).await };
            let Ok(message) = tokio::time::timeout_at(until, announcements.next()).await else { return };
            let Some(message) = message else {
                self.announcements = None;
                continue;
            };
            match serde_json::from_slice(&message.payload) {
                Ok(Announcement::Segment { attempt, grant }) => {
                    let ours = self.attempt.is_none_or(|a| a == attempt) && self.covers(&grant);
                    if ours && self.grants.len() < MAX_WAITING && (self.attempt.is_some() || self.offset == 0) {
                        self.attempt = Some(attempt);
                        self.grants.push_back(grant);
                        return;
                    }
                    // it is of another attempt or place: asking tells more
                    if grant.segment.end() > self.offset {
                        return;
                    }
                }
                Ok(Announcement::Ended) => return,
                Err(e) => debug!(error = %e, "an unreadable announcement was passed over"),
            }
        }
    }

    /// A failure between bytes, to be told in the file's trace.
    async fn pause(&mut self, why: &str) -> Result<Bytes, Box<Problem>> {
        let span = self.span.clone();
        self.stumble(why).instrument(span).await.map(|()| Bytes::new())
    }

    /// After a failure: forget grants and connection, pause, and give up only when no byte came for long.
    async fn stumble(&mut self, why: &str) -> Result<(), Box<Problem>> {
        self.park();
        let (since, pause) = self.trouble.unwrap_or((Instant::now(), FIRST_RETRY));
        if since.elapsed() > Duration::from_millis(self.source.config.give_up_ms) {
            warn!(export.id = %self.export, export.offset = self.offset, error = %why, "gave up reading a file");
            let detail = format!("The file can't be read just now. Open it again at offset {}.", self.offset);
            return Err(Box::new(Problem::new(Slug::Unavailable, detail)));
        }
        debug!(export.id = %self.export, export.offset = self.offset, error = %why, "reading stumbled; trying again");
        metrics::counter!("sluice_gateway_delivery_retries_total").increment(1);
        self.trouble = Some((since, (pause * 2).min(LAST_RETRY)));
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // a span ends where it was left last
        self.span.in_scope(|| self.span.record("file.bytes", self.offset - self.begin));
    }
}

fn restarted() -> Problem {
    let detail = "The exporter died and the new attempt made other bytes. Open the file again from offset 0.";
    Problem::new(Slug::Restarted, detail)
}
