//! Leases in the database. A lease gives one process the exclusive right to do a task until the lease expires. The
//! holder of the dispatcher's lease dispatches exports, and the holder of a scheduled job's lease runs the job. Each
//! new holder increases the fencing token, so that the database can refuse late writes of an earlier holder.

use std::{future::Future, time::Duration};

use chrono::TimeDelta;
use entity::lease::{self, Acquisition, ObservedLease};
use platform::clock::SharedClock;
use sea_orm::{ConnectionTrait, DatabaseConnection};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::{deps::Deps, error::NotifierError};

/// The number of times that the holder renews its lease within the duration of the lease.
const RENEWALS: u32 = 4;

/// A process that tries to acquire a lease.
pub(crate) struct LeaseCandidate {
    db: DatabaseConnection,
    clock: SharedClock,
    name: String,
    holder: String,
    duration: Duration,
    /// The last state of the lease that this candidate read while another process held the lease, and the time at which
    /// the candidate first read this state. `None` before the first such read, and after this candidate has acquired
    /// the lease. If the state does not change for a whole lease duration, the holder has stopped.
    observed: Option<(ObservedLease, Instant)>,
}

impl LeaseCandidate {
    /// Creates a candidate for the lease `name`. `holder` is the name of this process in the lease table, for
    /// operators.
    pub(crate) fn new(deps: &Deps, name: &str, holder: &str, duration: Duration) -> Self {
        Self::with_database(deps.db.clone(), deps.clock.clone(), name, holder, duration)
    }

    /// Creates a lease candidate as [`Self::new`] does. The backup command calls this function, because it runs without
    /// a notifier and has no [`Deps`].
    pub(crate) fn with_database(
        db: DatabaseConnection,
        clock: SharedClock,
        name: &str,
        holder: &str,
        duration: Duration,
    ) -> Self {
        Self { db, clock, name: name.to_owned(), holder: holder.to_owned(), duration, observed: None }
    }

    /// Acquires the lease if it is free, expired or abandoned; returns `None` if another process holds it. A lease is
    /// abandoned when this candidate has observed no renewal for a whole lease duration, even if the clock says that
    /// the lease is valid. A caller that waits for a lease calls this method repeatedly.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn try_acquire(&mut self) -> Result<Option<HeldLease>, NotifierError> {
        let now = self.clock.now();
        let stale = self.observed.filter(|(_, since)| since.elapsed() >= self.duration).map(|(lease, _)| lease);
        let began = Instant::now();
        let expires_at = now + delta(self.duration);
        match lease::acquire(&self.db, &self.name, &self.holder, now, expires_at, stale).await? {
            Acquisition::Acquired(token) => {
                self.observed = None;
                let (db, clock, name) = (self.db.clone(), self.clock.clone(), self.name.clone());
                Ok(Some(HeldLease { db, clock, name, token, duration: self.duration, began }))
            }
            Acquisition::HeldElsewhere(observed) => {
                if self.observed.is_none_or(|(last, _)| last != observed) {
                    self.observed = Some((observed, Instant::now()));
                }
                Ok(None)
            }
        }
    }
}

/// A lease that this process holds.
pub(crate) struct HeldLease {
    db: DatabaseConnection,
    clock: SharedClock,
    name: String,
    token: i64,
    duration: Duration,
    began: Instant,
}

impl HeldLease {
    /// Returns the fencing token of this lease.
    pub(crate) const fn token(&self) -> i64 {
        self.token
    }

    /// Renews the lease while `work` runs, and returns the result of `work`. Drops `work` when another process holds
    /// the lease, or when the lease may expire before the next renewal.
    ///
    /// # Errors
    /// [`NotifierError::Fenced`] when `work` was dropped.
    pub(crate) async fn run_while_renewing<T>(&self, work: impl Future<Output = T>) -> Result<T, NotifierError> {
        let interval = self.duration / RENEWALS;
        let mut renewed = self.began;
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                () = tokio::time::sleep(interval) => {}
            }
            let began = Instant::now();
            let renewal = async {
                tokio::select! {
                    biased;
                    done = &mut work => Err(done),
                    renewal = tokio::time::timeout(interval, self.renew()) => Ok(renewal),
                }
            };
            match renewal.await {
                Err(done) => return Ok(done),
                Ok(Ok(Ok(true))) => renewed = began,
                Ok(Ok(Ok(false))) => return Err(self.lost("another process holds it")),
                Ok(Ok(Err(e))) => warn!(lease.name = %self.name, error = %e, "failed to renew a lease, retrying"),
                Ok(Err(_)) => warn!(lease.name = %self.name, "timed out renewing a lease, retrying"),
            }
            // the lease may expire before the next renewal
            if renewed.elapsed() + interval >= self.duration {
                return Err(self.lost("it could not be renewed in time"));
            }
        }
    }

    async fn renew(&self) -> Result<bool, NotifierError> {
        let expires_at = self.clock.now() + delta(self.duration);
        Ok(lease::renew(&self.db, &self.name, self.token, expires_at).await?)
    }

    fn lost(&self, reason: &str) -> NotifierError {
        info!(lease.name = %self.name, lease.token = self.token, lease.reason = reason, "lost a lease");
        NotifierError::Fenced
    }

    /// Fails unless this process still holds the lease. Call this method in each transaction whose writes the lease
    /// protects.
    ///
    /// # Errors
    /// [`NotifierError::Fenced`] when another process holds the lease, or the error of the database.
    pub(crate) async fn fence(&self, tx: &impl ConnectionTrait) -> Result<(), NotifierError> {
        if lease::fence(tx, &self.name, self.token).await? { Ok(()) } else { Err(NotifierError::Fenced) }
    }

    /// Releases the lease, so that another process can acquire it at once. If the release fails, the lease expires.
    pub(crate) async fn release(self) {
        if let Err(e) = lease::release(&self.db, &self.name, self.token).await {
            warn!(lease.name = %self.name, error = %e, "failed to release a lease; it expires by itself");
        }
    }
}

fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}
