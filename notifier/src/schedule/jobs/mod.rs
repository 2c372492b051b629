//! The scheduled jobs of a notifier.

pub(crate) mod backup;
pub(super) mod credit_audit;
pub(super) mod daily_credits;
pub(super) mod reconciler;
pub(super) mod sweep;
