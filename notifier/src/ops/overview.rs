//! Tells operators the state of the whole installation.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use entity::{
    operator::{self, Failure, UnfinishedCount},
    operator_act,
    pause::{self, PausedOwners},
    scheduled_job,
};
use platform::catalog::Catalog;
use protocol::{
    envelope::Envelope,
    export::Status,
    ops::{FailureGroup, Overview, OverviewReply, OverviewRequest, QueueGroup, QueueTotals},
    problem::Problem,
};

use super::{exporters, replies::count_request};
use crate::{
    dead_letters::DeadLetterStream,
    deps::Deps,
    error::NotifierError,
    requests::{Handler, enveloped},
};

/// The age up to which a failed export counts.
const FAILURE_WINDOW: TimeDelta = TimeDelta::hours(24);
/// The largest number of failed exports whose causes are grouped.
const MAX_FAILURES: u64 = 500;
/// The largest number of groups of unfinished exports in a reply.
const MAX_GROUPS: usize = 200;
/// The largest number of pauses in a reply. All pauses decide which groups are paused.
const MAX_PAUSES: usize = 100;
/// The largest number of pauses that one reply reads.
const MAX_READ_PAUSES: u64 = 10_000;
/// The largest number of acts in a reply.
const MAX_ACTS: u64 = 20;
/// The largest number of dataset names of one exporter in a reply.
const MAX_DATASETS: usize = 5;

/// Answers each [`OverviewRequest`] with the state of the installation.
pub(super) struct OverviewHandler {
    pub(super) deps: Deps,
    pub(super) catalog: Catalog,
}

impl Handler for OverviewHandler {
    type Request = OverviewRequest;
    type Reply = Envelope<OverviewReply>;

    async fn handle(&self, _: OverviewRequest) -> Result<Self::Reply, NotifierError> {
        let (db, now) = (&self.deps.db, self.deps.clock.now());
        let since = now - FAILURE_WINDOW;
        let pauses = pause::list(db, MAX_READ_PAUSES).await?;
        let (queue, totals) = group(&operator::unfinished(db).await?, &pauses);
        let queue_omitted = queue.len().saturating_sub(MAX_GROUPS) as u64;
        let overview = Overview {
            at: now.into(),
            totals,
            queue: queue.into_iter().take(MAX_GROUPS).collect(),
            queue_omitted,
            failed: operator::count_failed(db, since).await?,
            failures: group_failures(operator::newest_failures(db, since, MAX_FAILURES).await?),
            dead_letters: DeadLetterStream::open(&self.deps.bus).await?.total(),
            exporters: exporters::list(&self.catalog, MAX_DATASETS),
            schedule: scheduled_job::all(db).await?.into_iter().map(Into::into).collect(),
            pauses: pauses.into_iter().take(MAX_PAUSES).map(Into::into).collect(),
            acts: operator_act::newest(db, MAX_ACTS).await?.into_iter().map(Into::into).collect(),
        };
        count_request("overview", true);
        Ok(enveloped(OverviewReply::Overview { overview: Box::new(overview) }))
    }

    fn refuse(problem: Problem) -> Self::Reply {
        count_request("overview", false);
        enveloped(OverviewReply::Refused { problem })
    }
}

/// Merges the counts of one owner in one lane of one pool into a group, and sorts the groups by their waiting exports,
/// most first. Also returns the sums.
fn group(counts: &[UnfinishedCount], pauses: &[pause::Model]) -> (Vec<QueueGroup>, QueueTotals) {
    let mut groups: BTreeMap<(&str, &str, &str, &str), QueueGroup> = BTreeMap::new();
    let mut totals = QueueTotals::default();
    let paused = PausedOwners::new(pauses);
    for count in counts {
        let key = (count.pool.as_str(), count.lane.as_str(), count.tenant.as_str(), count.user_id.as_str());
        let group = groups.entry(key).or_insert_with(|| QueueGroup {
            pool: count.pool.clone(),
            lane: count.lane.clone(),
            tenant: count.tenant.clone(),
            user: count.user_id.clone(),
            waiting: 0,
            dispatched: 0,
            running: 0,
            oldest: count.oldest.into(),
            paused: paused.contains(&count.tenant, &count.user_id),
        });
        group.oldest = group.oldest.min(count.oldest.into());
        let exports = count.exports.unsigned_abs();
        if count.status == Status::Running.as_str() {
            group.running += exports;
            totals.running += exports;
        } else if count.status == Status::Dispatched.as_str() {
            group.dispatched += exports;
            totals.dispatched += exports;
        } else {
            group.waiting += exports;
            *(if group.paused { &mut totals.paused } else { &mut totals.waiting }) += exports;
        }
    }
    let mut groups: Vec<_> = groups.into_values().collect();
    // stable: groups with equal numbers stay in the order of their names
    groups.sort_by_key(|group| std::cmp::Reverse((group.waiting, group.running, group.dispatched)));
    (groups, totals)
}

/// Groups failures, newest first, by dataset and problem.
fn group_failures(failures: Vec<Failure>) -> Vec<FailureGroup> {
    let mut groups: Vec<FailureGroup> = Vec::new();
    for failure in failures {
        let same =
            |group: &&mut FailureGroup| group.dataset == failure.dataset && group.problem == failure.problem.as_str();
        match groups.iter_mut().find(same) {
            Some(group) => group.exports += 1,
            None => groups.push(FailureGroup {
                problem: failure.problem.to_string(),
                dataset: failure.dataset,
                exports: 1,
                newest: failure.id,
            }),
        }
    }
    groups.sort_by_key(|group| std::cmp::Reverse(group.exports));
    groups
}

#[cfg(test)]
mod tests {
    use protocol::{id::ExportId, problem::Slug};

    use super::*;

    fn count(owner: &str, lane: &str, status: Status, exports: i64) -> UnfinishedCount {
        let (tenant, user) = owner.split_once('/').unwrap();
        UnfinishedCount {
            pool: "default".into(),
            lane: lane.into(),
            tenant: tenant.into(),
            user_id: user.into(),
            status: status.as_str().into(),
            exports,
            oldest: "2026-11-22T15:00:00Z".parse().unwrap(),
        }
    }

    fn paused(tenant: &str, user: &str) -> pause::Model {
        let (tenant, user_id) = (tenant.into(), user.into());
        let paused_at = "2026-11-22T15:00:00Z".parse().unwrap();
        pause::Model { tenant, user_id, reason: "flood".into(), paused_by: "olga".into(), paused_at }
    }

    #[test]
    fn exports_of_paused_owners_count_apart() {
        let counts = [
            count("acme/alice", "bulk", Status::Queued, 4),
            count("acme/alice", "bulk", Status::Running, 2),
            count("acme/bob", "bulk", Status::Queued, 9),
            count("globex/carol", "interactive", Status::Queued, 3),
            count("globex/carol", "interactive", Status::Dispatched, 1),
        ];
        let (groups, totals) = group(&counts, &[paused("acme", "bob"), paused("globex", "")]);
        assert_eq!(totals, QueueTotals { waiting: 4, paused: 12, dispatched: 1, running: 2 });
        let shown: Vec<_> = groups.iter().map(|group| (group.user.as_str(), group.waiting, group.paused)).collect();
        assert_eq!(shown, [("bob", 9, true), ("alice", 4, false), ("carol", 3, true)]);
        assert_eq!((groups[1].running, groups[2].dispatched), (2, 1));
    }

    #[test]
    fn failures_are_grouped_by_dataset_and_problem() {
        let failure = |n, dataset: &str, problem| Failure {
            id: ExportId(uuid::Uuid::from_u128(n)),
            dataset: dataset.into(),
            problem,
        };
        let groups = group_failures(vec![
            failure(9, "menus", Slug::ExportFailed),
            failure(8, "flights", Slug::ExportFailed),
            failure(7, "flights", Slug::Internal),
            failure(6, "flights", Slug::ExportFailed),
        ]);
        let shown: Vec<_> = groups.iter().map(|g| (g.dataset.as_str(), g.exports, g.newest.0.as_u128())).collect();
        assert_eq!(shown, [("flights", 2, 8), ("menus", 1, 9), ("flights", 1, 7)]);
    }
}
