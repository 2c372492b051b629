//! Answers requests of operators for a page of exports or for one export. Operators see the exports of all owners.

use entity::{export, operator, view};
use protocol::{
    envelope::Envelope,
    ops::{ExportLookup, ExportReply, ExportsReply, ExportsRequest},
    problem::{FieldError, Problem, Slug},
};

use super::{
    replies::{count_request, has_nul, page_limit, unknown_export},
    summary,
};
use crate::{
    deps::Deps,
    error::NotifierError,
    requests::{Handler, enveloped},
};

/// The default number of exports in a page.
const DEFAULT_LIMIT: u32 = 50;
/// The largest number of exports in a page. A page is one message: each export takes about 600 bytes, and NATS limits a
/// message to 1 MiB.
const MAX_LIMIT: u32 = 200;
/// The maximum length of the text of a search, in characters.
const MAX_TEXT_CHARS: usize = 255;

/// Answers each [`ExportsRequest`] with a page of exports, newest first.
pub(super) struct ExportsHandler {
    pub(super) deps: Deps,
}

impl Handler for ExportsHandler {
    type Request = ExportsRequest;
    type Reply = Envelope<ExportsReply>;

    async fn handle(&self, request: ExportsRequest) -> Result<Self::Reply, NotifierError> {
        let limit = match page_limit(request.limit, DEFAULT_LIMIT, MAX_LIMIT) {
            Ok(limit) => limit,
            Err(problem) => return Ok(Self::refuse(problem)),
        };
        if request.user.is_some() && request.tenant.is_none() {
            let fault = FieldError::new("/tenant", "A filter by user needs the tenant of the user.");
            return Ok(Self::refuse(Problem::invalid(Slug::InvalidRequest, vec![fault])));
        }
        if request.text.as_ref().is_some_and(|text| text.chars().count() > MAX_TEXT_CHARS) {
            let fault = FieldError::new("/text", format!("expected at most {MAX_TEXT_CHARS} characters"));
            return Ok(Self::refuse(Problem::invalid(Slug::InvalidRequest, vec![fault])));
        }
        let texts = [
            ("/tenant", &request.tenant),
            ("/user", &request.user),
            ("/dataset", &request.dataset),
            ("/text", &request.text),
        ];
        if let Some((pointer, _)) = texts.iter().find(|(_, text)| has_nul(text.as_deref())) {
            // PostgreSQL refuses such a text
            let fault = FieldError::new(*pointer, "expected a text without the character U+0000");
            return Ok(Self::refuse(Problem::invalid(Slug::InvalidRequest, vec![fault])));
        }
        let ExportsRequest { status, tenant, user, dataset, text, cursor, .. } = request;
        // reads one extra row to find out whether another page follows
        let query = operator::Query { status, tenant, user, dataset, text, before: cursor, limit: limit + 1 };
        let mut rows = operator::list(&self.deps.db, &query).await?;
        let more = rows.len() as u64 > limit;
        rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let next_cursor = rows.last().filter(|_| more).map(export::Model::export_id);
        let items = rows.iter().map(summary::summarize).collect::<Result<_, _>>()?;
        count_request("exports", true);
        Ok(enveloped(ExportsReply::Exports { items, next_cursor }))
    }

    fn refuse(problem: Problem) -> Self::Reply {
        count_request("exports", false);
        enveloped(ExportsReply::Refused { problem })
    }
}

/// Answers each [`ExportLookup`] with one export of any owner.
pub(super) struct ExportHandler {
    pub(super) deps: Deps,
}

impl Handler for ExportHandler {
    type Request = ExportLookup;
    type Reply = Envelope<ExportReply>;

    async fn handle(&self, ExportLookup { export_id }: ExportLookup) -> Result<Self::Reply, NotifierError> {
        let Some(row) = export::find(&self.deps.db, export_id).await? else {
            return Ok(Self::refuse(unknown_export(export_id)));
        };
        let (summary, export) = (Box::new(summary::summarize(&row)?), Box::new(view::export(&row, None)?));
        count_request("export", true);
        Ok(enveloped(ExportReply::Export { summary, export }))
    }

    fn refuse(problem: Problem) -> Self::Reply {
        count_request("export", false);
        enveloped(ExportReply::Refused { problem })
    }
}
