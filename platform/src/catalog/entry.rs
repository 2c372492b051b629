//! The values of the catalog bucket, and the limits of their sizes. A value is the entry of one dataset, which
//! describes the dataset, or the heartbeat of one exporter. Each value is JSON, compressed with zstd (RFC 8878).
//!
//! NATS refuses a message above its `max_payload`, 1 MiB by default. The limits are below this default, and do not
//! depend on a connection. So `sluice catalog check` can refuse a dataset that an exporter could not advertise.

use std::io::{self, Read};

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use protocol::catalog::{CatalogDataset, ExporterHeartbeat};
use serde::{Serialize, de::DeserializeOwned};

/// The maximum size of one compressed entry, in bytes: half of the default `max_payload` of NATS.
pub const MAX_ENTRY_SIZE: usize = 512 * 1024;
/// The maximum size of the JSON that describes one dataset, before compression, in bytes.
pub const MAX_DATASET_SIZE: usize = 8 * 1024 * 1024;
/// The maximum size of the JSON that describes all datasets of one exporter, before compression, in bytes. This is
/// enough for about 300,000 columns. The limit bounds the memory of gateways and the size of the response of `GET
/// /v1/datasets`.
pub const MAX_CATALOG_SIZE: usize = 32 * 1024 * 1024;
/// The maximum number of datasets of one exporter. The heartbeat names all of them, and must stay below
/// [`MAX_ENTRY_SIZE`].
pub const MAX_DATASETS: usize = 5_000;

/// The zstd level. This level is fast, and higher levels reduce the size of JSON only a little.
const LEVEL: i32 = 3;
/// The number of hexadecimal characters of a revision. A revision is the first 128 bits of the SHA-256 digest of an
/// entry.
const REVISION_LENGTH: usize = 32;

/// The reason why a value of the catalog bucket can't be written or read.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// The value is not valid JSON of the expected type.
    #[error("JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The value is not valid zstd, or compression failed.
    #[error("zstd: {0}")]
    Zstd(#[from] io::Error),
    /// The value has more bytes after decompression than [`MAX_DATASET_SIZE`].
    #[error("it has more than {MAX_DATASET_SIZE} bytes")]
    TooLarge,
}

/// The entry of one dataset, ready to be written to the catalog bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatasetEntry {
    /// The digest of `value`, by which the heartbeat of an exporter names this entry.
    pub revision: String,
    /// The size of the JSON that describes the dataset, before compression, in bytes.
    pub json_size: usize,
    /// The value of the entry, which is the compressed JSON.
    pub value: Bytes,
}

impl DatasetEntry {
    /// Encodes the description of a dataset. Equal descriptions have equal revisions.
    ///
    /// # Errors
    /// When the description can't be serialized or compressed.
    pub fn encode(dataset: &CatalogDataset) -> Result<Self, EntryError> {
        let json = serde_json::to_vec(dataset)?;
        let value = Bytes::from(zstd::bulk::compress(&json, LEVEL)?);
        Ok(Self { revision: revision(&value), json_size: json.len(), value })
    }
}

/// Returns the revision of the entry with this value.
pub(super) fn revision(value: &[u8]) -> String {
    let digest = digest(&SHA256, value);
    digest.as_ref().iter().flat_map(|byte| [byte >> 4, byte & 15]).take(REVISION_LENGTH).map(hexadecimal).collect()
}

fn hexadecimal(nibble: u8) -> char {
    char::from(b"0123456789abcdef"[usize::from(nibble & 15)])
}

/// Decodes the entry of a dataset.
///
/// # Errors
/// When the value is damaged, or has more than [`MAX_DATASET_SIZE`] bytes after decompression.
pub fn decode_dataset(value: &[u8]) -> Result<CatalogDataset, EntryError> {
    decode(value)
}

/// Encodes the heartbeat of an exporter.
///
/// # Errors
/// When the heartbeat can't be serialized or compressed.
pub fn encode_heartbeat(heartbeat: &ExporterHeartbeat) -> Result<Bytes, EntryError> {
    encode(heartbeat)
}

/// Decodes the heartbeat of an exporter.
///
/// # Errors
/// When the value is damaged, or has more than [`MAX_DATASET_SIZE`] bytes after decompression.
pub fn decode_heartbeat(value: &[u8]) -> Result<ExporterHeartbeat, EntryError> {
    decode(value)
}

fn encode<T: Serialize>(value: &T) -> Result<Bytes, EntryError> {
    Ok(zstd::bulk::compress(&serde_json::to_vec(value)?, LEVEL)?.into())
}

fn decode<T: DeserializeOwned>(value: &[u8]) -> Result<T, EntryError> {
    let mut json = Vec::new();
    // one byte more than allowed distinguishes a value that is too large from a value that just fits
    zstd::Decoder::new(value)?.take(MAX_DATASET_SIZE as u64 + 1).read_to_end(&mut json)?;
    if json.len() > MAX_DATASET_SIZE {
        return Err(EntryError::TooLarge);
    }
    Ok(serde_json::from_slice(&json)?)
}

#[cfg(test)]
mod tests {
    use protocol::catalog::DatasetRef;

    use super::*;

    #[test]
    fn a_value_that_grows_beyond_the_bound_is_refused_and_damage_is_an_error() {
        let zeros = zstd::bulk::compress(&vec![b' '; MAX_DATASET_SIZE + 1], LEVEL).unwrap();
        assert!(zeros.len() < 10_000);
        assert!(matches!(decode_dataset(&zeros), Err(EntryError::TooLarge)));
        assert!(matches!(decode_dataset(b"{}"), Err(EntryError::Zstd(_))));
        let other = encode(&"text").unwrap();
        assert!(matches!(decode_heartbeat(&other), Err(EntryError::Json(_))));
    }

    #[test]
    fn the_largest_heartbeat_fits_into_one_entry() {
        // digests are random, so names and numbers made of digests compress badly
        let random = |n: usize| revision(&n.to_be_bytes());
        let dataset = |n: usize| DatasetRef {
            name: random(2 * n) + &random(2 * n + 1),
            revision: random(n + 1_000_000),
            rows: u64::from_str_radix(&random(n + 2_000_000)[..15], 16).ok(),
            rows_hidden: n.is_multiple_of(2),
        };
        let heartbeat = ExporterHeartbeat {
            v: 1,
            instance: "x".repeat(64),
            pool: "p".repeat(64),
            at: "2026-11-22T00:00:00Z".parse::<chrono::DateTime<chrono::Utc>>().unwrap().into(),
            ttl_ms: 30_000,
            slots: 9,
            bulk_slots: 8,
            draining: false,
            datasets: (0..MAX_DATASETS).map(dataset).collect(),
        };
        let value = encode_heartbeat(&heartbeat).unwrap();
        assert!(value.len() < MAX_ENTRY_SIZE, "{} bytes", value.len());
        assert_eq!(decode_heartbeat(&value).unwrap(), heartbeat);
    }
}
