//! Many persons who export, over WebSocket and REST.

use std::{sync::Arc, time::Duration};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{task::JoinSet, time::Instant};

use crate::{
    download,
    journal::{Record, Removal},
    site::Site,
    stream::{End, Stream},
};

/// The number of persons at one time: so many that two cores are busy and not overloaded.
const PERSONS_AT_ONCE: usize = 6;
/// The number of exports of one person; the fifth credit stays.
const EXPORTS_EACH: usize = 4;
/// How long a person stays with one export. What is open then is checked after the storm.
const PATIENCE: Duration = Duration::from_secs(90);
/// The pause of a person between two exports, in milliseconds.
const PAUSE: std::ops::Range<u64> = 200..2_500;

/// The tasks that act as persons, [`PERSONS_AT_ONCE`] of them.
pub(crate) struct Load {
    workers: JoinSet<()>,
}

impl Load {
    /// Waits until each person has ended their last export.
    ///
    /// # Panics
    /// When the storm itself is faulty.
    pub(crate) async fn join_all(self) {
        self.workers.join_all().await;
    }
}

/// Starts the persons. They stop when the site is stopping.
pub(crate) fn start(site: &Arc<Site>, seed: u64) -> Load {
    let mut workers = JoinSet::new();
    for worker in 0..PERSONS_AT_ONCE {
        let rng = StdRng::seed_from_u64(seed.wrapping_mul(1_000).wrapping_add(worker as u64));
        workers.spawn(work(Arc::clone(site), worker, rng));
    }
    Load { workers }
}

async fn work(site: Arc<Site>, worker: usize, mut rng: StdRng) {
    for person in 0.. {
        for export in 0..EXPORTS_EACH {
            if site.is_stopping() {
                return;
            }
            let record = Record {
                person: format!("person-{worker}-{person}"),
                key: format!("key-{worker}-{person}-{export}"),
                variant: rng.random_range(0..site.variants.len()),
                id: None,
                removal: Removal::None,
            };
            let number = site.journal.add(record);
            export_once(&site, number, &mut rng).await;
            tokio::time::sleep(Duration::from_millis(rng.random_range(PAUSE))).await;
        }
    }
}

/// One export of a person, from the request to the last thing that they do with the file.
async fn export_once(site: &Site, number: usize, rng: &mut StdRng) {
    let deadline = Instant::now() + PATIENCE;
    let (over_socket, cancels, deletes) = (rng.random_bool(0.5), rng.random_bool(0.12), rng.random_bool(0.25));
    let first_part = rng.random_range(0..1_000_000);
    let end = if over_socket && !cancels {
        Stream::new(site, number).run(deadline).await
    } else {
        let Some(export) = site.create(number, deadline).await else { return };
        let person = site.journal.record(number).person;
        if cancels {
            tokio::time::sleep(Duration::from_millis(rng.random_range(0..1_500))).await;
            site.journal.set_removal(number, Removal::Requested);
            site.remove(&person, export.id, deadline).await;
            return;
        }
        if rng.random_bool(0.5) {
            // reads the file while it is made
            Stream::new(site, number).run(deadline).await
        } else {
            let ended = site.ended(&person, export.id, deadline).await;
            if !ended.is_ok_and(|export| export.file.is_some()) {
                return;
            }
            download::run(site, &site.journal.record(number), Some(first_part), deadline).await
        }
    };
    if end != End::Sealed {
        return;
    }
    let record = site.journal.record(number);
    let Some(id) = record.id else { return };
    // the bytes are complete before the outcome is settled, so a deletion now might be a cancellation
    let Ok(export) = site.ended(&record.person, id, deadline).await else { return };
    if deletes && export.file.is_some() {
        site.journal.set_removal(number, Removal::Requested);
        if site.remove(&record.person, id, deadline).await {
            site.journal.set_removal(number, Removal::Deleted);
        }
    }
}
