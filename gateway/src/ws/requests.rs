//! What a session asks the rest of the gateway to do, and the answers it gets back.

use protocol::{
    client::{ExportCancel, ExportCreate, FileOpen, SessionRefresh},
    envelope::TraceContext,
    export::{Export, Status},
    problem::{FieldError, Problem, Slug},
};

use crate::{
    app::App,
    auth::{AuthError, Caller},
    error::Outcome,
};

/// A request that takes I/O.
#[derive(Debug)]
pub(super) enum Request {
    Create(Box<ExportCreate>),
    Cancel(ExportCancel),
    Refresh(SessionRefresh),
    Open(FileOpen),
}

/// Its answer.
#[derive(Debug)]
pub(super) enum Reply {
    Created(Box<ExportCreate>, Outcome<Export>),
    Canceled(Outcome<Export>),
    Refreshed(Result<Caller, AuthError>),
    /// The export as it stands, when a stream may be opened on it.
    Opened(FileOpen, Outcome<Export>),
}

/// Does what the caller asks.
pub(super) async fn perform(app: App, caller: Caller, request: Request) -> Reply {
    match request {
        Request::Create(create) => {
            let key = create.idempotency_key.as_deref();
            let result = app.submit.submit(&caller, &create.request(), key, TraceContext::generate()).await;
            Reply::Created(create, result)
        }
        Request::Cancel(cancel) => Reply::Canceled(app.exports.cancel(&caller.owner, cancel.export_id).await),
        Request::Refresh(refresh) => Reply::Refreshed(app.verifier.verify(&refresh.token).await),
        Request::Open(open) => {
            let export = app.exports.get(&caller.owner, open.export_id).await.and_then(|e| openable(e, &open));
            Reply::Opened(open, export)
        }
    }
}

fn openable(export: Export, open: &FileOpen) -> Outcome<Export> {
    let problem = match export.status {
        Status::Queued | Status::Dispatched | Status::Running => return Ok(export),
        Status::Completed => match &export.file {
            Some(file) if open.offset <= file.size => return Ok(export),
            Some(file) => {
                let detail = format!("the file has {} bytes", file.size);
                Problem::invalid(Slug::InvalidRequest, vec![FieldError::new("/offset", detail)])
            }
            None => Problem::new(Slug::Internal, "A completed export has no file."),
        },
        Status::Failed => export.problem.unwrap_or_else(|| Problem::new(Slug::ExportFailed, "The export failed.")),
        Status::Canceled => Problem::new(Slug::Canceled, "The export was canceled, so there is no file."),
        Status::Expired => Problem::new(Slug::Expired, "The file was kept for its time and is gone."),
    };
    Err(problem.into())
}
