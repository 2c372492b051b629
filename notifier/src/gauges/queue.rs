//! The gauges of the queue: unfinished exports by pool, lane and state, and the age of the oldest waiting export.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};
use entity::operator::{self, UnfinishedCount};
use protocol::{export::Status, subject::Lane};

use crate::{deps::Deps, error::NotifierError};

/// The reason why an export waits. The metric has no label for the tenant, because the number of tenants has no bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum WaitClass {
    /// The tenant of the export has reached its limit of exports in flight.
    TenantLimit,
    /// The tenant is below its limit: the exporters have no free slot, or the user has reached the limit for users.
    Capacity,
}

impl WaitClass {
    const ALL: [Self; 2] = [Self::TenantLimit, Self::Capacity];

    const fn as_str(self) -> &'static str {
        match self {
            Self::TenantLimit => "tenant_limit",
            Self::Capacity => "capacity",
        }
    }
}

/// The number of waiting exports in one lane with one [`WaitClass`], and the request time of the oldest one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Waiting {
    exports: i64,
    oldest: Option<DateTime<Utc>>,
}

/// Waiting exports by lane and [`WaitClass`]. The map has an entry for each combination.
type WaitingByClass = BTreeMap<(&'static str, WaitClass), Waiting>;

/// Numbers of unfinished exports by pool, lane and state.
type ExportsByState = HashMap<(String, &'static str, &'static str), i64>;

/// Reads the queue from the database and sets its gauges.
pub(super) struct QueueGauges {
    /// The number of exports that one tenant may have in flight in one lane of a pool.
    max_in_flight_per_tenant_pool_and_lane: i64,
    /// All pools found since the start. The gauges of a pool without exports are set to 0.
    pools: HashSet<String>,
}

impl QueueGauges {
    pub(super) fn new(max_in_flight_per_tenant_pool_and_lane: i64) -> Self {
        Self { max_in_flight_per_tenant_pool_and_lane, pools: HashSet::new() }
    }

    pub(super) async fn sample(&mut self, deps: &Deps) -> Result<(), NotifierError> {
        let (groups, now) = (operator::unfinished(&deps.db).await?, deps.clock.now());
        let (waiting, states) = classify(&groups, self.max_in_flight_per_tenant_pool_and_lane);
        for ((lane, class), waiting) in waiting {
            let age = waiting.oldest.and_then(|oldest| (now - oldest).to_std().ok()).unwrap_or_default();
            metrics::gauge!("sluice_queue_waiting", "lane" => lane, "class" => class.as_str())
                .set(waiting.exports as f64);
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

fn classify(
    groups: &[UnfinishedCount],
    max_in_flight_per_tenant_pool_and_lane: i64,
) -> (WaitingByClass, ExportsByState) {
    let mut in_flight: HashMap<(&str, &str, &str), i64> = HashMap::new();
    let mut states = ExportsByState::new();
    let key = |group: &UnfinishedCount| (group.pool.clone(), Lane::from_name(&group.lane).as_str());
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
    let mut waiting: WaitingByClass = Lane::ALL
        .into_iter()
        .flat_map(|lane| WaitClass::ALL.map(|class| ((lane.as_str(), class), Waiting::default())))
        .collect();
    for group in groups.iter().filter(|group| group.status == Status::Queued.as_str()) {
        let of_tenant = in_flight.get(&(group.pool.as_str(), group.lane.as_str(), group.tenant.as_str()));
        let at_limit = of_tenant.copied().unwrap_or_default() >= max_in_flight_per_tenant_pool_and_lane;
        let class = if at_limit { WaitClass::TenantLimit } else { WaitClass::Capacity };
        let entry = waiting.entry((key(group).1, class)).or_default();
        entry.exports += group.exports;
        entry.oldest = Some(entry.oldest.map_or(group.oldest, |oldest| oldest.min(group.oldest)));
    }
    (waiting, states)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(tenant: &str, status: Status, exports: i64, oldest: &str) -> UnfinishedCount {
        let oldest = oldest.parse().unwrap();
        let (pool, lane, tenant) = ("default".into(), "bulk".into(), tenant.into());
        UnfinishedCount { pool, lane, tenant, status: status.as_str().into(), exports, oldest }
    }

    #[test]
    fn waiting_exports_are_classified_by_the_limit_of_their_tenant() {
        let groups = [
            group("acme", Status::Running, 2, "2026-11-22T15:00:00Z"),
            group("acme", Status::Dispatched, 1, "2026-11-22T15:01:00Z"),
            group("acme", Status::Queued, 40, "2026-11-22T15:02:00Z"),
            group("globex", Status::Queued, 1, "2026-11-22T15:10:00Z"),
            group("initech", Status::Queued, 2, "2026-11-22T15:09:00Z"),
        ];
        let (waiting, states) = classify(&groups, 3);
        let bulk = |class| waiting[&("bulk", class)];
        assert_eq!(bulk(WaitClass::TenantLimit).exports, 40);
        assert_eq!(bulk(WaitClass::Capacity).exports, 3);
        assert_eq!(bulk(WaitClass::Capacity).oldest, Some("2026-11-22T15:09:00Z".parse().unwrap()));
        assert_eq!(waiting[&("interactive", WaitClass::Capacity)], Waiting::default());
        assert_eq!(states[&("default".to_owned(), "bulk", "waiting")], 43);
        // below a higher limit, all exports wait for capacity
        assert_eq!(classify(&groups, 4).0[&("bulk", WaitClass::TenantLimit)].exports, 0);
    }
}
