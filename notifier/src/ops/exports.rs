//! Exports, whoever they belong to: a page of them, and one.

use entity::{export, operator, view};
use protocol::{
    envelope::Envelope,
    ops::{ExportLookup, ExportReply, ExportsReply, ExportsRequest},
    problem::{FieldError, Problem, Slug},
};

use super::{count, enveloped, limit, no_such, summary};
use crate::{app::Deps, delivery::requests::Handler, error::NotifierError};

/// A page where nobody says how long.
const USUAL: u32 = 50;
/// The longest page: some 600 bytes for each, and a message has a megabyte.
const MOST: u32 = 200;

/// Answers [`ExportsRequest`]s.
pub(super) struct Lister {
    pub(super) deps: Deps,
}

impl Handler for Lister {
    type Question = ExportsRequest;
    type Answer = Envelope<ExportsReply>;

    async fn answer(&self, asked: ExportsRequest) -> Result<Self::Answer, NotifierError> {
        let limit = match limit(asked.limit, USUAL, MOST) {
            Ok(limit) => limit,
            Err(problem) => return Ok(Self::refuse(problem)),
        };
        if asked.user.is_some() && asked.tenant.is_none() {
            let fault = FieldError::new("/tenant", "A person is one of a tenant: name it too.");
            return Ok(Self::refuse(Problem::invalid(Slug::InvalidRequest, vec![fault])));
        }
        let ExportsRequest { status, tenant, user, dataset, cursor, .. } = asked;
        // one more tells whether there is another page
        let query = operator::Query { status, tenant, user, dataset, before: cursor, limit: limit + 1 };
        let mut rows = operator::list(&self.deps.db, &query).await?;
        let more = rows.len() as u64 > limit;
        rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let next_cursor = rows.last().filter(|_| more).map(export::Model::export_id);
        let items = rows.iter().map(summary::of).collect::<Result<_, _>>()?;
        count("exports", true);
        Ok(enveloped(ExportsReply::Exports { items, next_cursor }))
    }

    fn refuse(problem: Problem) -> Self::Answer {
        count("exports", false);
        enveloped(ExportsReply::Refused { problem })
    }
}

/// Answers [`ExportLookup`]s.
pub(super) struct Finder {
    pub(super) deps: Deps,
}

impl Handler for Finder {
    type Question = ExportLookup;
    type Answer = Envelope<ExportReply>;

    async fn answer(&self, ExportLookup { export_id }: ExportLookup) -> Result<Self::Answer, NotifierError> {
        let Some(row) = export::find(&self.deps.db, export_id).await? else {
            return Ok(Self::refuse(no_such(export_id)));
        };
        let (summary, export) = (Box::new(summary::of(&row)?), Box::new(view::export(&row, None)?));
        count("export", true);
        Ok(enveloped(ExportReply::Export { summary, export }))
    }

    fn refuse(problem: Problem) -> Self::Answer {
        count("export", false);
        enveloped(ExportReply::Refused { problem })
    }
}
