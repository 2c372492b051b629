//! Partial objects, which are the files into which a folder store writes an object before it renames the file. If the
//! process is killed before the rename, the file stays in the folder, and no listing of the store shows it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{FileStoreError, ObjectInfo};

/// Lists the partial objects below a folder. The `path` of each partial object is the path of the object with a `#` and
/// a number.
pub(super) async fn list(root: &Path, prefix: &str) -> Result<Vec<ObjectInfo>, FileStoreError> {
    let (root, folder) = (root.to_owned(), root.join(prefix));
    blocking(move || {
        let mut found = Vec::new();
        walk(&root, &folder, &mut found)?;
        Ok(found)
    })
    .await
}

/// Deletes partial objects and returns their number. A missing partial object counts as deleted.
pub(super) async fn delete(root: &Path, partials: Vec<String>) -> Result<usize, FileStoreError> {
    let root = root.to_owned();
    blocking(move || {
        for partial in &partials {
            let file = root.join(partial);
            if !is_partial(partial) {
                return Err(io::Error::other(format!("{partial} is no partial object")));
            }
            unless_missing(fs::remove_file(&file))?;
            remove_empty_folders(&root, &file);
        }
        Ok(partials.len())
    })
    .await
}

/// Returns the path of the object to which a partial object belongs.
pub(super) fn object_path(partial: &str) -> &str {
    partial.rsplit_once('#').map_or(partial, |(object, _)| object)
}

/// Whether a name ends with `#` and digits, like the names that the library gives to the files of unfinished writes.
fn is_partial(name: &str) -> bool {
    let number = name.rsplit_once('#').map(|(_, number)| number);
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

fn walk(root: &Path, folder: &Path, found: &mut Vec<ObjectInfo>) -> io::Result<()> {
    let Some(entries) = unless_missing(fs::read_dir(folder))? else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        // another process may delete or finish the file in between
        let Some(metadata) = unless_missing(fs::symlink_metadata(&path))? else { continue };
        if metadata.is_dir() {
            walk(root, &path, found)?;
            continue;
        }
        let relative = path.strip_prefix(root).ok().and_then(Path::to_str);
        if let Some(relative) = relative.filter(|name| metadata.is_file() && is_partial(name)) {
            let modified = metadata.modified()?.into();
            found.push(ObjectInfo { path: relative.to_owned(), size: metadata.len(), modified });
        }
    }
    Ok(())
}

/// Removes the folders of a deleted file up to the root, unless they contain other files.
fn remove_empty_folders(root: &Path, file: &Path) {
    let folders = file.ancestors().skip(1).take_while(|folder| *folder != root).map(PathBuf::from);
    for folder in folders {
        if fs::remove_dir(folder).is_err() {
            return;
        }
    }
}

fn unless_missing<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, FileStoreError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(io::Error::other).and_then(|result| result).map_err(FileStoreError::Partial)
}
