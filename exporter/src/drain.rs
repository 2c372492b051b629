//! Draining one exporter by its name: an operator wants it empty before its machine goes, and may change their mind.
//!
//! While it drains it takes no job, finishes those in hand, and says so in the catalog with no slots, so that the
//! dispatcher counts on others. What it offers stays on offer: where it is the only one, exports wait instead of being
//! refused. A restart forgets it, as the new process has another name.

use std::{convert::Infallible, sync::Arc};

use async_nats::service::{Service, endpoint::Endpoint};
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

use crate::ExporterError;

/// Whether this exporter takes jobs. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Drain(Arc<watch::Sender<bool>>);

impl Default for Drain {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl Drain {
    /// Whether it takes no new jobs.
    pub(crate) fn is_on(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it takes jobs.
    pub(crate) async fn is_off(&self) {
        // the sender is in our hand, so that it can't be gone
        let _ = self.0.subscribe().wait_for(|on| !on).await;
    }

    /// Changes heard from now on.
    pub(crate) fn changes(&self) -> watch::Receiver<bool> {
        self.0.subscribe()
    }

    /// False: it was so before.
    fn set(&self, on: bool) -> bool {
        metrics::gauge!("sluice_exporter_draining").set(f64::from(u8::from(on)));
        self.0.send_if_modified(|now| std::mem::replace(now, on) != on)
    }
}

/// Answers operators who name this exporter, until the soft stop.
///
/// # Errors
/// When the client is closed.
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
        let answering = Answering { drain: drain.clone(), instance: instance.to_owned(), jobs: jobs.clone(), on };
        life.spawn_critical("ops/drain", answering.run(endpoint, life.clone()));
    }
    Ok(())
}

struct Answering {
    drain: Drain,
    instance: String,
    jobs: TaskTracker,
    on: bool,
}

impl Answering {
    async fn run(self, mut endpoint: Endpoint, life: Lifecycle) -> Result<(), Infallible> {
        loop {
            let request = tokio::select! {
                biased;
                () = life.soft().cancelled() => return Ok(()),
                request = endpoint.next() => request,
            };
            let Some(request) = request else { return Ok(()) };
            // there is nothing in the question but its subject
            if self.drain.set(self.on) {
                info!(exporter.draining = self.on, exporter.jobs = self.jobs.len(), "an operator wants it so");
            }
            let running = u32::try_from(self.jobs.len()).unwrap_or(u32::MAX);
            let reply = DrainReply::Exporter { instance: self.instance.clone(), draining: self.on, running };
            let (id, trace) = (Uuid::now_v7().to_string(), TraceContext::generate().traceparent());
            match serde_json::to_vec(&Envelope::new(id, trace, reply)) {
                Ok(reply) => {
                    if let Err(e) = request.respond(Ok(reply.into())).await {
                        warn!(error = %e, "an answer was lost; the operator asks again");
                    }
                }
                Err(e) => error!(error = %e, "an answer can't be written"),
            }
        }
    }
}
