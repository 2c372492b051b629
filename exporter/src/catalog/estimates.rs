//! About how many rows each dataset has, asked beside the heartbeat: a source that is slow to say so holds up nobody.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, warn};

use crate::{Registry, dataset::Dataset};

/// A source may take this long to answer.
const PATIENCE: Duration = Duration::from_millis(1_000);
/// Sources that are asked at once.
const AT_ONCE: usize = 8;

/// By the name of a dataset; None from one that can't say.
type Answers = Vec<(String, Option<u64>)>;

/// What is known, and who is being asked.
pub(super) struct Estimates {
    known: HashMap<String, u64>,
    asking: Option<AbortOnDropHandle<Answers>>,
    /// Whether nobody was told yet what the ones who are being asked say.
    news: bool,
}

impl Estimates {
    /// Asks all datasets of a list.
    pub(super) fn of(registry: Arc<Registry>) -> Self {
        let mut estimates = Self { known: HashMap::new(), asking: None, news: true };
        estimates.ask(registry);
        estimates
    }

    /// Asks all datasets of a new list; whoever was asked before need not answer any more.
    pub(super) fn ask(&mut self, registry: Arc<Registry>) {
        self.news = true;
        self.known.retain(|name, _| registry.dataset(name).is_some());
        let asked = stream::iter(registry.datasets.clone()).map(ask).buffer_unordered(AT_ONCE);
        let answers = asked.filter_map(std::future::ready).collect::<Answers>();
        self.asking = Some(AbortOnDropHandle::new(tokio::spawn(answers)));
    }

    /// Asks again, unless the last question still waits for its answers.
    pub(super) fn ask_again(&mut self, registry: Arc<Registry>) {
        if self.asking.is_none() {
            self.ask(registry);
            self.news = false;
        }
    }

    /// Waits for the answers; for ever when nobody is asked. True when they are of a list that nobody was told yet.
    pub(super) async fn answered(&mut self) -> bool {
        let Some(asking) = &mut self.asking else { return std::future::pending().await };
        let answers = asking.await;
        self.asking = None;
        match answers {
            Ok(answers) => {
                for (name, rows) in answers {
                    match rows {
                        Some(rows) => self.known.insert(name, rows),
                        None => self.known.remove(&name),
                    };
                }
            }
            Err(e) => warn!(error = %e, "the datasets can't be asked how many rows they have"),
        }
        self.news
    }

    /// What the dataset said last.
    pub(super) fn rows(&self, name: &str) -> Option<u64> {
        self.known.get(name).copied()
    }
}

/// What a dataset says, with its name; None when it takes too long, and what it said last still counts.
async fn ask(dataset: Arc<dyn Dataset>) -> Option<(String, Option<u64>)> {
    let name = dataset.name().to_owned();
    match tokio::time::timeout(PATIENCE, dataset.rows_estimate()).await {
        Ok(rows) => Some((name, rows)),
        Err(_) => {
            debug!(dataset.name = name, "a dataset does not say in time how many rows it has");
            None
        }
    }
}
