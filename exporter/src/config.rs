//! Settings of an exporter.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    error::ExporterError,
    format::{Bounds, Levels},
    pipeline::Budget,
    segment::Limits,
};

/// Rows of a sheet.
const SHEET_ROWS: u32 = 1 << 20;
/// Clients are promised at most five notes of progress a second.
const LEAST_PROGRESS_MS: u64 = 200;

/// The `[exporter]` table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExporterConfig {
    /// Where `flights.parquet` and other files of datasets are.
    pub datasets_dir: PathBuf,
    /// A file that describes datasets and templates of one's own (`docs/catalog.md`); empty for none.
    pub catalog: PathBuf,
    /// How often that file is looked at, milliseconds.
    pub catalog_poll_ms: u64,
    /// Where `/healthz`, `/readyz` and `/metrics` are served, for operators only; empty for nowhere.
    pub internal_listen: String,
    /// Which jobs to take: gateways send a dataset's jobs to the pool of the exporters that offer it.
    pub pool: String,
    /// Exports at once; 0: one more than twice the cores, which wait for stores and databases half of the time.
    pub slots: usize,
    /// How many of these slots bulk exports may take; 0: all but one. Always fewer than `slots`.
    pub bulk_slots: usize,
    /// Connections to the database for the rows of datasets, apart from those for the exports' own state; 0: two for
    /// each slot, one that reads and one that counts.
    pub read_connections: u32,
    /// A segment is closed at this size, bytes.
    pub segment_bytes: usize,
    /// A segment is closed at this age, milliseconds.
    pub segment_ms: u64,
    /// The first segment is closed at this size, bytes, so that a file begins to arrive early.
    pub first_segment_bytes: usize,
    /// The first segment is closed at this age, milliseconds.
    pub first_segment_ms: u64,
    /// Frames of one export encoded at once; 0: one for each core.
    pub encoders: usize,
    /// An export that failed this often has failed for good. Being handed over is no failure.
    pub max_attempts: u32,
    /// After this long without a sign of life NATS gives a job to another exporter, milliseconds.
    pub ack_wait_ms: u64,
    /// After this long without a sign of life the database lets another exporter take over, milliseconds. Less than
    /// `ack_wait_ms`, so that a job is free when it comes again.
    pub lease_ms: u64,
    /// How often the database hears of progress, milliseconds.
    pub heartbeat_ms: u64,
    /// How often clients hear of progress, milliseconds; 200 or more.
    pub progress_ms: u64,
    /// How long running exports may go on when the process stops, milliseconds; then others take over.
    pub drain_ms: u64,
    /// Where temporary files of workbooks, archives and second passes are made; empty: the system's own place.
    pub spool_dir: PathBuf,
    /// How large the temporary files of one export may grow, bytes.
    pub spool_bytes: u64,
    /// Memory that the rows of one export may take when its template sorts them, bytes.
    pub sort_bytes: u64,
    /// Rows of a workbook at most, over all its sheets; more go into an archive of workbooks (`xlsx-zip`).
    pub workbook_rows: u64,
    /// Rows of each part of an archive.
    pub part_rows: u64,
    /// How hard gzip works, from 1 (fast) to 12 (small).
    pub gzip_level: i32,
    /// How hard zstd works, from 1 (fast) to 19 (small).
    pub zstd_level: i32,
    /// How often the catalog entry is put again, milliseconds. It counts for three times as long.
    pub catalog_ms: u64,
}

impl Default for ExporterConfig {
    fn default() -> Self {
        Self {
            datasets_dir: "./data".into(),
            catalog: PathBuf::new(),
            catalog_poll_ms: 3_000,
            internal_listen: String::new(),
            pool: "default".into(),
            slots: 0,
            bulk_slots: 0,
            read_connections: 0,
            segment_bytes: 8 << 20,
            segment_ms: 1_000,
            first_segment_bytes: 256 << 10,
            first_segment_ms: 200,
            encoders: 0,
            max_attempts: 5,
            ack_wait_ms: 10_000,
            lease_ms: 8_000,
            heartbeat_ms: 1_000,
            progress_ms: 200,
            drain_ms: 5_000,
            spool_dir: PathBuf::new(),
            spool_bytes: 4 << 30,
            sort_bytes: 256 << 20,
            workbook_rows: 5_000_000,
            part_rows: 1_000_000,
            gzip_level: 6,
            zstd_level: 3,
            catalog_ms: 10_000,
        }
    }
}

impl ExporterConfig {
    /// Cross-field checks, before anything is opened.
    ///
    /// # Errors
    /// The first setting that can't work, by name.
    pub fn validate(&self) -> Result<(), ExporterError> {
        let positive = [
            ("segment_bytes", self.segment_bytes as u64),
            ("segment_ms", self.segment_ms),
            ("first_segment_bytes", self.first_segment_bytes as u64),
            ("first_segment_ms", self.first_segment_ms),
            ("max_attempts", u64::from(self.max_attempts)),
            ("heartbeat_ms", self.heartbeat_ms),
            ("catalog_ms", self.catalog_ms),
            ("catalog_poll_ms", self.catalog_poll_ms),
            ("spool_bytes", self.spool_bytes),
            ("sort_bytes", self.sort_bytes),
            ("workbook_rows", self.workbook_rows),
            ("part_rows", self.part_rows),
        ];
        let wrong = |detail: String| Err(ExporterError::Config(detail));
        if let Some((name, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return wrong(format!("exporter.{name} must be more than 0"));
        }
        if self.progress_ms < LEAST_PROGRESS_MS {
            return wrong(format!("exporter.progress_ms must be {LEAST_PROGRESS_MS} or more"));
        }
        if !(1..=12).contains(&self.gzip_level) || !(1..=19).contains(&self.zstd_level) {
            return wrong("exporter.gzip_level is from 1 to 12, and exporter.zstd_level from 1 to 19".into());
        }
        if self.part_rows >= u64::from(SHEET_ROWS) {
            return wrong(format!("exporter.part_rows must be less than {SHEET_ROWS}, which a sheet has"));
        }
        if self.pool.is_empty() {
            return wrong("exporter.pool must have a name".into());
        }
        if self.slots() < 2 || self.bulk_slots() >= self.slots() {
            return wrong("exporter.bulk_slots must be less than exporter.slots, which must be 2 or more".into());
        }
        if self.lease_ms < 3 * self.heartbeat_ms || self.lease_ms >= self.ack_wait_ms {
            return wrong("exporter.lease_ms must be at least 3 heartbeats, and less than exporter.ack_wait_ms".into());
        }
        Ok(())
    }

    /// Exports at once.
    #[must_use]
    pub fn slots(&self) -> usize {
        if self.slots > 0 { self.slots } else { 2 * cores() + 1 }
    }

    /// Bulk exports at once.
    #[must_use]
    pub fn bulk_slots(&self) -> usize {
        if self.bulk_slots > 0 { self.bulk_slots } else { self.slots() - 1 }
    }

    /// Connections for the rows of datasets.
    #[must_use]
    pub fn read_connections(&self) -> u32 {
        if self.read_connections > 0 {
            return self.read_connections;
        }
        u32::try_from(2 * self.slots()).unwrap_or(u32::MAX)
    }

    pub(crate) fn encoders(&self) -> usize {
        if self.encoders > 0 { self.encoders } else { cores() }
    }

    pub(crate) const fn ack_wait(&self) -> Duration {
        Duration::from_millis(self.ack_wait_ms)
    }

    pub(crate) const fn lease(&self) -> Duration {
        Duration::from_millis(self.lease_ms)
    }

    pub(crate) const fn heartbeat(&self) -> Duration {
        Duration::from_millis(self.heartbeat_ms)
    }

    pub(crate) const fn progress(&self) -> Duration {
        Duration::from_millis(self.progress_ms)
    }

    pub(crate) const fn drain(&self) -> Duration {
        Duration::from_millis(self.drain_ms)
    }

    pub(crate) const fn catalog_poll(&self) -> Duration {
        Duration::from_millis(self.catalog_poll_ms)
    }

    pub(crate) const fn catalog(&self) -> Duration {
        Duration::from_millis(self.catalog_ms)
    }
}

impl From<&ExporterConfig> for Budget {
    fn from(config: &ExporterConfig) -> Self {
        let system = config.spool_dir.as_os_str().is_empty();
        Self {
            segments: Limits::from(config),
            encoders: config.encoders(),
            sort_bytes: config.sort_bytes,
            levels: Levels { gzip: config.gzip_level, zstd: config.zstd_level },
            bounds: Bounds {
                spool_dir: if system { std::env::temp_dir() } else { config.spool_dir.clone() },
                spool_bytes: config.spool_bytes,
                sheet_rows: SHEET_ROWS,
                workbook_rows: config.workbook_rows,
                part_rows: config.part_rows,
                ..Bounds::default()
            },
        }
    }
}

impl From<&ExporterConfig> for Limits {
    fn from(config: &ExporterConfig) -> Self {
        Self {
            bytes: config.segment_bytes,
            age: Duration::from_millis(config.segment_ms),
            first_bytes: config.first_segment_bytes,
            first_age: Duration::from_millis(config.first_segment_ms),
        }
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_work_and_contradictions_do_not() {
        let fine = ExporterConfig::default();
        assert!(fine.validate().is_ok());
        for wrong in [
            ExporterConfig { slots: 1, ..fine.clone() },
            ExporterConfig { slots: 3, bulk_slots: 3, ..fine.clone() },
            ExporterConfig { segment_bytes: 0, ..fine.clone() },
            ExporterConfig { progress_ms: 199, ..fine.clone() },
            ExporterConfig { lease_ms: 20_000, ..fine.clone() },
            ExporterConfig { pool: String::new(), ..fine },
        ] {
            assert!(wrong.validate().is_err(), "{wrong:?}");
        }
    }
}
