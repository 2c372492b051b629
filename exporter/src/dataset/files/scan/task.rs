//! The task that scans the text files of a dataset for their columns, and the function that waits for the task for a
//! limited time.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use tokio::{sync::Semaphore, task::AbortHandle, time::timeout};

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
/// The size in bytes above which a local file counts as large. The limit [`CONCURRENCY`] does not apply to smaller
/// local files, so small files do not wait for large files.
const LARGE_FILE: u64 = 64 << 20;
/// The maximum number of tasks in [`TASKS`]. When the map is full, finished tasks are removed before a new task starts.
/// If all tasks in the map are running, the new task is not added to the map. Then only the call of [`find`] that
/// started the task receives its result.
const MAX_TASKS: usize = 256;

/// The error for a file whose delimiter seems to differ from that of an earlier file.
const MIXED_DELIMITERS: &str = "its fields seem to be separated by another character than those of the files before it: write all files with \
     one delimiter";

static SLOTS: Semaphore = Semaphore::const_new(CONCURRENCY);
/// The tasks that calls of [`find`] share. The map holds the running tasks, and the finished tasks whose result no call
/// has received yet.
static TASKS: LazyLock<Mutex<Tasks>> = LazyLock::new(Mutex::default);

type Tasks = HashMap<Key, Task>;
/// The key of a task: the format of the files, and the text of [`Location::identity`] for their location.
type Key = (FileKind, String);

/// A task that scans all files of a location. Each clone can wait for the result of the task.
#[derive(Clone)]
struct Task {
    result: Shared<BoxFuture<'static, Result<Arc<Found>, Arc<DatasetError>>>>,
    handle: AbortHandle,
}

/// Aborts a task when this value is dropped. It is used for a task that is not in [`TASKS`], because no other call can
/// receive the result of that task.
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Stops the scan of a file when this value is dropped.
struct StopOnDrop(Arc<Stop>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Scans all files of a location in a task, and returns their columns. Calls for the same location share the task while
/// it runs, even after the call that started the task was dropped. After a call has received the result, the next call
/// starts a new task.
///
/// # Errors
/// Returns [`DatasetError::Scanning`] if the task takes longer than `wait`. The task then continues, and a later call
/// waits for the same task. If the task fails, returns its error as [`DatasetError::Shared`].
pub(in crate::dataset::files) async fn find(
    location: &Arc<Location>,
    kind: FileKind,
    wait: Duration,
) -> Result<Found, DatasetError> {
    let key = (kind, location.identity());
    let (task, _abort) = shared_task(&key, || Task::start(Arc::clone(location), kind));
    let Ok(result) = timeout(wait, task.result.clone()).await else { return Err(DatasetError::Scanning) };
    let mut tasks = tasks();
    if tasks.get(&key).is_some_and(|known| known.result.ptr_eq(&task.result)) {
        tasks.remove(&key);
    }
    drop(tasks);
    result.map(Arc::unwrap_or_clone).map_err(DatasetError::Shared)
}

fn tasks() -> MutexGuard<'static, Tasks> {
    TASKS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the task with this key in [`TASKS`]. If there is no such task, starts one with `start` and adds it to the
/// map. The second value is None in both cases.
///
/// If the map is full, returns a new task that is not in the map, and an [`AbortOnDrop`]. The caller must keep this
/// value until the task has ended, because dropping it aborts the task.
fn shared_task(key: &Key, start: impl FnOnce() -> Task) -> (Task, Option<AbortOnDrop>) {
    let mut tasks = tasks();
    if let Some(task) = tasks.get(key) {
        return (task.clone(), None);
    }
    if tasks.len() >= MAX_TASKS {
        tasks.retain(|_, task| !task.handle.is_finished());
    }
    let task = start();
    if tasks.len() >= MAX_TASKS {
        let abort = AbortOnDrop(task.handle.clone());
        return (task, Some(abort));
    }
    tasks.insert(key.clone(), task.clone());
    (task, None)
}

impl Task {
    fn start(location: Arc<Location>, kind: FileKind) -> Self {
        let scanning = tokio::spawn(within_time(location, kind));
        let handle = scanning.abort_handle();
        let result = async move { scanning.await?.map(Arc::new) };
        Self { result: result.map(|result| result.map_err(Arc::new)).boxed().shared(), handle }
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
    let (mut merged, mut empty, mut without_members) = (Merged::default(), None, None);
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
            Ok(scan) => {
                if scan.columns.is_empty() && scan.rows > 0 {
                    without_members = without_members.or(Some(&file.name));
                }
                merged.add(&scan);
                if merged.mixes_delimiters() {
                    return Err(DatasetError::Undeclared(MIXED_DELIMITERS.into()).in_file(&file.name));
                }
            }
            // an empty file adds no columns, and is an error only if no file has columns
            Err(DatasetError::Empty) => empty = Some(&file.name),
            Err(e) => return Err(e.in_file(&file.name)),
        }
    }
    let found = merged.found();
    if found.columns.is_empty()
        && let Some(name) = without_members
    {
        return Err(DatasetError::NoMembers.in_file(name));
    }
    match (found.columns.is_empty(), empty.or(files.first().map(|file| &file.name))) {
        (false, _) => Ok(found),
        (true, Some(name)) => Err(DatasetError::Empty.in_file(name)),
        (true, None) => Err(DatasetError::NoFile(location.to_string())),
    }
}
