//! What the storm did and saw: faults, requests, and broken promises.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use platform::clock::{Clock, SystemClock};
use protocol::id::ExportId;
use tempfile::TempDir;

use crate::{args::Options, faults::Fault};

/// A promise of the platform that the run found broken.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    /// The promise, such as `lost`.
    pub(crate) promise: &'static str,
    pub(crate) export: Option<ExportId>,
    pub(crate) detail: String,
}

/// A removal that a person asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Removal {
    None,
    /// A cancellation or a deletion was sent; whether it had an effect is open.
    Requested,
    /// The deletion of a completed file was acknowledged.
    Deleted,
}

/// One request of a person.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) person: String,
    pub(crate) key: String,
    /// The index of the request in [`crate::site::Site::variants`].
    pub(crate) variant: usize,
    /// The export of the first answer to the request.
    pub(crate) id: Option<ExportId>,
    pub(crate) removal: Removal,
}

#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) faults: BTreeMap<(Fault, String), u64>,
    /// Services that ended by themselves, with their last log line.
    pub(crate) ended: BTreeMap<String, u64>,
    /// Answers other than success.
    pub(crate) refusals: BTreeMap<String, u64>,
    /// The number of exports by their last status.
    pub(crate) outcomes: BTreeMap<String, u64>,
    /// Files that were read to the end and compared.
    pub(crate) files_checked: u64,
    /// Sessions and downloads that broke and were resumed.
    pub(crate) resumed: u64,
    /// Kinds of faults that are left out, with the reason.
    pub(crate) left_out: BTreeMap<Fault, String>,
}

pub(crate) struct Journal {
    started: Instant,
    records: Mutex<Vec<Record>>,
    violations: Mutex<Vec<Violation>>,
    counts: Mutex<Counts>,
    log: Mutex<File>,
    logs: PathBuf,
    /// The folder of the logs, which is deleted with this value; None when it stays.
    dir: Mutex<Option<TempDir>>,
}

impl Journal {
    /// # Panics
    /// When the folder of the logs is not writable.
    pub(crate) fn new(options: &Options) -> Self {
        let (logs, dir) = match &options.logs {
            Some(logs) => (logs.clone(), None),
            None => {
                let dir = tempfile::Builder::new().prefix("storm-").tempdir().expect("a folder for temporary files");
                (dir.path().to_owned(), Some(dir))
            }
        };
        std::fs::create_dir_all(&logs).expect("the folder of the logs can be created");
        let log = File::create(logs.join("storm.log")).expect("the folder of the logs is writable");
        Self {
            started: Instant::now(),
            records: Mutex::default(),
            violations: Mutex::default(),
            counts: Mutex::default(),
            log: Mutex::new(log),
            logs,
            dir: Mutex::new(dir),
        }
    }

    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// The folder of the logs of all processes.
    pub(crate) fn logs(&self) -> &Path {
        &self.logs
    }

    /// Keeps the folder of the logs.
    pub(crate) fn keep_logs(&self) {
        if let Some(dir) = lock(&self.dir).take() {
            drop(dir.keep());
        }
    }

    /// Writes a line with the time to the storm's log, to be read beside the logs of the services.
    pub(crate) fn note(&self, text: &str) {
        let time = SystemClock.now().format("%Y-%m-%dT%H:%M:%S%.3fZ");
        // the log only explains: without it, the storm goes on
        drop(writeln!(lock(&self.log), "{time} {text}"));
    }

    /// Adds a request and returns its number.
    pub(crate) fn add(&self, record: Record) -> usize {
        let mut records = lock(&self.records);
        records.push(record);
        records.len() - 1
    }

    pub(crate) fn record(&self, number: usize) -> Record {
        lock(&self.records)[number].clone()
    }

    pub(crate) fn records(&self) -> Vec<Record> {
        lock(&self.records).clone()
    }

    pub(crate) fn set_removal(&self, number: usize, removal: Removal) {
        lock(&self.records)[number].removal = removal;
    }

    /// The last removal of an export, by any request that created or joined it.
    pub(crate) fn removal_of(&self, id: ExportId) -> Removal {
        let records = lock(&self.records);
        let of_export = records.iter().filter(|record| record.id == Some(id));
        of_export.map(|record| record.removal).max().unwrap_or(Removal::None)
    }

    /// Records the export that a request created or joined. Another export than before is a violation.
    pub(crate) fn answered(&self, number: usize, id: ExportId) {
        let earlier = lock(&self.records)[number].id.replace(id);
        if let Some(earlier) = earlier.filter(|earlier| *earlier != id) {
            let key = self.record(number).key;
            self.violated("none twice", Some(id), format!("the key {key} had made {earlier} before"));
        }
    }

    pub(crate) fn violated(&self, promise: &'static str, export: Option<ExportId>, detail: impl Into<String>) {
        let violation = Violation { promise, export, detail: detail.into() };
        self.note(&format!("BROKEN {violation:?}"));
        lock(&self.violations).push(violation);
    }

    pub(crate) fn violations(&self) -> Vec<Violation> {
        lock(&self.violations).clone()
    }

    pub(crate) fn fault(&self, fault: Fault, target: &str, detail: &str) {
        self.note(&format!("{fault} {target} {detail}"));
        *lock(&self.counts).faults.entry((fault, target.to_owned())).or_default() += 1;
    }

    pub(crate) fn refused(&self, what: &str, answer: &str) {
        *lock(&self.counts).refusals.entry(format!("{what}: {answer}")).or_default() += 1;
    }

    pub(crate) fn counts(&self) -> MutexGuard<'_, Counts> {
        lock(&self.counts)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
