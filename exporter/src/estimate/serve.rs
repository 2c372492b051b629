//! Answers estimate requests of gateways over NATS. The number of concurrent estimates is limited, and each estimate
//! has a deadline. The reply to a failed request contains a problem.

use std::{sync::Arc, time::Duration};

use async_nats::service::{Request, Service, endpoint::Endpoint};
use futures::StreamExt;
use platform::{
    bus::{self, BusError},
    lifecycle::Lifecycle,
};
use protocol::{
    estimate::{EstimateReply, EstimateRequest},
    problem::{Problem, Slug},
    subject,
};
use tokio::sync::Semaphore;
use tracing::{error, warn};

use super::estimator::Estimator;
use crate::error::{ExporterError, JobError, Verdict};

/// The maximum number of concurrent estimates. Further requests wait in the NATS subscription.
const MAX_CONCURRENT: usize = 4;
/// The maximum time for one estimate. It is shorter than the time that a gateway waits for the reply.
const DEADLINE: Duration = Duration::from_millis(4_500);
/// The maximum size of a reply, in bytes. It is well below the maximum size of a NATS message.
const MAX_REPLY_SIZE: usize = 512 << 10;

/// Answers estimate requests until the process begins to stop. A queue group distributes the requests among all
/// exporters of a pool.
///
/// # Errors
/// When the NATS client is closed.
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
    let permits = Arc::new(Semaphore::new(MAX_CONCURRENT));
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
        warn!(error = %e, "failed to leave the queue group of estimate requests");
    }
}

async fn answer(estimator: &Estimator, request: Request) {
    let reply = match tokio::time::timeout(DEADLINE, reply(estimator, &request.message.payload)).await {
        Ok(reply) => reply,
        Err(_) => refused(Slug::Unavailable, "The source took too long to answer."),
    };
    let payload = match serde_json::to_vec(&reply) {
        Ok(payload) if payload.len() <= MAX_REPLY_SIZE => payload,
        Ok(payload) => {
            warn!(reply.bytes = payload.len(), "an estimate exceeds the maximum size of a reply");
            serde_json::to_vec(&refused(Slug::TooLarge, "The preview of these rows is too large.")).unwrap_or_default()
        }
        Err(e) => return error!(error = %e, "failed to serialize an estimate"),
    };
    if let Err(e) = request.respond(Ok(payload.into())).await {
        warn!(error = %e, "failed to send an estimate");
    }
}

async fn reply(estimator: &Estimator, payload: &[u8]) -> EstimateReply {
    let request = match bus::open::<EstimateRequest>(payload) {
        Ok(request) => request.body,
        Err(e) => {
            warn!(error = %e, "received an unreadable estimate request");
            return refused(Slug::InvalidRequest, "The request can't be read.");
        }
    };
    let dataset = request.request.dataset.clone();
    match estimator.estimate(request).await {
        Ok(estimate) => EstimateReply::Estimated { estimate },
        Err(e) => {
            warn!(dataset.name = %dataset, error = %e, "failed to estimate an export");
            EstimateReply::Refused { problem: e.with_dataset(problem(&e), &dataset) }
        }
    }
}

/// Converts an error of an estimate to the problem that the reply contains.
fn problem(error: &JobError) -> Problem {
    match (error, error.verdict()) {
        (JobError::Access(_), Verdict::Fail(problem)) => Problem::new(Slug::Forbidden, problem.detail),
        (JobError::Missing { .. }, _) => Problem::new(Slug::Unavailable, error.to_string()),
        (_, Verdict::Fail(problem)) => problem,
        _ => Problem::new(Slug::Unavailable, "The source can't be read at the moment."),
    }
}

fn refused(slug: Slug, detail: &str) -> EstimateReply {
    EstimateReply::Refused { problem: Problem::new(slug, detail) }
}
