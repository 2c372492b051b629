//! The gauges of the queue: unfinished exports by pool, lane and state, and the age of the oldest waiting export.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};
use entity::{
    operator::{self, UnfinishedCount},
    pause::{self, PausedOwners},
};
use protocol::{export::Status, subject::Lane};

use crate::{config::NotifierConfig, deps::Deps, error::NotifierError};

/// The largest number of pauses that one sample reads.
const MAX_PAUSES: u64 = 10_000;

/// The reason why an export waits, for the label `class` of the metrics of waiting exports. If the tenant and the user
/// have both reached their limits of exports in flight, the reason is [`WaitClass::TenantLimit`]. These metrics have no
/// label for the tenant or the user, because an installation may have any number of tenants and users.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum WaitClass {
    /// An operator has paused the tenant or the user of the export.
    Paused,
    /// The tenant of the export has reached its limit of exports in flight.
    TenantLimit,
    /// The user has reached the limit of exports in flight, and the tenant is below its limit.
    UserLimit,
    /// The tenant and the user are below their limits. The export waits because the exporters have no free slot (room
    /// for another running export).
    Capacity,
}

impl WaitClass {
    const ALL: [Self; 4] = [Self::Paused, Self::TenantLimit, Self::UserLimit, Self::Capacity];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Paused => "paused",
            Self::TenantLimit => "tenant_limit",
            Self::UserLimit => "user_limit",
            Self::Capacity => "capacity",
        }
    }
}

/// The configured limits on the exports in flight (dispatched or running) in one lane of one pool: one limit for each
/// tenant and one for each user.
#[derive(Clone, Copy, Debug)]
pub(super) struct InFlightLimits {
    tenant: i64,
    user: i64,
}

impl From<&NotifierConfig> for InFlightLimits {
    fn from(config: &NotifierConfig) -> Self {
        Self {
            tenant: i64::from(config.max_in_flight_per_tenant_pool_and_lane),
            user: i64::from(config.max_in_flight_per_user_pool_and_lane),
        }
    }
}

/// The number of waiting exports in one lane with the same [`WaitClass`], and the request time of the oldest of them.
/// The request time is `None` if no export waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Waiting {
    exports: i64,
    oldest: Option<DateTime<Utc>>,
}

/// Waiting exports by lane (`interactive` or `bulk`) and [`WaitClass`]. The map has an entry for each combination.
type WaitingByClass = BTreeMap<(&'static str, WaitClass), Waiting>;

/// Number of unfinished exports by the pool of exporters, the lane (`interactive` or `bulk`) and the state (`waiting`,
/// `dispatched` or `running`).
type ExportsByState = HashMap<(String, &'static str, &'static str), i64>;

/// Reads the queue from the database and sets its gauges.
pub(super) struct QueueGauges {
    limits: InFlightLimits,
    /// All pools with an unfinished export in any sample since the start. The gauges of a pool without unfinished
    /// exports are set to 0.
    pools: HashSet<String>,
}

impl QueueGauges {
    pub(super) fn new(limits: InFlightLimits) -> Self {
        Self { limits, pools: HashSet::new() }
    }

    pub(super) async fn sample(&mut self, deps: &Deps) -> Result<(), NotifierError> {
        let (groups, now) = (operator::unfinished(&deps.db).await?, deps.clock.now());
        let pauses = pause::list(&deps.db, MAX_PAUSES).await?;
        let (waiting, states) = classify(&groups, &PausedOwners::new(&pauses), self.limits);
        for ((lane, class), waiting) in waiting {
            let age = waiting.oldest.and_then(|oldest| (now - oldest).to_std().ok()).unwrap_or_default();
            metrics::gauge!("sluice_queue_undispatched_exports", "lane" => lane, "class" => class.as_str())
                .set(waiting.exports as f64);
            metrics::gauge!("sluice_queue_undispatched_oldest_age_seconds", "lane" => lane, "class" => class.as_str())
                .set(age.as_secs_f64());
        }
        self.pools.extend(states.keys().map(|(pool, ..)| pool.clone()));
        for pool in &self.pools {
            for lane in Lane::ALL.map(Lane::as_str) {
                for state in ["waiting", "dispatched", "running"] {
                    let exports = states.get(&(pool.clone(), lane, state)).copied().unwrap_or_default();
                    metrics::gauge!(
                        "sluice_unfinished_exports", "pool" => pool.clone(), "lane" => lane, "state" => state
                    )
                    .set(exports as f64);
                }
            }
        }
        Ok(())
    }
}

fn classify(
    groups: &[UnfinishedCount],
    paused: &PausedOwners<'_>,
    limits: InFlightLimits,
) -> (WaitingByClass, ExportsByState) {
    let mut of_tenants: HashMap<(&str, &str, &str), i64> = HashMap::new();
    let mut of_users: HashMap<(&str, &str, &str, &str), i64> = HashMap::new();
    let mut states = ExportsByState::new();
    let key = |group: &UnfinishedCount| (group.pool.clone(), Lane::from_name(&group.lane).as_str());
    for group in groups {
        let (pool, lane) = key(group);
        let state = if group.status == Status::Queued.as_str() {
            "waiting"
        } else {
            *of_tenants.entry(tenant_key(group)).or_default() += group.exports;
            *of_users.entry(user_key(group)).or_default() += group.exports;
            if group.status == Status::Running.as_str() { "running" } else { "dispatched" }
        };
        *states.entry((pool, lane, state)).or_default() += group.exports;
    }
    let mut waiting: WaitingByClass = Lane::ALL
        .into_iter()
        .flat_map(|lane| WaitClass::ALL.map(|class| ((lane.as_str(), class), Waiting::default())))
        .collect();
    for group in groups.iter().filter(|group| group.status == Status::Queued.as_str()) {
        let class = if paused.contains(&group.tenant, &group.user_id) {
            WaitClass::Paused
        } else if of_tenants.get(&tenant_key(group)).is_some_and(|in_flight| *in_flight >= limits.tenant) {
            WaitClass::TenantLimit
        } else if of_users.get(&user_key(group)).is_some_and(|in_flight| *in_flight >= limits.user) {
            WaitClass::UserLimit
        } else {
            WaitClass::Capacity
        };
        let entry = waiting.entry((key(group).1, class)).or_default();
        entry.exports += group.exports;
        entry.oldest = Some(entry.oldest.map_or(group.oldest, |oldest| oldest.min(group.oldest)));
    }
    (waiting, states)
}

/// Returns the pool, the lane and the tenant of a group of unfinished exports. Each such combination has its own limit
/// of exports in flight.
fn tenant_key(group: &UnfinishedCount) -> (&str, &str, &str) {
    (&group.pool, &group.lane, &group.tenant)
}

/// Returns the pool, the lane, the tenant and the user of a group of unfinished exports. Each such combination has its
/// own limit of exports in flight.
fn user_key(group: &UnfinishedCount) -> (&str, &str, &str, &str) {
    (&group.pool, &group.lane, &group.tenant, &group.user_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(owner: &str, status: Status, exports: i64, oldest: &str) -> UnfinishedCount {
        let oldest = oldest.parse().unwrap();
        let (tenant, user) = owner.split_once('/').unwrap();
        let (pool, lane, tenant, user_id) = ("default".into(), "bulk".into(), tenant.into(), user.into());
        UnfinishedCount { pool, lane, tenant, user_id, status: status.as_str().into(), exports, oldest }
    }

    #[test]
    fn waiting_exports_are_classified_by_the_limits_of_their_tenant_and_user() {
        let groups = [
            group("acme/alice", Status::Running, 2, "2026-11-22T15:00:00Z"),
            group("acme/bob", Status::Dispatched, 1, "2026-11-22T15:01:00Z"),
            group("acme/alice", Status::Queued, 40, "2026-11-22T15:02:00Z"),
            group("acme/bob", Status::Queued, 3, "2026-11-22T15:03:00Z"),
            group("globex/carol", Status::Queued, 1, "2026-11-22T15:10:00Z"),
            group("initech/dave", Status::Queued, 2, "2026-11-22T15:09:00Z"),
        ];
        let exports = |tenant, user| {
            let (waiting, states) = classify(&groups, &PausedOwners::new(&[]), InFlightLimits { tenant, user });
            assert_eq!(states[&("default".to_owned(), "bulk", "waiting")], 46);
            assert_eq!(waiting[&("interactive", WaitClass::Capacity)], Waiting::default());
            WaitClass::ALL.map(|class| waiting[&("bulk", class)].exports)
        };
        assert_eq!(exports(3, 3), [0, 43, 0, 3], "three exports of acme are in flight");
        assert_eq!(exports(3, 2), [0, 43, 0, 3], "an export at both limits waits at the limit of its tenant");
        assert_eq!(exports(4, 2), [0, 0, 40, 6], "alice has two exports in flight, and bob has one");
        assert_eq!(exports(4, 3), [0, 0, 0, 46]);
        let (waiting, _) = classify(&groups, &PausedOwners::new(&[]), InFlightLimits { tenant: 4, user: 2 });
        let oldest = |class| waiting[&("bulk", class)].oldest;
        assert_eq!(oldest(WaitClass::UserLimit), Some("2026-11-22T15:02:00Z".parse().unwrap()));
        assert_eq!(oldest(WaitClass::Capacity), Some("2026-11-22T15:03:00Z".parse().unwrap()));
    }

    #[test]
    fn users_of_the_same_name_in_two_tenants_have_their_own_limits() {
        let groups = [
            group("acme/alice", Status::Running, 2, "2026-11-22T15:00:00Z"),
            group("globex/alice", Status::Queued, 1, "2026-11-22T15:01:00Z"),
        ];
        let (waiting, _) = classify(&groups, &PausedOwners::new(&[]), InFlightLimits { tenant: 4, user: 2 });
        assert_eq!(waiting[&("bulk", WaitClass::Capacity)].exports, 1);
    }

    #[test]
    fn exports_of_paused_owners_have_their_own_class() {
        let groups = [
            group("acme/alice", Status::Queued, 40, "2026-11-22T15:02:00Z"),
            group("acme/bob", Status::Queued, 3, "2026-11-22T15:03:00Z"),
        ];
        let pause = pause::Model {
            tenant: "acme".into(),
            user_id: "alice".into(),
            reason: "flood".into(),
            paused_by: "olga".into(),
            paused_at: "2026-11-22T15:03:00Z".parse().unwrap(),
        };
        let limits = InFlightLimits { tenant: 4, user: 2 };
        let (waiting, _) = classify(&groups, &PausedOwners::new(&[pause]), limits);
        let exports = |class| waiting[&("bulk", class)].exports;
        assert_eq!((exports(WaitClass::Paused), exports(WaitClass::Capacity)), (40, 3));
    }
}
