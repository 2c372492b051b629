//! Counts granted credits in the metrics: initial balances and daily grants.

use entity::ledger::GrantTotals;

/// Adds the initial balances and daily grants of a committed transaction to the metrics.
pub(crate) fn count_grants(granted: GrantTotals) {
    metrics::counter!("sluice_credits_granted_total").increment(granted.credits.unsigned_abs());
    metrics::counter!("sluice_credit_events_total", "kind" => "grant").increment(granted.entries);
}
