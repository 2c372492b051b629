//! Tells people of changes of their credits that no outcome tells of: a hold, a night, an operator.
//!
//! The account itself counts its news, so none is lost whatever dies.

use std::time::Duration;

use entity::ledger::{self, Untold};
use futures::{StreamExt, stream};
use tracing::{info, warn};

use crate::{app::Deps, error::NotifierError, settle::events};

/// Accounts of one look.
const BATCH: u64 = 500;
/// Accounts told at once.
const AT_ONCE: usize = 16;
/// How long one batch may take.
const DEADLINE: Duration = Duration::from_secs(60);

/// Tells all news there are. Who can't be told does not stand before others.
///
/// # Errors
/// When the database fails, or nobody of a batch could be told: it is tried again later.
pub(super) async fn tell_all(deps: &Deps) -> Result<(), NotifierError> {
    let mut after = None;
    loop {
        let untold = ledger::untold(&deps.db, after.as_ref(), BATCH).await?;
        let Some(last) = untold.last() else { return Ok(()) };
        after = Some(last.owner.clone());
        let count = untold.len();
        let telling = stream::iter(untold).map(|news| tell(deps, news)).buffer_unordered(AT_ONCE).collect::<Vec<_>>();
        let told = tokio::time::timeout(DEADLINE, telling).await;
        let told = told.map_err(|_| NotifierError::Timeout("telling of credits"))?;
        let failed: Vec<_> = told.into_iter().filter_map(Result::err).collect();
        metrics::counter!("sluice_notifier_credit_news_total").increment((count - failed.len()) as u64);
        let all = failed.len() == count;
        for e in failed {
            if all {
                return Err(e);
            }
            warn!(error = %e, "somebody can't be told of their credits; tried again");
        }
    }
}

async fn tell(deps: &Deps, news: Untold) -> Result<(), NotifierError> {
    events::credit_news(deps, &news).await?;
    Ok(ledger::told(&deps.db, &news.owner, news.news).await?)
}

/// Says once that telling fails, and once that it works again.
#[derive(Debug, Default)]
pub(super) struct Outage(bool);

impl Outage {
    pub(super) fn note(&mut self, what: &'static str, result: Result<(), NotifierError>) {
        match result {
            Ok(()) if std::mem::take(&mut self.0) => info!(doing = what, "works again"),
            Ok(()) => {}
            Err(e) if self.0 => tracing::debug!(doing = what, error = %e, "still fails"),
            Err(e) => {
                self.0 = true;
                warn!(doing = what, error = %e, "fails; tried again and again");
            }
        }
    }
}
