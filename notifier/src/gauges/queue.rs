//! How many exports are unfinished, and how long the oldest has waited.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};
use entity::operator::{self, Group};
use protocol::{export::Status, subject::Lane};

use crate::{app::Deps, error::NotifierError};

/// A label for each tenant would be without bounds, so there are two classes: those who wait behind others of their own
/// tenant, which has as many in flight as it may, and those who wait for an exporter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Busy,
    Other,
}

impl Class {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Other => "other",
        }
    }
}

/// Who waits in a lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Queue {
    exports: i64,
    oldest: Option<DateTime<Utc>>,
}

/// By lane and class, each of them.
type Queues = BTreeMap<(&'static str, Class), Queue>;

/// By pool, lane and state.
type States = HashMap<(String, &'static str, &'static str), i64>;

/// The gauges of the queue.
pub(super) struct Lanes {
    /// What a tenant may have in flight in a lane.
    tenant_in_flight: i64,
    /// The pools seen since the start: one in which nothing is left must say so.
    pools: HashSet<String>,
}

impl Lanes {
    pub(super) fn new(tenant_in_flight: i64) -> Self {
        Self { tenant_in_flight, pools: HashSet::new() }
    }

    pub(super) async fn look(&mut self, deps: &Deps) -> Result<(), NotifierError> {
        let (groups, now) = (operator::unfinished(&deps.db).await?, deps.clock.now());
        let (queues, states) = sort(&groups, self.tenant_in_flight);
        for ((lane, class), queue) in queues {
            let age = queue.oldest.and_then(|oldest| (now - oldest).to_std().ok()).unwrap_or_default();
            metrics::gauge!("sluice_queue_waiting", "lane" => lane, "class" => class.as_str())
                .set(queue.exports as f64);
            metrics::gauge!("sluice_queue_oldest_age_seconds", "lane" => lane, "class" => class.as_str())
                .set(age.as_secs_f64());
        }
        self.pools.extend(states.keys().map(|(pool, ..)| pool.clone()));
        for pool in &self.pools {
            for lane in Lane::ALL.map(Lane::as_str) {
                for state in ["waiting", "dispatched", "running"] {
                    let exports = states.get(&(pool.clone(), lane, state)).copied().unwrap_or_default();
                    metrics::gauge!("sluice_queue_exports", "pool" => pool.clone(), "lane" => lane, "state" => state)
                        .set(exports as f64);
                }
            }
        }
        Ok(())
    }
}

fn sort(groups: &[Group], tenant_in_flight: i64) -> (Queues, States) {
    let mut in_flight: HashMap<(&str, &str, &str), i64> = HashMap::new();
    let mut states = States::new();
    let key = |group: &Group| (group.pool.clone(), Lane::of(&group.lane).as_str());
    for group in groups {
        let (pool, lane) = key(group);
        let state = if group.status == Status::Queued.as_str() {
            "waiting"
        } else {
            *in_flight.entry((&group.pool, &group.lane, &group.tenant)).or_default() += group.exports;
            if group.status == Status::Running.as_str() { "running" } else { "dispatched" }
        };
        *states.entry((pool, lane, state)).or_default() += group.exports;
    }
    let classes = [Class::Busy, Class::Other];
    let mut queues: Queues = Lane::ALL
        .into_iter()
        .flat_map(|lane| classes.map(|class| ((lane.as_str(), class), Queue::default())))
        .collect();
    for group in groups.iter().filter(|group| group.status == Status::Queued.as_str()) {
        let busy = in_flight.get(&(group.pool.as_str(), group.lane.as_str(), group.tenant.as_str()));
        let class = if busy.copied().unwrap_or_default() >= tenant_in_flight { Class::Busy } else { Class::Other };
        let queue = queues.entry((key(group).1, class)).or_default();
        queue.exports += group.exports;
        queue.oldest = Some(queue.oldest.map_or(group.oldest, |oldest| oldest.min(group.oldest)));
    }
    (queues, states)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(tenant: &str, status: Status, exports: i64, oldest: &str) -> Group {
        let oldest = oldest.parse().unwrap();
        let (pool, lane, tenant) = ("default".into(), "bulk".into(), tenant.into());
        Group { pool, lane, tenant, status: status.as_str().into(), exports, oldest }
    }

    #[test]
    fn who_waits_behind_their_own_is_told_from_who_waits_for_an_exporter() {
        let groups = [
            group("acme", Status::Running, 2, "2026-11-22T15:00:00Z"),
            group("acme", Status::Dispatched, 1, "2026-11-22T15:01:00Z"),
            group("acme", Status::Queued, 40, "2026-11-22T15:02:00Z"),
            group("globex", Status::Queued, 1, "2026-11-22T15:10:00Z"),
            group("initech", Status::Queued, 2, "2026-11-22T15:09:00Z"),
        ];
        let (queues, states) = sort(&groups, 3);
        let told = |class| queues[&("bulk", class)];
        assert_eq!(told(Class::Busy).exports, 40);
        assert_eq!(told(Class::Other).exports, 3);
        assert_eq!(told(Class::Other).oldest, Some("2026-11-22T15:09:00Z".parse().unwrap()));
        assert_eq!(queues[&("interactive", Class::Other)], Queue::default());
        assert_eq!(states[&("default".to_owned(), "bulk", "waiting")], 43);
        // with more allowed, none of them waits behind their own
        assert_eq!(sort(&groups, 4).0[&("bulk", Class::Busy)].exports, 0);
    }
}
