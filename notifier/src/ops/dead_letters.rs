//! Lists dead letters for operators.

use protocol::{
    envelope::Envelope,
    ops::{DeadLettersReply, DeadLettersRequest},
    problem::Problem,
};

use super::replies::{count, page_limit};
use crate::{
    dead_letters::{DeadLetterStream, Page},
    deps::Deps,
    error::NotifierError,
    requests::{Handler, enveloped},
};

/// The default length of a page.
const DEFAULT_LIMIT: u32 = 20;
/// The longest page: each letter costs a request to NATS.
const MAX_LIMIT: u32 = 100;

/// Answers [`DeadLettersRequest`]s with a page of dead letters, newest first.
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
        count("dead", true);
        Ok(enveloped(DeadLettersReply::DeadLetters { items, total, next_cursor: next }))
    }

    fn refuse(problem: Problem) -> Self::Reply {
        count("dead", false);
        enveloped(DeadLettersReply::Refused { problem })
    }
}
