//! Errors of the exporter, and how the exporter handles a job after each error.

use std::{error::Error, io, time::Duration};

use entity::StoreError;
use platform::{bus::BusError, store::FileStoreError, units::HumanDuration};
use protocol::{
    export::WaitingFor,
    problem::{FieldError, Problem, Slug},
};

use crate::{
    catalog::CatalogFaults,
    dataset::{AccessError, DatasetError, redact},
    format::FormatError,
    template::TemplateError,
};

/// Why an exporter can't start or continue.
#[derive(Debug, thiserror::Error)]
pub enum ExporterError {
    /// A setting is invalid, or contradicts another setting.
    #[error("settings: {0}")]
    Config(String),
    /// The catalog file has faults.
    #[error("the catalog is invalid:\n{0}")]
    Catalog(#[from] CatalogFaults),
    /// A dataset is invalid or unsafe to offer.
    #[error("dataset `{name}`: {fault}")]
    Dataset {
        /// The name of the dataset.
        name: String,
        /// The fault, with a hint for its correction.
        fault: String,
    },
    /// NATS is unavailable or refused a request.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// This process is the child of another exporter and must run one export, but received no job from its parent.
    #[error("this process received no export from its parent: {0}")]
    OwnProcess(std::io::Error),
}

/// Why an attempt at an export ended without a file. The exporter writes the displayed text to logs and dead letters,
/// so the text contains no value of a row.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// This exporter does not offer the dataset, template, format or compression that the export needs.
    #[error("this exporter has no {part} `{name}`")]
    Missing {
        /// The kind of the missing part: `dataset`, `template`, `format` or `compression`.
        part: &'static str,
        /// The name of the missing part, as the request gives it.
        name: String,
    },
    /// The filter of the request does not fit the dataset, which may have changed since the request.
    #[error("the filter does not fit the dataset: {}", .0.first().map_or("", |e| e.detail.as_str()))]
    Filter(Vec<FieldError>),
    /// The access rules of the dataset do not let the owner read any row.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// A required parameter of the dataset has no value in the request, or a parameter in the request is invalid.
    #[error("the parameters do not fit the dataset: {}", .0.first().map_or("", |e| e.detail.as_str()))]
    Params(Vec<FieldError>),
    /// The template or the requested columns do not fit the dataset.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The source failed to open the query or to return its rows.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The format failed to write the rows.
    #[error("{}", format_failure(.0))]
    Format(#[from] FormatError),
    /// A task that worked on the file panicked or was aborted.
    #[error("{}", redact::task_failure(.0))]
    Task(#[from] tokio::task::JoinError),
    /// The store of finished files failed.
    #[error(transparent)]
    Files(#[from] FileStoreError),
    /// A query of the shared database, which stores the state of exports, failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// NATS is unavailable or refused a message.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The exporter failed to serialize the metadata document or the manifest.
    #[error("JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The export already has `exporter.max_attempts` failed attempts, so this attempt did not run. The field is the
    /// number of failed attempts.
    #[error("{0} attempts at the export ended without a file")]
    Exhausted(u32),
    /// Too many attempts at the export ended without an outcome, because their process died or their lease expired. The
    /// number counts these attempts.
    #[error("the process that worked on the export died {0} times")]
    Died(u32),
    /// The lease of the export expired, so another exporter may have taken over the export.
    #[error("the lease expired")]
    LeaseLost,
    /// The export was canceled, or another attempt replaced this attempt.
    #[error("canceled or replaced")]
    Fenced,
    /// This process stops, and another exporter takes over the export.
    #[error("the exporter stops")]
    Stopping,
}

/// How the exporter handles a job after an error.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// NATS redelivers the job after a pause, and an exporter starts the next attempt.
    Retry,
    /// The export fails; the owner receives the problem.
    Fail(Problem),
    /// The exporter acknowledges the job without an outcome, because the export was canceled or another attempt
    /// replaced this attempt.
    Drop,
    /// The exporter returns the job to NATS without a pause, and another exporter takes the job.
    HandOver,
}

impl JobError {
    /// Returns how to handle the job after this error, if the export has attempts left. If it has none, the caller must
    /// use [`Self::last_verdict`] instead.
    pub(crate) fn verdict(&self) -> Verdict {
        let fail = |detail: String| Verdict::Fail(Problem::new(Slug::ExportFailed, detail));
        match self {
            Self::Fenced => Verdict::Drop,
            Self::Format(FormatError::TooLarge { .. }) => Verdict::Fail(Problem::new(Slug::TooLarge, self.to_string())),
            // an outage ends, and a full disk may have space again at the next attempt
            _ if self.outage().is_some() => Verdict::Retry,
            Self::Format(FormatError::Spool(_)) => Verdict::Retry,
            Self::Stopping => Verdict::HandOver,
            Self::Dataset(e) if e.is_transient() => Verdict::Retry,
            Self::Store(e) if e.is_transient() => Verdict::Retry,
            // while catalogs change, another exporter of the pool may offer the part
            Self::Missing { .. } => Verdict::Retry,
            Self::Task(_) | Self::Files(_) | Self::Bus(_) | Self::LeaseLost => Verdict::Retry,
            // the error text of the source may reveal internals to the owner
            Self::Dataset(e) => fail(e.user_message()),
            Self::Filter(errors) => Verdict::Fail(Problem::invalid(Slug::InvalidFilter, errors.clone())),
            Self::Template(_) | Self::Format(_) => fail(self.to_string()),
            Self::Exhausted(attempts) => fail(format!(
                "{attempts} attempts at this export ended without a file: try again later, or ask the operator"
            )),
            Self::Died(died) => fail(format!(
                "the exporter stopped {died} times while it worked on this export, at last on this export alone: ask the \
                 operator, or export fewer columns or rows"
            )),
            Self::Params(errors) => Verdict::Fail(Problem::invalid(Slug::InvalidRequest, errors.clone())),
            // the owner must not see the policy
            Self::Access(AccessError::Policy(_)) => {
                fail("your token's claims don't fit the rules of this dataset".into())
            }
            Self::Access(AccessError::Scope(scope)) => {
                fail(format!("this dataset needs the scope `{scope}`, which your token lacks"))
            }
            Self::Access(AccessError::Claim(name)) => {
                fail(format!("this dataset needs the claim `{name}`, which your token lacks"))
            }
            Self::Store(_) => fail("the request of this export can't be read any more".into()),
            Self::Json(_) => fail("the metadata of the file could not be written".into()),
        }
    }

    /// Returns the part of the installation, such as the database, whose outage is the cause of this error. Returns
    /// None if no outage is the cause. A full disk counts as an outage.
    pub(crate) fn outage(&self) -> Option<WaitingFor> {
        match self {
            Self::Format(FormatError::TooLarge { .. }) => None,
            _ if self.is_full() => Some(WaitingFor::Storage),
            Self::Files(_) => Some(WaitingFor::Storage),
            Self::Store(e) if e.is_outage() => Some(WaitingFor::Database),
            Self::LeaseLost => Some(WaitingFor::Database),
            Self::Bus(_) => Some(WaitingFor::Messaging),
            Self::Dataset(e) if e.is_outage() => Some(WaitingFor::Source),
            _ => None,
        }
    }

    /// Returns the problem of an export that failed because an outage lasted longer than `timeout`. Returns None if no
    /// outage is the cause of this error.
    pub(crate) fn outage_problem(&self, timeout: Duration) -> Option<Problem> {
        let part = match (self.outage()?, self) {
            (WaitingFor::Storage, Self::Files(_)) if self.is_full() => "the file store is full",
            (WaitingFor::Storage, Self::Files(_)) => "its file could not be stored",
            (WaitingFor::Storage, _) => "the exporter's disk for temporary files is full",
            (WaitingFor::Database, _) => "the database could not be reached",
            (WaitingFor::Messaging, _) => "NATS could not be reached",
            (WaitingFor::Source, _) => "its data could not be read",
            (WaitingFor::Operator, _) => "an operator had paused it",
        };
        let cause = match self {
            Self::Dataset(e) if !self.is_full() => format!(": {}", e.user_message()),
            _ => String::new(),
        };
        let waited = HumanDuration::from(timeout);
        Some(Problem::new(Slug::ExportFailed, format!("{part}, and the export waited for {waited}{cause}")))
    }

    /// Returns how to handle the job after this error, if the export has no attempts left. An error that would
    /// otherwise cause a retry fails the export. The problem then names the component that failed and the number of
    /// failed `attempts`, without the internal error text. The caller must handle an outage (see [`Self::outage`])
    /// before it calls this method.
    pub(crate) fn last_verdict(&self, attempts: u32) -> Verdict {
        match self.verdict() {
            Verdict::Retry => {
                let part = match self {
                    Self::Missing { .. } => "no exporter offers its dataset, template or format any more",
                    Self::Dataset(_) => "its data could not be read",
                    Self::Store(_) => "the database could not be used",
                    _ => "an internal error occurred",
                };
                let cause = match self {
                    Self::Dataset(e) => format!(": {}", e.user_message()),
                    _ => String::new(),
                };
                let detail = format!("{part}, {attempts} attempts in a row{cause}");
                Verdict::Fail(Problem::new(Slug::ExportFailed, detail))
            }
            other => other,
        }
    }

    /// Returns `problem` with the name of the dataset in its text, if this error is about the rows of `dataset`, the
    /// template or the format. A log or a script may show the problem without its export, so the text must name the
    /// dataset. Returns `problem` unchanged after any other error, and if the disk is full.
    pub(crate) fn with_dataset(&self, mut problem: Problem, dataset: &str) -> Problem {
        let names = format!("dataset `{dataset}`");
        let is_about_rows = matches!(self, Self::Dataset(_) | Self::Template(_) | Self::Format(_));
        // an error about one stored value names the dataset itself
        if is_about_rows && !self.is_full() && !problem.detail.starts_with(&names) {
            problem.detail = format!("{names}: {}", problem.detail);
        }
        problem
    }

    /// Whether this error was caused by a write that failed for lack of disk space.
    pub(crate) fn is_full(&self) -> bool {
        let mut next: Option<&(dyn Error + 'static)> = Some(self);
        while let Some(error) = next {
            let system = error.downcast_ref::<io::Error>();
            if system.is_some_and(|e| is_lack_of_space(e.kind())) {
                return true;
            }
            // `source()` of an I/O error skips the error that it wraps, so the wrapped error is visited first
            let wrapped = system.and_then(io::Error::get_ref).map(|wrapped| wrapped as &(dyn Error + 'static));
            next = wrapped.or_else(|| error.source());
        }
        false
    }

    /// Returns the short name of the error, such as `file_store`, for metrics and dead letters.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            _ if self.is_full() => "full",
            Self::Missing { .. } => "missing",
            Self::Filter(_) => "filter",
            Self::Access(AccessError::Claim(_)) => "claim",
            Self::Access(AccessError::Policy(_)) => "policy",
            Self::Access(AccessError::Scope(_)) => "scope",
            Self::Params(_) => "params",
            Self::Template(_) => "template",
            Self::Dataset(_) => "dataset",
            Self::Format(_) => "format",
            Self::Task(_) => "task",
            Self::Files(_) => "file_store",
            Self::Store(_) => "database",
            Self::Bus(_) => "bus",
            Self::Json(_) => "json",
            Self::Exhausted(_) => "exhausted",
            Self::Died(_) => "died",
            Self::LeaseLost => "lease",
            Self::Fenced => "fenced",
            Self::Stopping => "stopping",
        }
    }
}

/// Returns the text of an error of a format, without any value of a row.
fn format_failure(error: &FormatError) -> String {
    match error {
        FormatError::Polars(e) => redact::polars(e),
        other => other.to_string(),
    }
}

/// Whether this I/O error means a full disk, an exceeded quota or a file over the size limit.
const fn is_lack_of_space(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use polars::prelude::PolarsError;

    use super::*;

    #[test]
    fn a_full_disk_is_detected_at_any_depth_of_an_error() {
        // ENOSPC, EDQUOT and EFBIG of Linux
        for code in [28, 122, 27] {
            let io = || io::Error::from_raw_os_error(code);
            let inner = Box::new(io::Error::other(io()));
            let store = object_store::Error::Generic { store: "folder", source: inner };
            let polars = PolarsError::IO { error: Arc::new(io()), msg: None };
            for (error, text) in [
                (JobError::from(FileStoreError::from(store)), "the file store is full"),
                (JobError::from(FormatError::Spool(io())), "temporary files is full"),
                (JobError::from(FormatError::Polars(polars)), "temporary files is full"),
                (JobError::from(DatasetError::Io(io()).in_file("a/b")), "temporary files is full"),
            ] {
                assert_eq!((error.verdict(), error.label()), (Verdict::Retry, "full"), "{error:?}");
                assert_eq!(error.outage(), Some(WaitingFor::Storage), "{error:?}");
                let problem = error.outage_problem(Duration::from_secs(900)).unwrap();
                assert!(problem.detail.contains(text) && problem.detail.contains("waited for 15m"), "{problem}");
            }
        }
        // the owner must not see the location of a file
        let gone = JobError::from(DatasetError::NoFile("/srv/secret/a.parquet".into()));
        let missing = io::Error::new(io::ErrorKind::NotFound, "/srv/secret/a.parquet");
        let missing = JobError::from(DatasetError::Io(missing).in_file("https://h/secret/a.parquet?secret=1"));
        for (error, attempts) in [(gone, 1), (missing, 5)] {
            let Verdict::Fail(problem) = error.last_verdict(attempts) else { panic!("{error:?}") };
            assert!(problem.detail.contains("no longer there") && !problem.detail.contains("secret"), "{problem}");
        }
        // the texts say only what happened
        for (error, label, cause) in
            [(JobError::Exhausted(5), "exhausted", "5 attempts"), (JobError::Died(3), "died", "3 times")]
        {
            let Verdict::Fail(problem) = error.verdict() else { panic!("{error:?}") };
            assert!(error.label() == label && error.to_string().contains(cause), "{error}");
            assert!(problem.detail.contains(cause), "{problem}");
            assert_eq!(problem.detail.contains("stopped"), label == "died", "{problem}");
        }
        // only a problem with the rows names the dataset, and only once
        let named =
            |error: &JobError, text: &str| error.with_dataset(Problem::new(Slug::ExportFailed, text), "orders").detail;
        let gone = JobError::from(DatasetError::NoTable("t".into()));
        let template = JobError::from(TemplateError::NoColumn("c".into()));
        let format = JobError::from(FormatError::Workbook("w".into()));
        for error in [gone, template, format] {
            assert_eq!(named(&error, "x"), "dataset `orders`: x");
            assert_eq!(named(&error, "dataset `orders`, column `c`: x"), "dataset `orders`, column `c`: x");
        }
        assert_eq!(named(&JobError::Stopping, "x"), "x");
        let denied = JobError::from(FormatError::Spool(io::Error::from_raw_os_error(13)));
        assert!(!denied.is_full() && denied.outage().is_none() && denied.label() == "format");
    }
}
