//! Being the one of several notifiers that does what only one should do.

use std::{future::Future, time::Duration};

use chrono::TimeDelta;
use entity::lease::{self, Sight, Taken};
use platform::clock::SharedClock;
use sea_orm::{ConnectionTrait, DatabaseConnection};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::{app::Deps, error::NotifierError};

/// A lease is renewed this often within its term.
const BEATS: u32 = 4;

/// Somebody who wants a lease.
pub(crate) struct Candidate {
    db: DatabaseConnection,
    clock: SharedClock,
    name: String,
    holder: String,
    term: Duration,
    /// What the present holder's lease looked like, and since when it has looked so.
    seen: Option<(Sight, Instant)>,
}

impl Candidate {
    /// Wants the lease of this name for terms of this length. `holder` is for operators.
    pub(crate) fn new(deps: &Deps, name: &str, holder: &str, term: Duration) -> Self {
        Self::of(deps.db.clone(), deps.clock.clone(), name, holder, term)
    }

    /// The same without a whole notifier.
    pub(crate) fn of(db: DatabaseConnection, clock: SharedClock, name: &str, holder: &str, term: Duration) -> Self {
        Self { db, clock, name: name.to_owned(), holder: holder.to_owned(), term, seen: None }
    }

    /// Takes the lease if it is free. To be called again and again: a holder is taken for dead when its lease ran out by
    /// the clock, or when no renewal was seen for a whole term.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn stand(&mut self) -> Result<Option<Held>, NotifierError> {
        let now = self.clock.now();
        let dead = self.seen.filter(|(_, since)| since.elapsed() >= self.term).map(|(sight, _)| sight);
        let began = Instant::now();
        match lease::take(&self.db, &self.name, &self.holder, now, now + delta(self.term), dead).await? {
            Taken::Won(token) => {
                self.seen = None;
                let (db, clock, name) = (self.db.clone(), self.clock.clone(), self.name.clone());
                Ok(Some(Held { db, clock, name, token, term: self.term, began }))
            }
            Taken::Busy(sight) => {
                if self.seen.is_none_or(|(last, _)| last != sight) {
                    self.seen = Some((sight, Instant::now()));
                }
                Ok(None)
            }
        }
    }
}

/// A lease in hand.
pub(crate) struct Held {
    db: DatabaseConnection,
    clock: SharedClock,
    name: String,
    token: i64,
    term: Duration,
    began: Instant,
}

impl Held {
    /// The fencing token.
    pub(crate) const fn token(&self) -> i64 {
        self.token
    }

    /// Does the work while the lease is renewed. The work is dropped when the lease is lost, or may have been.
    ///
    /// # Errors
    /// [`NotifierError::Fenced`] when it is.
    pub(crate) async fn keep<T>(&self, work: impl Future<Output = T>) -> Result<T, NotifierError> {
        let beat = self.term / BEATS;
        let mut renewed = self.began;
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                () = tokio::time::sleep(beat) => {}
            }
            let began = Instant::now();
            let renewal = async {
                tokio::select! {
                    biased;
                    done = &mut work => Err(done),
                    renewal = tokio::time::timeout(beat, self.renew()) => Ok(renewal),
                }
            };
            match renewal.await {
                Err(done) => return Ok(done),
                Ok(Ok(Ok(true))) => renewed = began,
                Ok(Ok(Ok(false))) => return Err(self.lost("somebody else has it")),
                Ok(Ok(Err(e))) => warn!(lease.name = %self.name, error = %e, "a lease can't be renewed; tried again"),
                Ok(Err(_)) => warn!(lease.name = %self.name, "renewing a lease takes too long; tried again"),
            }
            // the next try would come too late
            if renewed.elapsed() + beat >= self.term {
                return Err(self.lost("it could not be renewed in time"));
            }
        }
    }

    async fn renew(&self) -> Result<bool, NotifierError> {
        let until = self.clock.now() + delta(self.term);
        Ok(lease::renew(&self.db, &self.name, self.token, until).await?)
    }

    fn lost(&self, why: &str) -> NotifierError {
        info!(lease.name = %self.name, lease.token = self.token, lease.why = why, "a lease is lost");
        NotifierError::Fenced
    }

    /// Proves in a transaction that what else is in it is done by the present holder.
    ///
    /// # Errors
    /// [`NotifierError::Fenced`] when somebody else has it by now, or when the database fails.
    pub(crate) async fn fence(&self, tx: &impl ConnectionTrait) -> Result<(), NotifierError> {
        if lease::fence(tx, &self.name, self.token).await? { Ok(()) } else { Err(NotifierError::Fenced) }
    }

    /// Lets another take it at once. When that fails it runs out.
    pub(crate) async fn give_back(self) {
        if let Err(e) = lease::give_back(&self.db, &self.name, self.token).await {
            warn!(lease.name = %self.name, error = %e, "a lease can't be given back; it runs out");
        }
    }
}

fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}
