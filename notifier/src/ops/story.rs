//! Tells operators the whole story of one export.

use entity::{export, history, operator_act, pause, segment, view};
use protocol::{
    envelope::Envelope,
    export::Status,
    id::ExportId,
    ops::{AttemptInfo, ExportLookup, ExportStory, Pause, StoryFile, StoryReply},
    problem::Problem,
};

use super::{
    replies::{count_request, unknown_export},
    requeue, summary,
};
use crate::{
    dead_letters::DeadLetterStream,
    deps::Deps,
    error::NotifierError,
    requests::{Handler, enveloped},
};

/// The largest number of events in a story. Together with the other lists, a story stays below NATS' limit of 1 MiB for
/// a message.
const MAX_EVENTS: u64 = 1000;
/// The largest number of acts of operators in a story.
const MAX_ACTS: u64 = 100;

/// Answers each [`ExportLookup`] with the story of the export.
pub(super) struct StoryHandler {
    pub(super) deps: Deps,
}

impl Handler for StoryHandler {
    type Request = ExportLookup;
    type Reply = Envelope<StoryReply>;

    async fn handle(&self, ExportLookup { export_id }: ExportLookup) -> Result<Self::Reply, NotifierError> {
        let Some(row) = export::find(&self.deps.db, export_id).await? else {
            return Ok(Self::refuse(unknown_export(export_id)));
        };
        let story = Box::new(self.story(&row).await?);
        count_request("story", true);
        Ok(enveloped(StoryReply::Story { story }))
    }

    fn refuse(problem: Problem) -> Self::Reply {
        count_request("story", false);
        enveloped(StoryReply::Refused { problem })
    }
}

impl StoryHandler {
    async fn story(&self, row: &export::Model) -> Result<ExportStory, NotifierError> {
        let (db, id) = (&self.deps.db, row.export_id());
        let events = history::events(&history::of_export(db, id, MAX_EVENTS).await?);
        let attempts = self.attempts(id, history::attempts(&events)).await?;
        let acts = operator_act::of_export(db, id, MAX_ACTS).await?.into_iter().map(Into::into).collect();
        let dead_letters = DeadLetterStream::open(&self.deps.bus).await?.of_export(id).await?;
        let retried_as = requeue::find_existing(db, row).await?.map(|new| new.export_id());
        let exported = view::export(row, None)?;
        let expires_at = exported.expires_at;
        Ok(ExportStory {
            summary: summary::summarize(row)?,
            problem: exported.problem,
            pause: self.pause(row).await?,
            events,
            attempts,
            file: view::file(row).map(|file| StoryFile {
                size: file.size,
                rows: file.rows,
                sha256: file.sha256,
                expires_at,
            }),
            dead_letters,
            acts,
            retried_as,
        })
    }

    /// Adds the segments to the attempts.
    async fn attempts(&self, id: ExportId, mut attempts: Vec<AttemptInfo>) -> Result<Vec<AttemptInfo>, NotifierError> {
        for found in segment::by_attempt(&self.deps.db, id).await? {
            if let Some(attempt) = attempts.iter_mut().find(|attempt| attempt.number == found.attempt.unsigned_abs()) {
                attempt.segments = found.segments.unsigned_abs();
                attempt.rows = found.rows.unsigned_abs();
                attempt.bytes = found.bytes.unsigned_abs();
            }
        }
        Ok(attempts)
    }

    /// Returns the pause because of which a queued export waits: that of the tenant, or else that of the user.
    async fn pause(&self, row: &export::Model) -> Result<Option<Pause>, NotifierError> {
        if row.status()? != Status::Queued {
            return Ok(None);
        }
        let of_tenant = pause::find(&self.deps.db, &row.tenant, None).await?;
        let pause = match of_tenant {
            Some(pause) => Some(pause),
            None => pause::find(&self.deps.db, &row.tenant, Some(&row.user_id)).await?,
        };
        Ok(pause.map(Into::into))
    }
}
