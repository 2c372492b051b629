//! Settings of an exporter, and limits that are derived from the settings.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use platform::{
    secret::Secret,
    units::{ByteSize, HumanDuration},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    error::ExporterError,
    format::{CompressionLevels, FormatLimits},
    pipeline::PipelineLimits,
    segment::SegmentLimits,
    worker::OwnProcess,
};

/// The maximum number of rows of an XLSX sheet.
const MAX_SHEET_ROWS: u32 = 1 << 20;
/// The maximum of the default interval between two lease renewals. A renewal also stores the progress and detects a
/// cancellation, so the interval is short.
const MAX_HEARTBEAT_INTERVAL: Duration = Duration::from_secs(1);

/// Settings of the exporter, the table `[exporter]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ExporterConfig {
    /// The folder that relative paths in a catalog file start from. Change it to the folder of your data files.
    pub datasets_dir: PathBuf,
    /// The catalog file that describes your datasets and templates (`docs/catalog.md`); empty for none.
    pub catalog: PathBuf,
    /// The address of `/healthz`, `/readyz` and `/metrics`, such as `127.0.0.1:9092`; empty for none. Only operators
    /// should reach it.
    pub internal_listen: String,
    /// The pool whose jobs the exporter takes. The jobs of a dataset go to one pool, and any exporter of the pool may
    /// take them. So all exporters of a pool must offer the same datasets.
    pub pool: String,
    /// The number of exports that run at once. 0 selects twice the number of cores, plus one, because exports wait for
    /// stores and databases about half of the time. Lower it to use less memory. One of the slots runs only interactive
    /// exports.
    pub slots: usize,
    /// The size at which a segment is stored. A larger segment needs fewer requests to the store, and more memory.
    pub segment_size: ByteSize,
    /// The number of failed attempts after which an export fails. A hand-over to another exporter does not count.
    pub max_attempts: u32,
    /// The time without a lease renewal after which another exporter takes over an export. Raise it when the database
    /// is slow or machines pause. With a higher value, the exports of a crashed exporter wait longer for another
    /// exporter.
    pub lease_duration: HumanDuration,
    /// The time for which an export waits for the file store, the database or its source while they are unavailable or
    /// full. Then the export fails. Raise it if your outages last longer; a waiting export keeps its slot.
    pub export_outage_timeout: HumanDuration,
    /// The maximum time for running exports to finish after the process begins to stop. When this time is over, other
    /// exporters take over the unfinished exports. The timeout must be shorter than `shutdown_grace`.
    pub shutdown_drain_timeout: HumanDuration,
    /// The folder of temporary files of workbooks, archives and spooled rows; empty for the system's own folder.
    pub spool_dir: PathBuf,
    /// The maximum size of the temporary files of one export, and of its copy of a remote file. A larger export fails
    /// with `too-large`.
    pub max_spool_size_per_export: ByteSize,
    /// The maximum memory in which one export may sort its rows, if its template sorts rows. A larger export fails with
    /// `too-large`.
    pub max_sort_size_per_export: ByteSize,
    /// The maximum number of rows of a workbook, over all its sheets. An export with more rows can use the format
    /// `xlsx-zip`.
    pub max_workbook_rows: u64,
    /// The gzip level, from 1 (fast) to 9 (small). A higher level needs more processor time.
    pub gzip_level: u32,
    /// The zstd level, from 1 (fast) to 19 (small). A higher level needs more processor time.
    pub zstd_level: i32,
    /// The interval at which the exporter advertises its catalog. Gateways drop an exporter after three intervals
    /// without an advertisement, but not before 10 seconds.
    pub advertise_interval: HumanDuration,
    /// Limits and commands that are not part of the configuration file. The program sets them, and tests use smaller
    /// limits.
    #[serde(skip)]
    #[schemars(skip)]
    pub tuning: ExporterTuning,
}

/// Limits and commands that operators can't set. Tests use smaller limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExporterTuning {
    /// The age at which the exporter closes a segment of the exported file, even if the segment is small; 1 s by
    /// default. The age counts from the first bytes of the segment.
    pub segment_max_age: Duration,
    /// The size at which the exporter closes the first segment, 256 KiB by default. The size is small, so that clients
    /// receive the first bytes early.
    pub first_segment_size: ByteSize,
    /// The age at which the exporter closes the first segment; 200 ms by default.
    pub first_segment_max_age: Duration,
    /// The number of data frames of one export that are encoded concurrently; None selects the number of cores.
    pub encoder_threads: Option<usize>,
    /// The interval of progress reports; 200 ms by default. The protocol allows at most five reports a second.
    pub progress_interval: Duration,
    /// The interval of lease renewals; None selects an eighth of the lease duration, at most 1 s.
    pub heartbeat_interval: Option<Duration>,
    /// The command that starts this program again as a child process, which runs one export alone after an earlier
    /// attempt at the export died. If the command is None, such an export runs in the process of the exporter.
    pub own_process: Option<OwnProcess>,
    /// The values of environment variables that the catalog file names as secrets. They replace the variables of the
    /// process, so that a secret needs no file and no variable. Empty by default.
    pub secrets: BTreeMap<String, Secret>,
    /// The number of rows of each file in an archive; 1,000,000 by default, so that a file fits into one sheet.
    pub archive_part_rows: u64,
}

impl Default for ExporterTuning {
    fn default() -> Self {
        Self {
            segment_max_age: Duration::from_secs(1),
            first_segment_size: ByteSize::kib(256),
            first_segment_max_age: Duration::from_millis(200),
            encoder_threads: None,
            progress_interval: Duration::from_millis(200),
            heartbeat_interval: None,
            own_process: None,
            secrets: BTreeMap::new(),
            archive_part_rows: 1_000_000,
        }
    }
}

impl Default for ExporterConfig {
    fn default() -> Self {
        Self {
            datasets_dir: "./data".into(),
            catalog: PathBuf::new(),
            internal_listen: String::new(),
            pool: "default".into(),
            slots: 0,
            segment_size: ByteSize::mib(8),
            max_attempts: 5,
            lease_duration: HumanDuration::from_secs(8),
            export_outage_timeout: HumanDuration::from_secs(15 * 60),
            shutdown_drain_timeout: HumanDuration::from_secs(5),
            spool_dir: PathBuf::new(),
            max_spool_size_per_export: ByteSize::gib(4),
            max_sort_size_per_export: ByteSize::mib(256),
            max_workbook_rows: 5_000_000,
            gzip_level: 6,
            zstd_level: 3,
            advertise_interval: HumanDuration::from_secs(10),
            tuning: ExporterTuning::default(),
        }
    }
}

impl ExporterConfig {
    /// Checks that each setting is valid, and that the settings do not contradict each other.
    ///
    /// # Errors
    /// When a setting is invalid; the error names the first one.
    pub fn validate(&self) -> Result<(), ExporterError> {
        let is_zero = [
            ("segment_size", self.segment_size.bytes() == 0),
            ("max_attempts", self.max_attempts == 0),
            ("lease_duration", self.lease_duration.get().is_zero()),
            ("advertise_interval", self.advertise_interval.get().is_zero()),
            ("max_spool_size_per_export", self.max_spool_size_per_export.bytes() == 0),
            ("max_sort_size_per_export", self.max_sort_size_per_export.bytes() == 0),
            ("max_workbook_rows", self.max_workbook_rows == 0),
        ];
        let invalid = |detail: String| Err(ExporterError::Config(detail));
        if let Some((name, _)) = is_zero.iter().find(|(_, is_zero)| *is_zero) {
            return invalid(format!("exporter.{name} must be more than 0"));
        }
        if !(1..=9).contains(&self.gzip_level) || !(1..=19).contains(&self.zstd_level) {
            return invalid("exporter.gzip_level must be from 1 to 9, and exporter.zstd_level from 1 to 19".into());
        }
        if self.pool.is_empty() {
            return invalid("exporter.pool must have a name".into());
        }
        if self.slots() < 2 {
            return invalid("exporter.slots must be 2 or more".into());
        }
        Ok(())
    }

    /// Returns the maximum number of exports that run concurrently.
    #[must_use]
    pub fn slots(&self) -> usize {
        if self.slots > 0 { self.slots } else { 2 * cores() + 1 }
    }

    /// Returns the maximum number of bulk exports that run concurrently. This is one fewer than the number of slots,
    /// because one slot is reserved for interactive exports.
    #[must_use]
    pub fn bulk_slots(&self) -> usize {
        self.slots() - 1
    }

    /// Returns the time without an acknowledgement after which NATS redelivers a job. This time is a quarter longer
    /// than the lease, so the lease has expired before NATS redelivers the job.
    pub(crate) fn ack_wait(&self) -> Duration {
        self.lease_duration.get() * 5 / 4
    }

    /// Returns the interval of lease renewals. By default, the interval is an eighth of the lease duration, and at most
    /// 1 s.
    pub(crate) fn heartbeat_interval(&self) -> Duration {
        let eighth = self.lease_duration.get() / 8;
        self.tuning.heartbeat_interval.unwrap_or_else(|| eighth.min(MAX_HEARTBEAT_INTERVAL))
    }
}

impl From<&ExporterConfig> for PipelineLimits {
    fn from(config: &ExporterConfig) -> Self {
        let uses_system_dir = config.spool_dir.as_os_str().is_empty();
        Self {
            segments: SegmentLimits::from(config),
            encoder_threads: config.tuning.encoder_threads.unwrap_or_else(cores),
            max_sort_size_per_export: config.max_sort_size_per_export.bytes(),
            compression: CompressionLevels { gzip: config.gzip_level, zstd: config.zstd_level },
            format: FormatLimits {
                spool_dir: if uses_system_dir { std::env::temp_dir() } else { config.spool_dir.clone() },
                max_spool_size_per_export: config.max_spool_size_per_export.bytes(),
                max_sheet_rows: MAX_SHEET_ROWS,
                max_workbook_rows: config.max_workbook_rows,
                archive_part_rows: config.tuning.archive_part_rows,
                ..FormatLimits::default()
            },
        }
    }
}

impl From<&ExporterConfig> for SegmentLimits {
    fn from(config: &ExporterConfig) -> Self {
        Self {
            size: config.segment_size.as_usize(),
            max_age: config.tuning.segment_max_age,
            first_size: config.tuning.first_segment_size.as_usize(),
            first_max_age: config.tuning.first_segment_max_age,
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
    fn the_defaults_are_valid_and_contradictions_are_refused() {
        let valid = ExporterConfig::default();
        assert!(valid.validate().is_ok());
        assert!(valid.tuning.archive_part_rows < u64::from(MAX_SHEET_ROWS));
        for invalid in [
            ExporterConfig { slots: 1, ..valid.clone() },
            ExporterConfig { segment_size: ByteSize::mib(0), ..valid.clone() },
            ExporterConfig { lease_duration: HumanDuration::from_secs(0), ..valid.clone() },
            ExporterConfig { zstd_level: 20, ..valid.clone() },
            ExporterConfig { pool: String::new(), ..valid },
        ] {
            assert!(invalid.validate().is_err(), "{invalid:?}");
        }
    }

    #[test]
    fn ack_wait_and_heartbeat_follow_from_the_lease() {
        let of_lease = |seconds| {
            let config =
                ExporterConfig { lease_duration: HumanDuration::from_secs(seconds), ..ExporterConfig::default() };
            (config.ack_wait().as_millis(), config.heartbeat_interval().as_millis())
        };
        assert_eq!((of_lease(8), of_lease(4), of_lease(240)), ((10_000, 1_000), (5_000, 500), (300_000, 1_000)));
    }
}
