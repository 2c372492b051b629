//! Records whether NATS has stored the last advertisement of this exporter, so that gateways can offer its datasets.
//! `/readyz` reports the result. For each dataset, the NATS bucket of the catalog has one entry: a compressed JSON
//! description of the dataset.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use platform::{
    bus::BusError,
    catalog::{EntryError, MAX_CATALOG_SIZE, MAX_DATASET_SIZE, MAX_DATASETS},
};
use protocol::subject::BUCKET_CATALOG;
use tokio::time::Instant;

/// Whether NATS has stored the last advertisement of an exporter, for `/readyz`. Clones share this state.
#[derive(Clone, Debug, Default)]
pub struct Advertisement(Arc<RwLock<State>>);

#[derive(Debug, Default)]
enum State {
    #[default]
    Pending,
    /// NATS has stored all entries and the heartbeat. The heartbeat expires at this time.
    Stored(Instant),
    Failed(String),
}

/// The reason why gateways do not offer all datasets of this exporter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAdvertised {
    /// The exporter has started, but has not advertised its datasets yet.
    #[error("the datasets are not advertised yet")]
    Pending,
    /// The last heartbeat of this exporter has expired, so gateways no longer offer its datasets.
    #[error("the last advertisement of the datasets has expired")]
    Expired,
    /// The last advertisement failed. The text is the reason, with the name of the dataset if only one dataset failed.
    #[error("{0}")]
    Failed(String),
}

impl Advertisement {
    /// Returns an error if gateways do not offer all datasets of this exporter.
    ///
    /// # Errors
    /// Returns the reason, such as an entry that NATS has refused.
    pub fn check(&self) -> Result<(), NotAdvertised> {
        match &*self.0.read().unwrap_or_else(PoisonError::into_inner) {
            State::Pending => Err(NotAdvertised::Pending),
            State::Stored(until) if *until < Instant::now() => Err(NotAdvertised::Expired),
            State::Stored(_) => Ok(()),
            State::Failed(reason) => Err(NotAdvertised::Failed(reason.clone())),
        }
    }

    /// Records the result of an advertisement of all datasets. `ttl` is the time for which its heartbeat is valid.
    pub(super) fn record(&self, result: Result<(), &AdvertiseError>, ttl: Duration) {
        metrics::gauge!("sluice_exporter_advertisement_incomplete").set(if result.is_ok() { 0.0 } else { 1.0 });
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = match result {
            Ok(()) => State::Stored(Instant::now() + ttl),
            Err(e) => State::Failed(e.to_string()),
        };
    }
}

/// Why some or all datasets of an exporter could not be advertised.
#[derive(Debug, thiserror::Error)]
pub(super) enum AdvertiseError {
    /// NATS does not answer requests to the bucket of the catalog.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The heartbeat can't be encoded.
    #[error("the heartbeat of this exporter can't be encoded: {0}")]
    Encode(#[from] EntryError),
    /// The entry of a dataset can't be encoded.
    #[error("dataset `{dataset}` can't be advertised: {source}")]
    Dataset { dataset: String, source: EntryError },
    /// A dataset exceeds a limit of the catalog.
    #[error("dataset `{dataset}` can't be advertised: {excess}")]
    TooLarge { dataset: String, excess: Excess },
    /// The compressed heartbeat exceeds the maximum size of a value in the bucket. `size` and `max` are in bytes.
    #[error(
        "the heartbeat of this exporter has {size} bytes, and NATS takes {max}: offer fewer datasets, or raise \
         `max_payload` of NATS"
    )]
    HeartbeatTooLarge { size: usize, max: usize },
    /// NATS has refused or not confirmed the entry of a dataset.
    #[error("NATS did not store the entry of the dataset `{dataset}` in {BUCKET_CATALOG}: {detail}")]
    NotStored { dataset: String, detail: String },
    /// NATS has refused or not confirmed the heartbeat.
    #[error("NATS did not store the heartbeat of this exporter in {BUCKET_CATALOG}: {0}")]
    HeartbeatNotStored(String),
}

/// The limit of the catalog that a dataset exceeds. The displayed text also says what the operator can do. Sizes are in
/// bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Excess {
    /// The compressed entry exceeds the maximum size of a value in the bucket.
    Entry { size: usize, max: usize, columns: usize },
    /// The size of the entry before compression exceeds the limit for one dataset.
    Description { size: usize, columns: usize },
    /// With this dataset, the entries of the exporter exceed the limit for their total size. `size` is the total before
    /// compression: the entry of this dataset, and the entries that were accepted before it.
    Catalog { size: usize },
    /// The exporter already offers the maximum number of datasets.
    Datasets,
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entry { size, max, columns } => write!(
                f,
                "its description of {columns} columns has {size} bytes in compressed form, and at most {max} fit into \
                 one message of NATS: declare only the columns that users need, or shorten titles and labels"
            ),
            Self::Description { size, columns } => write!(
                f,
                "its description of {columns} columns has {size} bytes, and at most {MAX_DATASET_SIZE} are allowed: \
                 declare only the columns that users need, or shorten titles and labels"
            ),
            Self::Catalog { size } => write!(
                f,
                "the descriptions of the datasets up to this one have {size} bytes, and one exporter may advertise at \
                 most {MAX_CATALOG_SIZE}: declare fewer columns, or move datasets to exporters of another pool"
            ),
            Self::Datasets => write!(
                f,
                "one exporter may offer at most {MAX_DATASETS} datasets: move datasets to exporters of another pool"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_advertisement_that_failed_or_expired_is_no_advertisement() {
        let advertisement = Advertisement::default();
        assert_eq!(advertisement.check(), Err(NotAdvertised::Pending));
        advertisement.record(Ok(()), Duration::from_secs(30));
        assert_eq!(advertisement.check(), Ok(()));
        let refused = AdvertiseError::HeartbeatNotStored("maximum bytes exceeded".into());
        advertisement.record(Err(&refused), Duration::from_secs(30));
        let reason = advertisement.check().unwrap_err().to_string();
        assert!(reason.contains("SLUICE_CATALOG: maximum bytes exceeded"), "{reason}");
        advertisement.record(Ok(()), Duration::from_secs(30));
        tokio::time::advance(Duration::from_secs(31)).await;
        assert_eq!(advertisement.check(), Err(NotAdvertised::Expired));
    }
}
