//! Records the claims of verified tokens, so that scheduled exports have the rights that their owner has at that time.
//!
//! Only users with a schedule have a row, and the gateway writes to a row at most every [`INTERVAL`], unless the claims
//! have changed. A request never waits for the write.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use entity::user_rights::{self, VerifiedToken};
use platform::{clock::SharedClock, lifecycle::Lifecycle};
use protocol::{access::TOKEN_CLAIMS, id::Owner};
use sea_orm::DatabaseConnection;
use serde_json::{Map, Value};
use tokio::{sync::Notify, time::Instant};
use tracing::warn;

use super::Caller;

/// The time after which unchanged claims of a user are recorded again.
const INTERVAL: Duration = Duration::from_secs(10 * 60);
/// The pause after a failed write.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// The maximum number of users whose claims are remembered. At the limit the gateway forgets all of them, and records
/// the next token of each.
const MAX_USERS: usize = 10_000;

/// Records the claims of verified tokens. Clones share the state. The recorder must be spawned.
#[derive(Clone, Debug)]
pub(crate) struct Rights(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    db: DatabaseConnection,
    clock: SharedClock,
    state: Mutex<State>,
    wake_up: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// The claims of each user that were recorded last, without those that describe the token only.
    recorded: HashMap<Owner, (Map<String, Value>, Instant)>,
    /// The newest token of each user that is not recorded yet.
    pending: HashMap<Owner, VerifiedToken>,
}

impl Rights {
    #[must_use]
    pub(crate) fn new(db: DatabaseConnection, clock: SharedClock) -> Self {
        Self(Arc::new(Inner { db, clock, state: Mutex::default(), wake_up: Notify::new() }))
    }

    /// Lets the recorder record the claims of a verified token. Ignores API keys, whose rights are in their row.
    pub(super) fn note(&self, caller: &Caller) {
        if caller.key.is_some() {
            return;
        }
        let lasting = lasting(&caller.claims);
        let mut state = self.lock();
        let is_recorded = |(claims, at): &(Map<String, Value>, Instant)| *claims == lasting && at.elapsed() < INTERVAL;
        if state.recorded.get(&caller.owner).is_some_and(is_recorded) {
            return;
        }
        if state.recorded.len() >= MAX_USERS {
            state.recorded.clear();
        }
        if state.pending.len() < MAX_USERS {
            state.recorded.insert(caller.owner.clone(), (lasting, Instant::now()));
            state.pending.insert(caller.owner.clone(), caller.verified_token(self.0.clock.now()));
            self.0.wake_up.notify_one();
        }
    }

    /// Spawns the task that writes to the database, until the soft stop.
    pub(crate) fn spawn_recorder(&self, life: &Lifecycle) {
        let (rights, stop) = (self.clone(), life.soft().clone());
        life.spawn(async move {
            loop {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return,
                    () = rights.0.wake_up.notified() => {}
                }
                rights.record().await;
            }
        });
    }

    async fn record(&self) {
        let pending = std::mem::take(&mut self.lock().pending);
        for (owner, token) in pending {
            if let Err(e) = user_rights::update(&self.0.db, &token).await {
                warn!(error = %e, "failed to record the rights of a user, retrying");
                self.lock().pending.entry(owner).or_insert(token);
                tokio::time::sleep(RETRY_PAUSE).await;
                self.0.wake_up.notify_one();
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The claims that may change the rights of a user.
fn lasting(claims: &Map<String, Value>) -> Map<String, Value> {
    let lasting = claims.iter().filter(|(name, _)| !TOKEN_CLAIMS.contains(&name.as_str()));
    lasting.map(|(name, value)| (name.clone(), value.clone())).collect()
}
