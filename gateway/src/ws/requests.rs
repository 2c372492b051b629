//! Performs the client requests that need I/O, such as the submission of an export, and returns the replies to the
//! session.

use platform::telemetry::traces;
use protocol::{
    client::{ExportCancel, ExportCreate, FileOpen, SavedRun, SessionRefresh, SessionResume},
    envelope::TraceContext,
    export::Export,
    problem::{FieldError, Problem, Slug},
};
use tracing::{Instrument, Span, debug};

use crate::{
    auth::{AuthError, Caller},
    error::{Outcome, Refusal},
    exports::{Submission, Submit, require_readable},
    sessions::{Position, RenderedEvent},
    state::AppState,
};

/// The path of the WebSocket endpoint. The problems (RFC 9457) with which a session refuses a message have this path as
/// `instance`. The problems of a file stream have the path of the file instead.
pub(super) const WS_PATH: &str = "/v1/ws";

/// The trace context of the handshake that opened a session.
#[derive(Clone, Copy, Debug)]
pub(super) struct SessionTrace {
    pub(super) trace: TraceContext,
    /// Whether the client sent a `traceparent` with the handshake. If so, the session's exports belong to the client's
    /// trace. Otherwise each export starts a new trace, because a session may be open for days.
    pub(super) is_client_trace: bool,
}

/// A request of the client that needs I/O. The [driver](super::driver) of the session performs it as a task.
#[derive(Debug)]
pub(super) enum Request {
    Create(Box<ExportCreate>),
    Cancel(ExportCancel),
    Run(SavedRun),
    Refresh(SessionRefresh),
    /// The client's `session.resume`, and the position in the event stream at which the session started. The task reads
    /// the events that the client missed up to this position.
    Resume(SessionResume, Position),
    Open(FileOpen),
}

/// The reply to a [`Request`].
#[derive(Debug)]
pub(super) enum Reply {
    /// The client's `export.create`, the trace context of the submission, and the result of the submission: the export
    /// or a refusal. For a `saved.run`, the first value has only the members about delivery.
    Created(Box<ExportCreate>, TraceContext, Outcome<Export>),
    Canceled(Outcome<Export>),
    Refreshed(Result<Caller, AuthError>),
    /// The sequence number in the client's `session.resume`, and the events after this number that the client missed.
    /// The events are None if the gateway cannot read all of them.
    Resumed(u64, Option<Vec<RenderedEvent>>),
    /// The client's `file.open`, and the result of checking this message. Ok holds the export and the export's trace
    /// context, and the session opens a stream of the file. Err holds the refusal, and the session opens no stream.
    Opened(FileOpen, Outcome<(Export, TraceContext)>),
}

/// Performs a request of this caller, and returns the reply for the session.
pub(super) async fn perform(app: AppState, caller: Caller, session_trace: SessionTrace, request: Request) -> Reply {
    match request {
        Request::Create(create) => {
            let (span, trace) = submission_span(session_trace);
            let key = create.idempotency_key.as_deref();
            let submission = Submission { request: &create.request(), key, saved_export: None };
            let result = app.submit.submit(&caller, submission, trace).instrument(span).await;
            Reply::Created(create, trace, with_request(result, trace))
        }
        Request::Run(run) => {
            let (span, trace) = submission_span(session_trace);
            let (id, key) = (run.saved_export_id, run.idempotency_key.as_deref());
            let result = app.saved_exports.run(&caller, id, key, trace).instrument(span).await;
            let create = ExportCreate { deliver: run.deliver, window: run.window, ..ExportCreate::default() };
            Reply::Created(Box::new(create), trace, with_request(result, trace))
        }
        Request::Cancel(cancel) => Reply::Canceled(app.exports.cancel(&caller.owner, cancel.export_id).await),
        Request::Refresh(refresh) => {
            let refreshed = app.authenticator.verify(&refresh.token).await;
            // a session may be open for days, so a refresh records its owner as active today
            if refreshed.as_ref().is_ok_and(|newer| newer.owner == caller.owner)
                && let Err(refusal) = app.credits.balance(&caller.owner).await
            {
                debug!(problem = %refusal.problem.slug(), "failed to record an account as active");
            }
            Reply::Refreshed(refreshed)
        }
        Request::Resume(SessionResume { epoch, seq }, start) => {
            let after = Position { epoch: epoch.into(), seq };
            Reply::Resumed(seq, app.events.replay(&caller.owner, &after, &start).await)
        }
        Request::Open(open) => {
            let export = find_readable(&app, &caller, &open).await;
            Reply::Opened(open, export)
        }
    }
}

/// Creates the span of a submission, and returns the trace context of the span.
fn submission_span(session: SessionTrace) -> (Span, TraceContext) {
    let span = Submit::span("server");
    let trace = if session.is_client_trace {
        traces::follow(&span, session.trace)
    } else {
        traces::link(&span, session.trace);
        traces::begin(&span)
    };
    (span, trace)
}

/// Adds the path of the session and the trace id to a refusal.
fn with_request(result: Outcome<Export>, trace: TraceContext) -> Outcome<Export> {
    result.map_err(|refusal| {
        let problem = refusal.problem.with_request(WS_PATH, &trace.trace_id_hex());
        Refusal { problem, ..refusal }
    })
}

/// Finds the caller's export that a `file.open` names. Returns the export and its trace context. For an ended export,
/// checks that the requested offset is not after the end of the file. The file of an unfinished export may still grow
/// to any offset.
///
/// # Errors
/// The refusal, when the caller has no such export, the offset is invalid, or an ended export has no file.
async fn find_readable(app: &AppState, caller: &Caller, open: &FileOpen) -> Outcome<(Export, TraceContext)> {
    let row = app.exports.row(&caller.owner, open.export_id).await?;
    require_readable(&app.catalog, caller, &row)?;
    if i64::try_from(open.offset).is_err() {
        let fault = FieldError::new("/offset", "exceeds the size of any file");
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
    Ok((app.presenter.export(&row).await?, trace))
}
