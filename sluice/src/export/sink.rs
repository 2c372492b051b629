//! Writes the output of an export. A file has the suffix `.part` until it is complete, so that a truncated file never
//! looks complete. A device or named pipe, such as `/dev/null`, receives the bytes directly, because a rename would
//! replace the device or pipe by a file.

use std::{
    fs::{File as StdFile, TryLockError},
    io::{self, SeekFrom},
    path::{Path, PathBuf},
};

use tokio::{
    fs::{self, File},
    io::{AsyncSeekExt, AsyncWrite, AsyncWriteExt},
};

use super::error::ExportError;
use crate::output;

/// The suffix of the name of an incomplete file.
const PART: &str = "part";

pub(super) enum Sink {
    File {
        file: File,
        path: PathBuf,
        part: PathBuf,
        written: u64,
    },
    /// Standard output, a device or a named pipe, which can't discard bytes.
    Stream {
        out: Box<dyn AsyncWrite + Send + Unpin>,
        path: PathBuf,
        written: u64,
    },
}

impl Sink {
    /// Opens the output. Without a `target`, the output is standard output. If `target` is a device or a named pipe,
    /// the output goes directly to `target`. In any other case, the output is a new file that is renamed to `target`
    /// when it is complete. If `target` is a symbolic link, the link stays, and the new file replaces the file that the
    /// link points to.
    pub(super) async fn open(target: Option<PathBuf>) -> Result<Self, ExportError> {
        let Some(mut path) = target else {
            return Ok(Self::Stream { out: Box::new(tokio::io::stdout()), path: "standard output".into(), written: 0 });
        };
        match fs::metadata(&path).await {
            Ok(found) if found.is_dir() => return Err(failed(&path)(io::ErrorKind::IsADirectory.into())),
            Ok(found) if !found.is_file() => {
                let out = File::options().write(true).open(&path).await.map_err(failed(&path))?;
                return Ok(Self::Stream { out: Box::new(out), path, written: 0 });
            }
            Ok(_) => path = fs::canonicalize(&path).await.map_err(failed(&path))?,
            // the file does not exist, or the call that opens the `.part` file reports the error
            Err(_) => {}
        }
        let part = path.with_added_extension(PART);
        let file = StdFile::options().create(true).truncate(false).write(true).open(&part).map_err(failed(&part))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(ExportError::Busy(path)),
            Err(TryLockError::Error(e)) => return Err(failed(&part)(e)),
        }
        // truncate only after locking, because another process may have written the file until then
        file.set_len(0).map_err(failed(&part))?;
        Ok(Self::File { file: File::from_std(file), path, part, written: 0 })
    }

    /// Appends bytes to the output.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), ExportError> {
        match self {
            Self::File { file, part, written, .. } => {
                file.write_all(bytes).await.map_err(failed(part))?;
                *written += bytes.len() as u64;
            }
            Self::Stream { out, path, written } => {
                out.write_all(bytes).await.map_err(failed(path))?;
                *written += bytes.len() as u64;
            }
        }
        Ok(())
    }

    /// Discards all written bytes. Fails if standard output, a device or a named pipe has already received bytes.
    pub(super) async fn restart(&mut self) -> Result<(), ExportError> {
        match self {
            Self::File { file, part, written, .. } => {
                file.flush().await.map_err(failed(part))?;
                file.set_len(0).await.map_err(failed(part))?;
                file.seek(SeekFrom::Start(0)).await.map_err(failed(part))?;
                *written = 0;
                Ok(())
            }
            Self::Stream { written: 0, .. } => Ok(()),
            Self::Stream { .. } => Err(ExportError::Restarted),
        }
    }

    /// Renames the complete file, and returns its location for the user.
    pub(super) async fn finish(self) -> Result<String, ExportError> {
        match self {
            Self::File { mut file, path, part, .. } => {
                file.flush().await.map_err(failed(&part))?;
                file.sync_all().await.map_err(failed(&part))?;
                fs::rename(&part, &path).await.map_err(failed(&path))?;
                Ok(path.display().to_string())
            }
            Self::Stream { mut out, path, .. } => {
                out.flush().await.map_err(failed(&path))?;
                Ok(path.display().to_string())
            }
        }
    }

    /// Closes an incomplete output. A file with written bytes stays, unless `discard` is set.
    pub(super) async fn abandon(self, discard: bool) {
        let Self::File { mut file, path, part, written } = self else { return };
        if discard || written == 0 {
            if let Err(e) = fs::remove_file(&part).await {
                output::note(&format!("failed to delete {}: {e}", part.display()));
            }
            return;
        }
        if let Err(e) = file.flush().await {
            output::note(&format!("{}: {e}", part.display()));
        }
        output::note(&format!(
            "{} was not written; the first {} bytes of the incomplete file are in {}",
            path.display(),
            output::grouped(written),
            part.display()
        ));
    }
}

fn failed(path: &Path) -> impl Fn(io::Error) -> ExportError {
    let path = path.to_path_buf();
    move |source| ExportError::File { path: path.clone(), source }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{read, read_dir, symlink_metadata, write},
        os::unix::fs::{FileTypeExt, symlink},
        process::Command,
    };

    use super::*;

    #[tokio::test]
    async fn a_named_pipe_receives_the_bytes_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        let reading = tokio::task::spawn_blocking({
            let path = path.clone();
            move || read(path).unwrap()
        });
        let mut sink = Sink::open(Some(path.clone())).await.unwrap();
        sink.write(b"new").await.unwrap();
        assert!(matches!(sink.restart().await, Err(ExportError::Restarted)));
        sink.finish().await.unwrap();
        assert_eq!(reading.await.unwrap(), b"new");
        assert!(symlink_metadata(&path).unwrap().file_type().is_fifo());
    }

    #[tokio::test]
    async fn a_link_stays_and_its_file_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("a.csv"), dir.path().join("latest.csv"));
        write(&path, "before").unwrap();
        symlink(&path, &link).unwrap();
        let mut sink = Sink::open(Some(link.clone())).await.unwrap();
        sink.write(b"new").await.unwrap();
        sink.finish().await.unwrap();
        assert!(symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(read(&path).unwrap(), b"new");
    }

    #[tokio::test]
    async fn a_file_gets_its_name_only_when_it_is_complete() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv");
        write(&path, "before").unwrap();
        let mut sink = Sink::open(Some(path.clone())).await.unwrap();
        sink.write(b"old").await.unwrap();
        sink.restart().await.unwrap();
        sink.write(b"ne").await.unwrap();
        sink.write(b"w").await.unwrap();
        assert_eq!(read(&path).unwrap(), b"before");
        sink.finish().await.unwrap();
        assert_eq!(read(&path).unwrap(), b"new");
        assert_eq!(read_dir(dir.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn the_bytes_of_an_incomplete_file_stay_in_a_part_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv");
        for (bytes, discard, left) in [(&b"ab"[..], false, true), (b"ab", true, false), (b"", false, false)] {
            let mut sink = Sink::open(Some(path.clone())).await.unwrap();
            sink.write(bytes).await.unwrap();
            sink.abandon(discard).await;
            assert_eq!(dir.path().join("a.csv.part").exists(), left);
            assert!(!path.exists());
        }
    }

    #[tokio::test]
    async fn two_processes_can_not_write_the_same_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv");
        let _first = Sink::open(Some(path.clone())).await.unwrap();
        assert!(matches!(Sink::open(Some(path)).await, Err(ExportError::Busy(_))));
        assert!(matches!(Sink::open(Some(dir.path().into())).await, Err(ExportError::File { .. })));
    }
}
