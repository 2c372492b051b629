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

/// Those that may go now, in their order: as many as their exporters have free slots for, and none of a tenant or person
/// who has enough in flight. `slots` says how many of a lane a pool can run at once; those of the interactive lane
/// include the slots that bulk may take. Where there is no exporter, a few wait for one all the same.
pub(super) fn admit<'a>(
    survey: &'a Survey,
    limits: Limits,
    slots: impl Fn(&str, Lane) -> u64,
) -> impl Iterator<Item = &'a Waiting> {
    let mut room: HashMap<(&str, &str), u64> = HashMap::new();
    survey.waiting.iter().filter(move |row| {
        if row.of_tenant > limits.tenant || row.of_user > limits.user {
            return false;
        }
        let (pool, lane) = (row.pool.as_str(), row.lane.as_str());
        let room = room.entry((pool, lane)).or_insert_with(|| {
            let in_flight = |lane: &str| {
                let view = survey.lane(pool, lane);
                view.dispatched + view.running
            };
            let lane_of = Lane::of(lane);
            let taken_by_bulk = match lane_of {
                Lane::Interactive => in_flight(Lane::Bulk.as_str()).min(slots(pool, Lane::Bulk)),
                Lane::Bulk => 0,
            };
            (slots(pool, lane_of) + limits.ahead).saturating_sub(in_flight(lane) + taken_by_bulk)
        });
        let fits = *room > 0;
        *room = room.saturating_sub(1);
        fits
    })
}
