//! Tells those who wait where they stand: over core NATS, as a note that may be lost.

use std::{collections::HashMap, time::Duration};

use entity::turns::{Outlook, Survey};
use platform::{bus::Bus, catalog::Catalog};
use protocol::{
    envelope::{ProgressNote, TraceContext},
    export::Progress,
    id::{ExportId, Owner},
    subject::{self, Lane},
};
use tokio::time::Instant;
use tracing::debug;

use crate::config::NotifierConfig;

/// A time left that changed by less than this part of itself is no news.
const NEWS: u64 = 5;

/// What was told to whom.
pub(super) struct Notes {
    every: Duration,
    most: usize,
    told: HashMap<ExportId, Outlook>,
    last: Option<Instant>,
}

impl Notes {
    pub(super) fn new(config: &NotifierConfig) -> Self {
        let every = Duration::from_millis(config.queue_notes_ms);
        Self { every, most: config.queue_notes_max, told: HashMap::new(), last: None }
    }

    /// Whether the last round is long enough ago.
    pub(super) fn are_due(&self) -> bool {
        self.last.is_none_or(|last| last.elapsed() >= self.every)
    }

    /// Tells those whose outlook changed, nearest first and at most so many in a round.
    pub(super) async fn tell(&mut self, survey: &Survey, catalog: &Catalog, bus: &Bus) {
        self.last = Some(Instant::now());
        let mut told = HashMap::with_capacity(survey.waiting.len());
        let mut sent = 0;
        for row in &survey.waiting {
            let id = row.export_id();
            let slots = catalog.slots(&row.pool, Lane::of(&row.lane));
            let outlook = survey.outlook(id, &row.pool, &row.lane, slots);
            let before = self.told.get(&id).copied();
            let mut known = before;
            if sent < self.most && before.is_none_or(|before| is_news(before, outlook)) {
                sent += 1;
                match note(bus, &row.owner(), id, outlook).await {
                    Ok(()) => known = Some(outlook),
                    Err(e) => debug!(export.id = %id, error = %e, "a place in the queue can't be told"),
                }
            }
            known.map(|outlook| told.insert(id, outlook));
        }
        // those who no longer wait are forgotten
        self.told = told;
    }
}

/// Tells the owner of an export that is handed over now that it is next: rounds no longer name it, and what was told at the
/// door may be older than the end of the one before it.
pub(super) async fn tell_next(bus: &Bus, owner: &Owner, id: ExportId) {
    if let Err(e) = note(bus, owner, id, Outlook { position: 0, eta_ms: None }).await {
        debug!(export.id = %id, error = %e, "a place in the queue can't be told");
    }
}

fn is_news(before: Outlook, now: Outlook) -> bool {
    let far = match (before.eta_ms, now.eta_ms) {
        (Some(before), Some(now)) => before.abs_diff(now) * NEWS > before,
        (before, now) => before != now,
    };
    far || before.position != now.position
}

async fn note(bus: &Bus, owner: &Owner, id: ExportId, outlook: Outlook) -> Result<(), platform::bus::BusError> {
    let progress = Progress { queue_position: Some(outlook.position), eta_ms: outlook.eta_ms, ..Progress::default() };
    let trace = TraceContext::generate().traceparent();
    bus.publish_lossy(subject::progress(owner, id), &trace, &ProgressNote { export_id: id, progress }).await
}
