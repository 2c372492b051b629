//! Answers operators over NATS: lists exports and tells their stories, cancels exports, requeues dead letters, pauses and
//! resumes owners, and summarizes the state of the installation.
//!
//! NATS permissions on `sluice.v1.ops.>` decide who is an operator. An operator may repeat any request: the repetition
//! has no second effect. The module `schedule` answers requests about scheduled jobs, and exporters answer drain
//! requests.

mod acts;
mod cancel;
mod dead_letters;
mod exporters;
mod exports;
mod overview;
mod pause;
mod replies;
mod requeue;
mod story;
mod summary;

use platform::catalog::Catalog;
use protocol::subject;

use self::{
    cancel::CancelHandler, dead_letters::DeadLettersHandler, exporters::ExportersHandler, exports::ExportHandler,
    exports::ExportsHandler, overview::OverviewHandler, pause::PauseHandler, pause::PausesHandler,
    pause::ResumeHandler, requeue::RequeueHandler, story::StoryHandler,
};
use crate::{deps::Deps, error::NotifierError, requests::RequestServer};

/// The name of the tasks that run the request handlers of this module.
const TASK: &str = "ops";

/// Starts to answer the requests of operators.
///
/// # Errors
/// When the NATS client is closed.
pub(crate) async fn start(deps: &Deps, catalog: &Catalog, requests: &RequestServer<'_>) -> Result<(), NotifierError> {
    let deps = || deps.clone();
    requests.add(TASK, "exports", subject::OPS_EXPORTS, ExportsHandler { deps: deps() }).await?;
    requests.add(TASK, "export", subject::OPS_EXPORT, ExportHandler { deps: deps() }).await?;
    requests.add(TASK, "cancel", subject::OPS_CANCEL, CancelHandler { deps: deps() }).await?;
    requests.add(TASK, "dead", subject::OPS_DEAD, DeadLettersHandler { deps: deps() }).await?;
    requests.add(TASK, "requeue", subject::OPS_REQUEUE, RequeueHandler { deps: deps() }).await?;
    requests.add(TASK, "exporters", subject::OPS_EXPORTERS, ExportersHandler { catalog: catalog.clone() }).await?;
    requests.add(TASK, "story", subject::OPS_STORY, StoryHandler { deps: deps() }).await?;
    let overview = OverviewHandler { deps: deps(), catalog: catalog.clone() };
    requests.add(TASK, "overview", subject::OPS_OVERVIEW, overview).await?;
    requests.add(TASK, "pause", subject::OPS_PAUSE, PauseHandler { deps: deps() }).await?;
    requests.add(TASK, "resume", subject::OPS_RESUME, ResumeHandler { deps: deps() }).await?;
    requests.add(TASK, "pauses", subject::OPS_PAUSES, PausesHandler { deps: deps() }).await
}
