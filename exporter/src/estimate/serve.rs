//! Answers gateways over NATS: bounded, with a deadline, and every failure is an answer too.

use std::{sync::Arc, time::Duration};

use async_nats::service::{Request, Service, endpoint::Endpoint};
use futures::StreamExt;
use platform::{
    bus::{self, BusError},
    lifecycle::Lifecycle,
};
use protocol::{
    estimate::{EstimateQuestion, EstimateReply},
    problem::{Problem, Slug},
    subject,
};
use tokio::sync::Semaphore;
use tracing::{error, warn};

use super::Estimator;
use crate::{
    ExporterError,
    error::{JobError, Verdict},
};

/// Estimates at once; further questions wait in the subscription.
const AT_ONCE: usize = 4;
/// Shorter than a gateway waits.
const DEADLINE: Duration = Duration::from_millis(4_500);
/// An answer must fit into one NATS message with room to spare.
const MOST_BYTES: usize = 512 << 10;

/// Joins the exporters of a pool that answer, until the soft stop.
///
/// # Errors
/// When the client is closed.
pub(crate) async fn serve(
    estimator: Estimator,
    service: &Service,
    pool: &str,
    life: &Lifecycle,
) -> Result<(), ExporterError> {
    let subject = subject::delivery_estimate(pool);
    let group = format!("exporters-{}", subject::token(pool).replace('=', "x"));
    let added = service.endpoint_builder().name("estimate").queue_group(group).add(subject.clone()).await;
    let endpoint = added.map_err(|e| BusError::Subscribe { subject, detail: e.to_string() })?;
    life.spawn(answer_all(Arc::new(estimator), endpoint, life.clone()));
    Ok(())
}

async fn answer_all(estimator: Arc<Estimator>, mut endpoint: Endpoint, life: Lifecycle) {
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        // the semaphore is never closed
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        let request = tokio::select! {
            () = life.soft().cancelled() => break,
            request = endpoint.next() => request,
        };
        let Some(request) = request else { return };
        let estimator = Arc::clone(&estimator);
        life.spawn(async move {
            answer(&estimator, request).await;
            drop(permit);
        });
    }
    if let Err(e) = endpoint.stop().await {
        warn!(error = %e, "questions for estimates can't be given to others");
    }
}

async fn answer(estimator: &Estimator, request: Request) {
    let reply = match tokio::time::timeout(DEADLINE, reply(estimator, &request.message.payload)).await {
        Ok(reply) => reply,
        Err(_) => refused(Slug::Unavailable, "The source took too long to answer."),
    };
    let payload = match serde_json::to_vec(&reply) {
        Ok(payload) if payload.len() <= MOST_BYTES => payload,
        Ok(payload) => {
            warn!(reply.bytes = payload.len(), "an estimate is too large to be sent");
            serde_json::to_vec(&refused(Slug::TooLarge, "The preview of these rows is too large.")).unwrap_or_default()
        }
        Err(e) => return error!(error = %e, "an estimate can't be written"),
    };
    if let Err(e) = request.respond(Ok(payload.into())).await {
        warn!(error = %e, "an estimate was lost");
    }
}

async fn reply(estimator: &Estimator, payload: &[u8]) -> EstimateReply {
    let question = match bus::open::<EstimateQuestion>(payload) {
        Ok(question) => question.body,
        Err(e) => {
            warn!(error = %e, "an unreadable question for an estimate");
            return refused(Slug::InvalidRequest, "The request can't be read.");
        }
    };
    let dataset = question.request.dataset.clone();
    match estimator.estimate(question).await {
        Ok(estimate) => EstimateReply::Estimated { estimate },
        Err(e) => {
            warn!(dataset.name = %dataset, error = %e, "an export can't be estimated");
            EstimateReply::Refused { problem: problem(&e) }
        }
    }
}

/// What the person is told: the same as of an export that failed so, but as the answer to a request.
fn problem(error: &JobError) -> Problem {
    match (error, error.verdict()) {
        (JobError::Scope(_) | JobError::Claim(_) | JobError::Policy(_), Verdict::Fail(problem)) => {
            Problem::new(Slug::Forbidden, problem.detail)
        }
        (JobError::Missing { .. }, _) => Problem::new(Slug::Unavailable, error.to_string()),
        (_, Verdict::Fail(problem)) => problem,
        _ => Problem::new(Slug::Unavailable, "The source can't be read just now."),
    }
}

fn refused(slug: Slug, detail: &str) -> EstimateReply {
    EstimateReply::Refused { problem: Problem::new(slug, detail) }
}
