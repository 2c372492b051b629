//! Publishes queue positions to the owners of waiting exports, as progress reports on core NATS, which does not
//! guarantee delivery.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use entity::dispatch_queue::{QueuePosition, QueueSnapshot};
use platform::{
    bus::{Bus, BusError},
    catalog::Catalog,
};
use protocol::{
    envelope::{ProgressReport, TraceContext},
    export::{Progress, WaitingFor},
    id::{ExportId, Owner},
    subject::{self, Lane},
};
use tokio::time::Instant;
use tracing::debug;

use crate::config::NotifierConfig;

/// The dispatcher publishes the remaining time of an export again when it has changed by more than the last published
/// time divided by this number: by more than one fifth.
const ETA_CHANGE_DIVISOR: u64 = 5;

/// Publishes queue positions in rounds, and stores the last published position of each waiting export.
pub(super) struct QueuePositions {
    interval: Duration,
    max_per_round: usize,
    published: HashMap<ExportId, QueuePosition>,
    /// The waiting exports whose owners know that an operator has paused them.
    paused: HashSet<ExportId>,
    last_round: Option<Instant>,
}

impl QueuePositions {
    pub(super) fn new(config: &NotifierConfig) -> Self {
        Self {
            interval: config.tuning.queue_position_interval.get(),
            max_per_round: config.tuning.max_queue_notifications,
            published: HashMap::new(),
            paused: HashSet::new(),
            last_round: None,
        }
    }

    /// Whether a new round is due: the interval has passed since the last round, or there was no round yet.
    pub(super) fn are_due(&self) -> bool {
        self.last_round.is_none_or(|last| last.elapsed() >= self.interval)
    }

    /// Publishes the queue position of each export whose position has changed, or whose remaining time has changed by
    /// more than one fifth, since the last publication. One call starts at the front of the queue, and publishes at
    /// most `max_queue_notifications` positions.
    pub(super) async fn publish(&mut self, snapshot: &QueueSnapshot, catalog: &Catalog, bus: &Bus) {
        self.last_round = Some(Instant::now());
        let mut published = HashMap::with_capacity(snapshot.waiting.len());
        let mut sent = 0;
        for row in &snapshot.waiting {
            let id = row.export_id();
            let slots = catalog.slots(&row.pool, Lane::from_name(&row.lane));
            let position = snapshot.position_of(id, &row.pool, &row.lane, slots);
            let before = self.published.get(&id).copied();
            let mut known = before;
            if sent < self.max_per_round && before.is_none_or(|before| has_changed(before, position)) {
                sent += 1;
                match publish_position(bus, &row.owner(), id, position).await {
                    Ok(()) => known = Some(position),
                    Err(e) => debug!(export.id = %id, error = %e, "failed to publish a queue position"),
                }
            }
            known.map(|position| published.insert(id, position));
        }
        // this drops the exports that no longer wait
        self.published = published;
    }
}

impl QueuePositions {
    /// Tells the owners of paused exports that an operator has paused them, once for each export. `exports` are the
    /// paused exports that wait. One call tells at most `max_queue_notifications` owners.
    pub(super) async fn publish_paused(&mut self, exports: &HashMap<ExportId, Owner>, bus: &Bus) {
        let mut paused = HashSet::with_capacity(exports.len());
        let mut sent = 0;
        for (id, owner) in exports {
            let mut is_known = self.paused.contains(id);
            if !is_known && sent < self.max_per_round {
                sent += 1;
                let progress = Progress { waiting_for: Some(WaitingFor::Operator), ..Progress::default() };
                match publish_progress(bus, owner, *id, progress).await {
                    Ok(()) => is_known = true,
                    Err(e) => debug!(export.id = %id, error = %e, "failed to report a paused export"),
                }
            }
            if is_known {
                paused.insert(*id);
            }
        }
        self.paused = paused;
    }
}

/// Publishes position 0 to the owner of an export that is being dispatched. Later rounds report only waiting exports,
/// so without this report the owner would still see an older position.
pub(super) async fn publish_front_position(bus: &Bus, owner: &Owner, id: ExportId) {
    if let Err(e) = publish_position(bus, owner, id, QueuePosition { position: 0, eta_ms: None }).await {
        debug!(export.id = %id, error = %e, "failed to publish a queue position");
    }
}

fn has_changed(before: QueuePosition, now: QueuePosition) -> bool {
    let eta_changed = match (before.eta_ms, now.eta_ms) {
        (Some(before), Some(now)) => before.abs_diff(now) * ETA_CHANGE_DIVISOR > before,
        (before, now) => before != now,
    };
    eta_changed || before.position != now.position
}

async fn publish_position(bus: &Bus, owner: &Owner, id: ExportId, position: QueuePosition) -> Result<(), BusError> {
    let progress = Progress { queue_position: Some(position.position), eta_ms: position.eta_ms, ..Progress::default() };
    publish_progress(bus, owner, id, progress).await
}

async fn publish_progress(bus: &Bus, owner: &Owner, id: ExportId, progress: Progress) -> Result<(), BusError> {
    let trace = TraceContext::generate().traceparent();
    bus.publish_lossy(subject::progress(owner, id), &trace, &ProgressReport { export_id: id, progress }).await
}
