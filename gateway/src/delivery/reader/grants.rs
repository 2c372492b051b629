//! Gets the grants of a reader. A grant is the short-lived URL of a segment, a stored part of a file. The reader
//! requests grants from the notifier, and receives further grants when the notifier announces new segments.

use std::{collections::VecDeque, time::Duration};

use futures::StreamExt;
use protocol::{
    delivery::{Announcement, Grant, GrantReply},
    problem::{Problem, Slug},
};
use tokio::time::Instant;
use tracing::debug;

use super::{Reader, restarted};

/// The maximum time for which a reader uses a grant. A grant is the short-lived URL of a segment, a stored part of a
/// file.
const MAX_GRANT_TTL: Duration = Duration::from_secs(24 * 60 * 60);
/// While an export is unfinished, the notifier announces each new segment of its file. If no announcement arrives
/// within this interval, the reader asks the notifier for new segments.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// A grant (the short-lived URL of a segment), and the time at which the reader stops using the grant. This time is the
/// arrival time of the grant plus its lifetime, because the clocks of gateway and notifier may differ. If the grant
/// arrived late, the notifier or the file store refuses the URL before this time. The reader then requests a new grant.
pub(super) struct HeldGrant {
    pub(super) grant: Grant,
    expires_at: Instant,
}

impl From<Grant> for HeldGrant {
    fn from(grant: Grant) -> Self {
        let ttl = Duration::from_millis(grant.ttl_ms).min(MAX_GRANT_TTL);
        Self { grant, expires_at: Instant::now() + ttl }
    }
}

impl Reader {
    /// Whether the reader can read the next byte with this grant (the short-lived URL of a segment). True if the grant
    /// has not expired and its segment contains the byte.
    pub(super) fn covers(&self, HeldGrant { grant, expires_at }: &HeldGrant) -> bool {
        let is_valid = *expires_at > Instant::now();
        is_valid && grant.segment.offset <= self.offset && self.offset < grant.segment.end()
    }

    /// Requests grants (the short-lived URLs of segments) from the notifier. The first grant is for the segment with
    /// the next byte to read; further grants are for the segments after it. Returns a problem if the reader must give
    /// up. Otherwise returns None; the caller then checks again whether the next byte can be read.
    ///
    /// Waits before it returns None in two cases. If the file does not have the next byte yet, waits until the notifier
    /// announces new bytes, see [`Reader::await_announcement`]. After a temporary failure, waits before the retry, see
    /// [`Reader::back_off`].
    pub(super) async fn request_grants(&mut self) -> Option<Problem> {
        match self.source.grants(&self.owner, self.export, self.attempt, self.offset).await {
            Ok(GrantReply::Granted { attempt, grants, seal, .. }) => {
                let grants: VecDeque<_> = grants.into_iter().map(HeldGrant::from).collect();
                if grants.front().is_some_and(|held| !self.covers(held)) {
                    // an immediate retry would return the same unusable grant
                    return self.back_off("the grant has expired or does not cover the offset").await.err().map(|p| *p);
                }
                let is_empty = grants.is_empty() && seal.is_none();
                self.seal = seal.map(|seal| (seal, attempt));
                if !grants.is_empty() {
                    self.attempt = Some(attempt);
                }
                self.grants = grants;
                if is_empty {
                    self.on_success();
                    self.await_announcement().await;
                } else if self.grants.is_empty() && self.seal.as_ref().is_some_and(|(seal, _)| self.offset < seal.size)
                {
                    return self.back_off("the file is sealed but a segment is missing").await.err().map(|p| *p);
                }
                None
            }
            Ok(GrantReply::Restarted) => Some(restarted()),
            // the notifier's database may be unavailable for a short time, so retry
            Ok(GrantReply::Refused { problem }) if problem.slug() == Slug::Unavailable => {
                self.back_off(&problem.detail).await.err().map(|p| *p)
            }
            Ok(GrantReply::Refused { problem }) => Some(problem),
            Err(e) => self.back_off(&e.to_string()).await.err().map(|p| *p),
        }
    }

    /// Waits for the first of three events: the notifier announces a segment that ends after the reader's offset, the
    /// export ends, or [`POLL_INTERVAL`] passes. Call this method only while the reader holds no grants.
    ///
    /// An announcement carries a grant (the short-lived URL of the segment). The reader keeps the grant if the segment
    /// contains the next byte and belongs to the attempt whose bytes the reader reads. If this attempt is None, the
    /// reader keeps the grant only at offset 0.
    async fn await_announcement(&mut self) {
        let deadline = Instant::now() + POLL_INTERVAL;
        loop {
            let Some(announcements) = &mut self.announcements else {
                return tokio::time::sleep_until(deadline).await;
            };
            let Ok(message) = tokio::time::timeout_at(deadline, announcements.next()).await else { return };
            let Some(message) = message else {
                self.announcements = None;
                continue;
            };
            match serde_json::from_slice(&message.payload) {
                Ok(Announcement::Segment { attempt, grant }) => {
                    let held = HeldGrant::from(grant);
                    let is_next = self.attempt.is_none_or(|a| a == attempt) && self.covers(&held);
                    let has_start = self.attempt.is_some() || self.offset == 0;
                    if is_next && has_start {
                        self.attempt = Some(attempt);
                        self.grants.push_back(held);
                        return;
                    }
                    // the segment belongs to another attempt or starts after the next byte to read, so the caller must
                    // request new grants
                    if held.grant.segment.end() > self.offset {
                        return;
                    }
                }
                Ok(Announcement::Ended) => return,
                Err(e) => debug!(error = %e, "skipped an unreadable announcement"),
            }
        }
    }
}
