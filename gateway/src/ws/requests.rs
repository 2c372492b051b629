//! What a session asks the rest of the gateway to do, and the answers it gets back.

use platform::telemetry::traces;
use protocol::{
    client::{ExportCancel, ExportCreate, FileOpen, SessionRefresh, SessionResume},
    envelope::TraceContext,
    export::Export,
    problem::{FieldError, Problem, Slug},
};
use tracing::{Instrument, debug};

use super::registry::Notice;
use crate::{
    app::App,
    auth::{AuthError, Caller},
    error::{Outcome, Refusal},
    events::Position,
    submit::Submit,
};

/// The trace in which a session was opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    /// Of the request that opened it.
    pub(super) trace: TraceContext,
    /// The client sent a `traceparent`: then what it asks for belongs to its trace. Otherwise each export has a trace of
    /// its own, as a session may be open for days.
    pub(super) followed: bool,
}

/// A request that takes I/O.
#[derive(Debug)]
pub(super) enum Request {
    Create(Box<ExportCreate>),
    Cancel(ExportCancel),
    Refresh(SessionRefresh),
    /// What was missed up to the session's begin.
    Resume(SessionResume, Position),
    Open(FileOpen),
}

/// Its answer.
#[derive(Debug)]
pub(super) enum Reply {
    /// Also in which trace the request was.
    Created(Box<ExportCreate>, TraceContext, Outcome<Export>),
    Canceled(Outcome<Export>),
    Refreshed(Result<Caller, AuthError>),
    /// The events after the one with this number, if they can be told.
    Resumed(u64, Option<Vec<Notice>>),
    /// The export as it stands, and its trace, when a stream may be opened on it.
    Opened(FileOpen, Outcome<(Export, TraceContext)>),
}

/// Does what the caller asks.
pub(super) async fn perform(app: App, caller: Caller, origin: Origin, request: Request) -> Reply {
    match request {
        Request::Create(create) => {
            let key = create.idempotency_key.as_deref();
            let span = Submit::span("server");
            let trace = if origin.followed {
                traces::follow(&span, origin.trace)
            } else {
                traces::link(&span, origin.trace);
                traces::begin(&span)
            };
            let result = app.submit.submit(&caller, &create.request(), key, trace).instrument(span).await;
            let result = result.map_err(|refusal| {
                let problem = refusal.problem.of_request("/v1/ws", &trace.trace_id_hex());
                Refusal { problem, ..refusal }
            });
            Reply::Created(create, trace, result)
        }
        Request::Cancel(cancel) => Reply::Canceled(app.exports.cancel(&caller.owner, cancel.export_id).await),
        Request::Refresh(refresh) => {
            let refreshed = app.verifier.verify(&refresh.token).await;
            // a session may be open for days: its owner was seen today
            if refreshed.as_ref().is_ok_and(|newer| newer.owner == caller.owner)
                && let Err(refusal) = app.credits.balance(&caller.owner).await
            {
                debug!(problem = %refusal.problem.slug(), "the account was not noted as seen; its next look does that");
            }
            Reply::Refreshed(refreshed)
        }
        Request::Resume(SessionResume { epoch, seq }, begin) => {
            let after = Position { epoch: epoch.into(), seq };
            Reply::Resumed(seq, app.events.missed(&caller.owner, &after, &begin).await)
        }
        Request::Open(open) => {
            let export = openable(&app, &caller, &open).await;
            Reply::Opened(open, export)
        }
    }
}

/// The export, if it is the caller's and has bytes from that offset on, or may still get them.
async fn openable(app: &App, caller: &Caller, open: &FileOpen) -> Outcome<(Export, TraceContext)> {
    let row = app.exports.row(&caller.owner, open.export_id).await?;
    if i64::try_from(open.offset).is_err() {
        let fault = FieldError::new("/offset", "no file is as long as that");
        return Err(Problem::invalid(Slug::InvalidRequest, vec![fault]).into());
    }
    if !row.status()?.is_unfinished() {
        let size = app.exports.file(&row)?.size;
        if open.offset > size {
            let fault = FieldError::new("/offset", format!("the file has {size} bytes"));
            return Err(Problem::invalid(Slug::InvalidRequest, vec![fault]).into());
        }
    }
    let trace = TraceContext::parse(&row.traceparent).unwrap_or_else(TraceContext::generate);
    Ok((app.submit.show(&row).await?, trace))
}
