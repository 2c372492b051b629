//! Lists dead letters for operators. A dead letter is a job or an outcome that failed for the last time.

use protocol::{
    envelope::Envelope,
    ops::{DeadLettersReply, DeadLettersRequest},
    problem::Problem,
};

use super::replies::{count_request, page_limit};
use crate::{
    dead_letters::{DeadLetterStream, Page},
    deps::Deps,
    error::NotifierError,
    requests::{Handler, enveloped},
};

/// The default number of dead letters in a page.
const DEFAULT_LIMIT: u32 = 20;
/// The largest number of dead letters in a page. Each dead letter costs one request to NATS.
const MAX_LIMIT: u32 = 100;

/// Answers each [`DeadLettersRequest`] with a page of dead letters, newest first.
pub(super) struct DeadLettersHandler {
    pub(super) deps: Deps,
}

impl Handler for DeadLettersHandler {
    type Request = DeadLettersRequest;
    type Reply = Envelope<DeadLettersReply>;

    async fn handle(&self, request: DeadLettersRequest) -> Result<Self::Reply, NotifierError> {
        let limit = match page_limit(request.limit, DEFAULT_LIMIT, MAX_LIMIT) {
            Ok(limit) => usize::try_from(limit).unwrap_or(usize::MAX),
            Err(problem) => return Ok(Self::refuse(problem)),
        };
        let stream = DeadLetterStream::open(&self.deps.bus).await?;
        let Page { items, total, next } = stream.page(request.cursor, limit).await?;
        count_request("dead", true);
        Ok(enveloped(DeadLettersReply::DeadLetters { items, total, next_cursor: next }))
    }

    fn refuse(problem: Problem) -> Self::Reply {
        count_request("dead", false);
        enveloped(DeadLettersReply::Refused { problem })
    }
}
