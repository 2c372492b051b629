//! What can go wrong, and what becomes of a job when it does.

use std::{error::Error, io};

use entity::StoreError;
use platform::{bus::BusError, store::FileStoreError};
use protocol::problem::{FieldError, Problem, Slug};

use crate::{
    catalog::CatalogFaults,
    dataset::{DatasetError, discreet},
    format::FormatError,
    template::TemplateError,
};

/// Why an exporter does not start, or stops.
#[derive(Debug, thiserror::Error)]
pub enum ExporterError {
    /// A setting can't work.
    #[error("settings: {0}")]
    Config(String),
    /// The catalog file is wrong.
    #[error("the catalog is wrong:\n{0}")]
    Catalog(#[from] CatalogFaults),
    /// A dataset must not be offered as it is.
    #[error("dataset `{name}`: {fault}")]
    Dataset {
        /// Which.
        name: String,
        /// What is wrong with it, and what would be right.
        fault: String,
    },
    /// NATS does not answer.
    #[error(transparent)]
    Bus(#[from] BusError),
}

/// Why an attempt at an export ended without a file. What is displayed stands in logs and dead letters, and so holds no value
/// of any row.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// This exporter does not have what the export names.
    #[error("this exporter has no {what} `{name}`")]
    Missing {
        /// `dataset`, `template` or `format`.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// The filter no longer fits the dataset.
    #[error("the filter does not fit the dataset: {}", .0.first().map_or("", |e| e.detail.as_str()))]
    Filter(Vec<FieldError>),
    /// The row policy names a claim that the caller does not have: then no row is theirs.
    #[error("the row policy needs the claim `{0}`")]
    Claim(String),
    /// The row policy does not fit the dataset, or a claim in it is not of its column's type: then no row is theirs.
    #[error("the row policy does not hold: {}", .0.first().map_or("", |e| e.detail.as_str()))]
    Policy(Vec<FieldError>),
    /// The dataset is for those who have this scope.
    #[error("the dataset needs the scope `{0}`")]
    Scope(String),
    /// A parameter is missing or wrong.
    #[error("the parameters do not fit the dataset: {}", .0.first().map_or("", |e| e.detail.as_str()))]
    Params(Vec<FieldError>),
    /// The columns don't fit the dataset.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The source failed.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The rows can't be written in this format.
    #[error("{}", written(.0))]
    Format(#[from] FormatError),
    /// A task of ours died.
    #[error("{}", discreet::died(.0))]
    Task(#[from] tokio::task::JoinError),
    /// The file store failed.
    #[error(transparent)]
    Files(#[from] FileStoreError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// NATS failed.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// A document of ours can't be written as JSON.
    #[error("JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// It was tried too often.
    #[error("gave up after {0} attempts")]
    Exhausted(u32),
    /// The lease could not be kept, so that somebody else may be at it.
    #[error("the lease ran out")]
    LeaseLost,
    /// The export was canceled, or another attempt replaced this one.
    #[error("canceled or replaced")]
    Fenced,
    /// The process stops.
    #[error("the exporter stops")]
    Stopping,
}

/// What becomes of a job.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Later again, under the next attempt.
    Retry,
    /// Never; this is what its owner is told.
    Fail(Problem),
    /// It is somebody else's now, or nobody's.
    Drop,
    /// At once by another exporter.
    HandOver,
}

impl JobError {
    /// What becomes of a job that ended so.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let fail = |detail: String| Verdict::Fail(Problem::new(Slug::ExportFailed, detail));
        match self {
            Self::Fenced => Verdict::Drop,
            Self::Format(FormatError::TooLarge { .. }) => Verdict::Fail(Problem::new(Slug::TooLarge, self.to_string())),
            // a full disk may have room again
            _ if self.is_full() => Verdict::Retry,
            Self::Format(FormatError::Spool(_)) => Verdict::Retry,
            Self::Stopping => Verdict::HandOver,
            Self::Dataset(e) if e.is_transient() => Verdict::Retry,
            Self::Store(e) if e.is_transient() => Verdict::Retry,
            // while catalogs change, another exporter of the pool may have what this one lacks
            Self::Missing { .. } => Verdict::Retry,
            Self::Task(_) | Self::Files(_) | Self::Bus(_) | Self::LeaseLost => Verdict::Retry,
            // what the source said is for operators
            Self::Dataset(e) => fail(e.told()),
            Self::Filter(errors) => Verdict::Fail(Problem::invalid(Slug::InvalidFilter, errors.clone())),
            Self::Template(_) | Self::Format(_) | Self::Exhausted(_) => fail(self.to_string()),
            Self::Params(errors) => Verdict::Fail(Problem::invalid(Slug::InvalidRequest, errors.clone())),
            // what the policy says is nobody's business
            Self::Policy(_) => fail("your token's claims don't fit the rules of this dataset".into()),
            Self::Scope(scope) => fail(format!("this dataset asks for the scope `{scope}`, which your token lacks")),
            Self::Claim(name) => fail(format!("your token lacks the claim `{name}` that this dataset asks for")),
            Self::Store(_) => fail("what was asked for can no longer be read".into()),
            Self::Json(_) => fail("the file's documents could not be written".into()),
        }
    }

    /// The same for an attempt that was the last one: there is no retry any more. What its owner is told names the
    /// part that failed, but nothing of its inside.
    #[must_use]
    pub fn last_verdict(&self, attempts: u32) -> Verdict {
        match self.verdict() {
            Verdict::Retry => {
                let part = match self {
                    Self::Files(_) if self.is_full() => "the file store is full",
                    _ if self.is_full() => "the exporter's disk for temporary files is full",
                    Self::Missing { .. } => "no exporter has what it needs any more",
                    Self::Dataset(_) => "its data could not be read",
                    Self::Files(_) => "its file could not be stored",
                    Self::Store(_) | Self::LeaseLost => "the database could not be reached",
                    _ => "something failed on our side",
                };
                let why = match self {
                    Self::Dataset(e) if !self.is_full() => format!(": {}", e.told()),
                    _ => String::new(),
                };
                let detail = format!("{part}, {attempts} times in a row{why}");
                Verdict::Fail(Problem::new(Slug::ExportFailed, detail))
            }
            other => other,
        }
    }

    /// Whether there was no room for what had to be written: a full disk, a quota, or a file beyond what may be written.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let mut next: Option<&(dyn Error + 'static)> = Some(self);
        while let Some(error) = next {
            let system = error.downcast_ref::<io::Error>();
            if system.is_some_and(|e| no_room(e.kind())) {
                return true;
            }
            // one that holds another error says that one's cause in place of its own
            let inside = system.and_then(io::Error::get_ref).map(|inside| inside as &(dyn Error + 'static));
            next = inside.or_else(|| error.source());
        }
        false
    }

    /// The metric label, and the reason of a dead letter.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            _ if self.is_full() => "full",
            Self::Missing { .. } => "missing",
            Self::Filter(_) => "filter",
            Self::Claim(_) => "claim",
            Self::Policy(_) => "policy",
            Self::Scope(_) => "scope",
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
            Self::LeaseLost => "lease",
            Self::Fenced => "fenced",
            Self::Stopping => "stopping",
        }
    }
}

/// Why the rows can't be written.
fn written(error: &FormatError) -> String {
    match error {
        FormatError::Polars(e) => discreet::polars(e),
        other => other.to_string(),
    }
}

/// Whether a failure of this kind says that there is no room.
const fn no_room(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use polars::prelude::PolarsError;

    use super::*;

    #[test]
    fn a_full_disk_is_told_however_deep_it_stands_in_an_error() {
        // what Linux calls ENOSPC, EDQUOT and EFBIG
        for code in [28, 122, 27] {
            let io = || io::Error::from_raw_os_error(code);
            let inside = Box::new(io::Error::other(io()));
            let store = object_store::Error::Generic { store: "folder", source: inside };
            let polars = PolarsError::IO { error: Arc::new(io()), msg: None };
            for (error, place) in [
                (JobError::from(FileStoreError::from(store)), "the file store is full"),
                (JobError::from(FormatError::Spool(io())), "temporary files is full"),
                (JobError::from(FormatError::Polars(polars)), "temporary files is full"),
                (JobError::from(DatasetError::Io(io()).in_file("a/b")), "temporary files is full"),
            ] {
                assert_eq!((error.verdict(), error.label()), (Verdict::Retry, "full"), "{error:?}");
                let Verdict::Fail(problem) = error.last_verdict(3) else { panic!("{error:?}") };
                assert!(problem.detail.contains(place), "{problem}");
            }
        }
        // where it lies is for operators
        let gone = JobError::from(DatasetError::NoFile("/srv/secret/a.parquet".into()));
        let missing = io::Error::new(io::ErrorKind::NotFound, "/srv/secret/a.parquet");
        let missing = JobError::from(DatasetError::Io(missing).in_file("https://h/secret/a.parquet?secret=1"));
        for (error, attempts) in [(gone, 1), (missing, 5)] {
            let Verdict::Fail(problem) = error.last_verdict(attempts) else { panic!("{error:?}") };
            assert!(problem.detail.contains("no longer there") && !problem.detail.contains("secret"), "{problem}");
        }
        let denied = JobError::from(FormatError::Spool(io::Error::from_raw_os_error(13)));
        assert!(!denied.is_full() && denied.label() == "format");
    }
}
