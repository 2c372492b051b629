//! Computes for which waiting exports the exporters have capacity.

use std::collections::HashMap;

use entity::dispatch_queue::{QueueSnapshot, WaitingExport};
use protocol::subject::Lane;

use crate::config::NotifierConfig;

/// The configured limits of one lane of a pool. A pool is the group of exporters that offer a dataset. A lane is one of
/// its two queues, `interactive` or `bulk`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Largest number of exports that one tenant may have in flight (dispatched or running).
    pub(super) tenant: i64,
    /// Largest number of exports that one user may have in flight (dispatched or running).
    pub(super) user: i64,
    /// Number of jobs that the dispatcher publishes in a lane beyond the free slots of the exporters, so that no slot
    /// idles between two jobs.
    pub(super) prefetch: u64,
}

impl From<&NotifierConfig> for Limits {
    fn from(config: &NotifierConfig) -> Self {
        Self {
            tenant: i64::from(config.max_in_flight_per_tenant_pool_and_lane),
            user: i64::from(config.max_in_flight_per_user_pool_and_lane),
            prefetch: config.tuning.prefetch,
        }
    }
}

/// The number of exports that the dispatcher may still pass to exporters in this round, for each pool of exporters and
/// each lane (`interactive` or `bulk`).
pub(super) struct Capacity<'a> {
    limits: Limits,
    left: HashMap<(&'a str, &'a str), u64>,
}

impl<'a> Capacity<'a> {
    /// Computes the capacity of each lane: its slots plus the prefetch, minus its exports in flight. `slots` returns
    /// the number of jobs of a lane that the exporters of a pool can run at the same time.
    ///
    /// Interactive exports may use all slots of a pool, and bulk exports only some of them. So bulk exports in flight
    /// also reduce the capacity of the interactive lane, by at most the number of bulk slots. A pool without exporters
    /// has no slots, so each of its lanes can have only the prefetch in flight.
    pub(super) fn new(snapshot: &'a QueueSnapshot, limits: Limits, slots: impl Fn(&str, Lane) -> u64) -> Self {
        let in_flight = |pool: &str, lane: &str| {
            let load = snapshot.lane(pool, lane);
            load.dispatched + load.running
        };
        let left = |pool: &str, name: &str| {
            let lane = Lane::from_name(name);
            let taken_by_bulk = match lane {
                Lane::Interactive => in_flight(pool, Lane::Bulk.as_str()).min(slots(pool, Lane::Bulk)),
                Lane::Bulk => 0,
            };
            (slots(pool, lane) + limits.prefetch).saturating_sub(in_flight(pool, name) + taken_by_bulk)
        };
        let left = snapshot.lanes().map(|(pool, lane, _)| ((pool, lane), left(pool, lane))).collect();
        Self { limits, left }
    }

    /// Whether the dispatcher may publish the job of this export now: the lane of the export has capacity, and its
    /// tenant and its user are below their limits.
    pub(super) fn admits(&self, row: &WaitingExport) -> bool {
        let left = self.left.get(&(row.pool.as_str(), row.lane.as_str())).copied().unwrap_or_default();
        left > 0 && row.tenant_rank <= self.limits.tenant && row.user_rank <= self.limits.user
    }

    /// Subtracts a dispatched export from the capacity of the export's lane.
    pub(super) fn take(&mut self, row: &'a WaitingExport) {
        if let Some(left) = self.left.get_mut(&(row.pool.as_str(), row.lane.as_str())) {
            *left = left.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use entity::dispatch_queue::LaneLoad;
    use uuid::Uuid;

    use super::*;

    const LIMITS: Limits = Limits { tenant: 16, user: 8, prefetch: 1 };

    fn waiting(lane: &str, lane_rank: i64, user_rank: i64, tenant_rank: i64) -> WaitingExport {
        let (pool, tenant, user_id) = ("default".into(), "acme".into(), "alice".into());
        WaitingExport {
            id: Uuid::now_v7(),
            pool,
            lane: lane.into(),
            tenant,
            user_id,
            user_rank,
            tenant_rank,
            lane_rank,
        }
    }

    fn rows(lane: &str, count: i64) -> Vec<WaitingExport> {
        (1..=count).map(|n| waiting(lane, n, n, n)).collect()
    }

    /// Dispatches the waiting exports that the capacity admits, and returns the position of each within its lane.
    /// `slots` holds the number of interactive slots and the number of bulk slots.
    fn dispatched(waiting: Vec<WaitingExport>, lanes: &[(&str, LaneLoad)], slots: (u64, u64)) -> Vec<i64> {
        let snapshot = QueueSnapshot::new(waiting, lanes.iter().map(|(lane, load)| ("default", *lane, *load)));
        let slots = |_: &str, lane| if lane == Lane::Bulk { slots.1 } else { slots.0 };
        let mut capacity = Capacity::new(&snapshot, LIMITS, slots);
        let mut ranks = Vec::new();
        for row in &snapshot.waiting {
            if capacity.admits(row) {
                capacity.take(row);
                ranks.push(row.lane_rank);
            }
        }
        ranks
    }

    fn in_flight(dispatched: u64, running: u64) -> LaneLoad {
        LaneLoad { dispatched, running, ..LaneLoad::default() }
    }

    #[test]
    fn free_slots_and_one_prefetched_job_are_filled() {
        assert_eq!(dispatched(rows("bulk", 9), &[], (5, 4)), [1, 2, 3, 4, 5]);
        assert_eq!(dispatched(rows("bulk", 9), &[("bulk", in_flight(1, 2))], (5, 4)), [1, 2]);
        assert_eq!(dispatched(rows("bulk", 9), &[("bulk", in_flight(1, 4))], (5, 4)), [0_i64; 0]);
    }

    #[test]
    fn one_job_is_dispatched_before_an_exporter_starts() {
        assert_eq!(dispatched(rows("bulk", 9), &[], (0, 0)), [1]);
        assert_eq!(dispatched(rows("bulk", 9), &[("bulk", in_flight(1, 0))], (0, 0)), [0_i64; 0]);
    }

    #[test]
    fn bulk_exports_never_take_the_slots_reserved_for_interactive_ones() {
        let busy = [("bulk", in_flight(1, 4))];
        assert_eq!(dispatched(rows("interactive", 9), &busy, (5, 4)), [1, 2]);
        // without bulk exports, interactive ones take all slots
        assert_eq!(dispatched(rows("interactive", 9), &[], (5, 4)), [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn exports_beyond_the_limit_of_a_user_or_tenant_are_skipped() {
        let mixed = vec![
            waiting("bulk", 1, 1, 1),
            waiting("bulk", 2, 9, 2),
            waiting("bulk", 3, 1, 17),
            waiting("bulk", 4, 8, 16),
        ];
        assert_eq!(dispatched(mixed, &[], (9, 9)), [1, 4]);
    }
}
