//! Lists dead letters.

use protocol::{
    envelope::Envelope,
    ops::{DeadReply, DeadRequest},
    problem::Problem,
};

use super::{
    count, enveloped,
    letters::{Letters, Page},
    limit,
};
use crate::{app::Deps, delivery::requests::Handler, error::NotifierError};

/// A page where nobody says how long.
const USUAL: u32 = 20;
/// The longest page: each letter is a request to NATS.
const MOST: u32 = 100;

/// Answers [`DeadRequest`]s.
pub(super) struct DeadLister {
    pub(super) deps: Deps,
}

impl Handler for DeadLister {
    type Question = DeadRequest;
    type Answer = Envelope<DeadReply>;

    async fn answer(&self, asked: DeadRequest) -> Result<Self::Answer, NotifierError> {
        let limit = match limit(asked.limit, USUAL, MOST) {
            Ok(limit) => usize::try_from(limit).unwrap_or(usize::MAX),
            Err(problem) => return Ok(Self::refuse(problem)),
        };
        let Page { items, total, next } = Letters::open(&self.deps.bus).await?.page(asked.cursor, limit).await?;
        count("dead", true);
        Ok(enveloped(DeadReply::Dead { items, total, next_cursor: next }))
    }

    fn refuse(problem: Problem) -> Self::Answer {
        count("dead", false);
        enveloped(DeadReply::Refused { problem })
    }
}
