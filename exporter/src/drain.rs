//! The drain of an exporter: while the drain is on, the exporter takes no new jobs, and finishes its running ones. An
//! operator turns the drain on, for example before the machine is removed, and may turn it off again.
//!
//! The heartbeat of a draining exporter in the catalog states zero slots, so that the dispatcher plans no jobs for this
//! exporter. The heartbeat still names the datasets, so gateways continue to accept exports of these datasets. The
//! exports wait in the queue for another exporter.
//!
//! Only the memory of the process holds the drain state, so a restart ends the drain.

use std::{convert::Infallible, sync::Arc};

use async_nats::service::{Request, Service, endpoint::Endpoint};
use futures::StreamExt;
use platform::{bus::BusError, lifecycle::Lifecycle};
use protocol::{
    envelope::{Envelope, TraceContext},
    ops::DrainReply,
    subject,
};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::error::ExporterError;

/// Whether an operator drains this exporter. Clones share the state.
#[derive(Clone, Debug)]
pub(crate) struct Drain(Arc<watch::Sender<bool>>);

impl Default for Drain {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl Drain {
    /// Whether an operator drains the exporter. If true, the exporter takes no new jobs.
    pub(crate) fn is_on(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until an operator has revoked the drain. Returns at once if the exporter is not draining.
    pub(crate) async fn is_off(&self) {
        // `self` holds the sender, so that the channel stays open
        let _ = self.0.subscribe().wait_for(|on| !on).await;
    }

    /// Returns a receiver that reports each change of the drain state after this call.
    pub(crate) fn changes(&self) -> watch::Receiver<bool> {
        self.0.subscribe()
    }

    /// Turns the drain on or off, and returns whether this changed the state.
    fn set(&self, on: bool) -> bool {
        metrics::gauge!("sluice_exporter_operator_drain").set(f64::from(u8::from(on)));
        self.0.send_if_modified(|now| std::mem::replace(now, on) != on)
    }
}

/// Answers the `drain` and `undrain` requests of operators to the exporter `instance`, until the process begins to
/// stop. `jobs` tracks the running jobs, and each reply states their number.
///
/// # Errors
/// When the NATS client is closed.
pub(crate) async fn serve(
    drain: &Drain,
    instance: &str,
    jobs: &TaskTracker,
    service: &Service,
    life: &Lifecycle,
) -> Result<(), ExporterError> {
    for (name, subject, on) in
        [("drain", subject::ops_drain(instance), true), ("undrain", subject::ops_undrain(instance), false)]
    {
        let added = service.endpoint_builder().name(name).add(subject.clone()).await;
        let endpoint = added.map_err(|e| BusError::Subscribe { subject, detail: e.to_string() })?;
        let handler = Handler { drain: drain.clone(), instance: instance.to_owned(), jobs: jobs.clone(), on };
        life.spawn_critical("ops/drain", handler.run(endpoint, life.clone()));
    }
    Ok(())
}

/// Handles the requests of one NATS endpoint, either `drain` or `undrain`.
struct Handler {
    drain: Drain,
    instance: String,
    jobs: TaskTracker,
    /// The drain state that the endpoint sets: true for `drain`, false for `undrain`.
    on: bool,
}

impl Handler {
    async fn run(self, mut endpoint: Endpoint, life: Lifecycle) -> Result<(), Infallible> {
        while let Some(Some(request)) = life.soft().run_until_cancelled(endpoint.next()).await {
            self.handle(&request).await;
        }
        Ok(())
    }

    /// Sets the drain state, and replies with the state and the number of running jobs. Ignores the body of the
    /// request, which has no fields.
    async fn handle(&self, request: &Request) {
        if self.drain.set(self.on) {
            info!(exporter.draining = self.on, exporter.jobs = self.jobs.len(), "an operator changed the draining");
        }
        let running = u32::try_from(self.jobs.len()).unwrap_or(u32::MAX);
        let reply = DrainReply::Exporter { instance: self.instance.clone(), draining: self.on, running };
        let (id, trace) = (Uuid::now_v7().to_string(), TraceContext::generate().traceparent());
        match serde_json::to_vec(&Envelope::new(id, trace, reply)) {
            Ok(reply) => {
                if let Err(e) = request.respond(Ok(reply.into())).await {
                    warn!(error = %e, "failed to reply to a drain request; the operator repeats it");
                }
            }
            Err(e) => error!(error = %e, "failed to serialize a reply to a drain request"),
        }
    }
}
