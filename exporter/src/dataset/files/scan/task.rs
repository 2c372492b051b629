//! The task that scans the files of a dataset, and the function that waits for the task for a limited time.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::Semaphore, task::JoinHandle, time::timeout};

use super::{
    super::{super::DatasetError, FileKind, Location},
    Found, Merged, Stop, scan_file,
};

/// The maximum time that the load of a catalog waits for the columns of one dataset.
pub(in crate::dataset::files) const MAX_WAIT: Duration = Duration::from_secs(10);
/// The maximum time for scanning all files of a dataset.
const MAX_TIME: Duration = Duration::from_secs(60 * 60);
/// The maximum number of large or remote files that are copied or scanned at once.
const CONCURRENCY: usize = 2;
/// The size above which a local file is large, in bytes. Smaller files do not wait for larger ones.
const LARGE_FILE: u64 = 64 << 20;
/// The maximum number of tasks that are kept for a later call of [`find`]. When the number is reached, finished tasks
/// are dropped; if none is finished, the new task is aborted.
const MAX_TASKS: usize = 256;

static SLOTS: Semaphore = Semaphore::const_new(CONCURRENCY);
static TASKS: LazyLock<Mutex<HashMap<(FileKind, String), Task>>> = LazyLock::new(Mutex::default);

type Task = JoinHandle<Result<Found, DatasetError>>;

/// Stops the scan of a file when this value is dropped.
struct StopOnDrop(Arc<Stop>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Scans all files of a location in a task, and returns their columns.
///
/// # Errors
/// [`DatasetError::Scanning`] if the task takes longer than `wait`. The task then goes on, and a later call waits for
/// the same task.
pub(in crate::dataset::files) async fn find(
    location: &Arc<Location>,
    kind: FileKind,
    wait: Duration,
) -> Result<Found, DatasetError> {
    let key = (kind, location.identity());
    let known = TASKS.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
    let mut task = known.unwrap_or_else(|| tokio::spawn(within_time(Arc::clone(location), kind)));
    match timeout(wait, &mut task).await {
        Ok(found) => found?,
        Err(_) => {
            let mut tasks = TASKS.lock().unwrap_or_else(PoisonError::into_inner);
            if tasks.len() >= MAX_TASKS {
                tasks.retain(|_, task| !task.is_finished());
            }
            if tasks.len() >= MAX_TASKS {
                task.abort();
            } else if let Some(other) = tasks.insert(key, task) {
                other.abort();
            }
            Err(DatasetError::Scanning)
        }
    }
}

async fn within_time(location: Arc<Location>, kind: FileKind) -> Result<Found, DatasetError> {
    let scanned = timeout(MAX_TIME, scan_all(&location, kind)).await;
    scanned.unwrap_or_else(|_| {
        let detail = "reading all files for the types of their columns takes more than an hour: declare its columns";
        Err(DatasetError::Undeclared(detail.into()))
    })
}

async fn scan_all(location: &Location, kind: FileKind) -> Result<Found, DatasetError> {
    let files = location.list().await?;
    let (mut merged, mut empty) = (Merged::default(), None);
    for file in &files {
        let mut slot = if location.is_local() { None } else { Some(SLOTS.acquire().await) };
        let open = location.fetch(&file.name).await?;
        if slot.is_none() && open.metadata()?.len() > LARGE_FILE {
            slot = Some(SLOTS.acquire().await);
        }
        let (stop, remote) = (Arc::new(Stop::default()), file.version.clone());
        let _stop = StopOnDrop(Arc::clone(&stop));
        let scanning = tokio::task::spawn_blocking(move || scan_file(open, kind, remote, &stop));
        let scanned = scanning.await?;
        drop(slot);
        match scanned {
            Ok(scan) => merged.add(&scan),
            // an empty file adds no columns, and is an error only if no file has columns
            Err(DatasetError::Empty) => empty = Some(&file.name),
            Err(e) => return Err(e.in_file(&file.name)),
        }
    }
    let found = merged.found();
    match (found.columns.is_empty(), empty.or(files.first().map(|file| &file.name))) {
        (false, _) => Ok(found),
        (true, Some(name)) => Err(DatasetError::Empty.in_file(name)),
        (true, None) => Err(DatasetError::NoFile(location.to_string())),
    }
}
