//! How many of those that wait may go now.

use std::collections::HashMap;

use entity::turns::{Survey, Waiting};
use protocol::subject::Lane;

use crate::config::NotifierConfig;

/// What one tenant and one person may have in flight in a lane, and how many may go beyond the free slots.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Of a tenant.
    pub(super) tenant: i64,
    /// Of a person.
    pub(super) user: i64,
    /// Jobs of a lane that wait at the exporters for the next free slot, so that it is not idle until it is known.
    pub(super) ahead: u64,
}

impl From<&NotifierConfig> for Limits {
    fn from(config: &NotifierConfig) -> Self {
        Self {
            tenant: i64::from(config.tenant_in_flight),
            user: i64::from(config.user_in_flight),
            ahead: config.dispatch_ahead,
        }
    }
}

/// The room that is left at the exporters.
pub(super) struct Room<'a> {
    limits: Limits,
    left: HashMap<(&'a str, &'a str), u64>,
}

impl<'a> Room<'a> {
    /// As many as the exporters have free slots for. `slots` says how many of a lane a pool can run at once; those of the
    /// interactive lane include the slots that bulk may take. Where there is no exporter, a few wait for one all the
    /// same.
    pub(super) fn of(survey: &'a Survey, limits: Limits, slots: impl Fn(&str, Lane) -> u64) -> Self {
        let in_flight = |pool: &str, lane: &str| {
            let view = survey.lane(pool, lane);
            view.dispatched + view.running
        };
        let left = |pool: &str, name: &str| {
            let lane = Lane::of(name);
            let taken_by_bulk = match lane {
                Lane::Interactive => in_flight(pool, Lane::Bulk.as_str()).min(slots(pool, Lane::Bulk)),
                Lane::Bulk => 0,
            };
            (slots(pool, lane) + limits.ahead).saturating_sub(in_flight(pool, name) + taken_by_bulk)
        };
        let left = survey.lanes().map(|(pool, lane, _)| ((pool, lane), left(pool, lane))).collect();
        Self { limits, left }
    }

    /// Whether this one may go now: none of a tenant or person who has enough in flight.
    pub(super) fn fits(&self, row: &Waiting) -> bool {
        let left = self.left.get(&(row.pool.as_str(), row.lane.as_str())).copied().unwrap_or_default();
        left > 0 && row.of_tenant <= self.limits.tenant && row.of_user <= self.limits.user
    }

    /// This one went.
    pub(super) fn take(&mut self, row: &'a Waiting) {
        if let Some(left) = self.left.get_mut(&(row.pool.as_str(), row.lane.as_str())) {
            *left = left.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use entity::turns::LaneView;
    use uuid::Uuid;

    use super::*;

    const LIMITS: Limits = Limits { tenant: 16, user: 8, ahead: 1 };

    fn waiting(lane: &str, place: i64, of_user: i64, of_tenant: i64) -> Waiting {
        let (pool, tenant, user_id) = ("default".into(), "acme".into(), "alice".into());
        Waiting { id: Uuid::now_v7(), pool, lane: lane.into(), tenant, user_id, of_user, of_tenant, place }
    }

    fn row(lane: &str, count: i64) -> Vec<Waiting> {
        (1..=count).map(|n| waiting(lane, n, n, n)).collect()
    }

    fn admitted(waiting: Vec<Waiting>, lanes: &[(&str, LaneView)], limits: Limits, slots: (u64, u64)) -> Vec<i64> {
        let survey = Survey::of(waiting, lanes.iter().map(|(lane, view)| ("default", *lane, *view)));
        let slots = |_: &str, lane| if lane == Lane::Bulk { slots.1 } else { slots.0 };
        let mut room = Room::of(&survey, limits, slots);
        let mut gone = Vec::new();
        for row in &survey.waiting {
            if room.fits(row) {
                room.take(row);
                gone.push(row.place);
            }
        }
        gone
    }

    fn in_flight(dispatched: u64, running: u64) -> LaneView {
        LaneView { dispatched, running, ..LaneView::default() }
    }

    #[test]
    fn as_many_go_as_there_are_free_slots_and_one_ahead() {
        assert_eq!(admitted(row("bulk", 9), &[], LIMITS, (5, 4)), [1, 2, 3, 4, 5]);
        assert_eq!(admitted(row("bulk", 9), &[("bulk", in_flight(1, 2))], LIMITS, (5, 4)), [1, 2]);
        assert_eq!(admitted(row("bulk", 9), &[("bulk", in_flight(1, 4))], LIMITS, (5, 4)), [0_i64; 0]);
    }

    #[test]
    fn one_waits_for_an_exporter_that_is_not_there_yet() {
        assert_eq!(admitted(row("bulk", 9), &[], LIMITS, (0, 0)), [1]);
        assert_eq!(admitted(row("bulk", 9), &[("bulk", in_flight(1, 0))], LIMITS, (0, 0)), [0_i64; 0]);
    }

    #[test]
    fn bulk_never_takes_the_slots_kept_for_small_exports() {
        let busy = [("bulk", in_flight(1, 4))];
        assert_eq!(admitted(row("interactive", 9), &busy, LIMITS, (5, 4)), [1, 2]);
        // with bulk idle, small exports have all slots
        assert_eq!(admitted(row("interactive", 9), &[], LIMITS, (5, 4)), [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn whoever_has_enough_in_flight_is_passed_over() {
        let mixed = vec![
            waiting("bulk", 1, 1, 1),
            waiting("bulk", 2, 9, 2),
            waiting("bulk", 3, 1, 17),
            waiting("bulk", 4, 8, 16),
        ];
        assert_eq!(admitted(mixed, &[], LIMITS, (9, 9)), [1, 4]);
    }
}
