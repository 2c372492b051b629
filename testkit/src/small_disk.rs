//! A file system of a few MiB that a test fills and frees. It has its own mount namespace, and disappears when the
//! value is dropped.

use std::{
    env,
    fs::{self, File},
    io::{BufRead, BufReader, ErrorKind, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use nix::unistd::Uid;
use tempfile::TempDir;

/// The variable with which a developer states that the machine permits no mounts. A test that needs a mount then tests
/// nothing and passes.
const NO_MOUNTS: &str = "SLUICE_NO_MOUNTS";

/// Whether the machine permits a mount in a new namespace. Prints a line and returns false where the variable
/// `SLUICE_NO_MOUNTS` says that it does not.
///
/// # Panics
/// When the machine permits no mount and the variable is not set: a test that did not run must not pass in silence.
#[must_use]
#[expect(clippy::print_stdout, reason = "tells that a test did not run")]
pub fn permits_mounts() -> bool {
    if env::var_os(NO_MOUNTS).is_some_and(|value| !value.is_empty()) {
        println!("NOT TESTED: {NO_MOUNTS} is set, and this test needs a mount");
        return false;
    }
    let probe = Command::new("unshare").args(["-rm", "mount", "-t", "tmpfs", "none", "/tmp"]).output();
    let permits = probe.as_ref().is_ok_and(|output| output.status.success());
    assert!(
        permits,
        "this machine permits no mount in a new user namespace ({probe:?}). Permit it, on Ubuntu with `sysctl \
         kernel.apparmor_restrict_unprivileged_userns=0`, or set {NO_MOUNTS}=1 to leave these tests out"
    );
    permits
}

/// A mounted file system of limited size.
pub struct SmallDisk {
    /// Keeps the mount namespace.
    holder: Child,
    dir: TempDir,
}

/// The file that fills a disk. Dropping the value frees the disk.
pub struct Filler(PathBuf);

impl SmallDisk {
    /// Mounts a disk with this number of MiB. Returns None where [`permits_mounts`] returns false.
    ///
    /// # Panics
    /// When the disk can't be mounted.
    #[must_use]
    pub fn mount(mib: u32) -> Option<Self> {
        if !permits_mounts() {
            return None;
        }
        let dir = tempfile::tempdir().expect("the folder for temporary files is writable");
        let script = format!(
            "mount -t tmpfs -o size={mib}m,mode=755 none '{}' && echo mounted && exec sleep infinity",
            dir.path().display()
        );
        // a user namespace has one user, and root needs several: PostgreSQL does not run as root
        let namespace: &[&str] =
            if Uid::effective().is_root() { &["-m", "--propagation", "private"] } else { &["-rm"] };
        let mut holder = Command::new("unshare")
            .args(namespace)
            .args(["sh", "-c", &script])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("`unshare` is installed");
        let mut first = String::new();
        let output = holder.stdout.take().expect("the standard output is piped");
        BufReader::new(output).read_line(&mut first).expect("a pipe is readable");
        assert_eq!(first, "mounted\n", "the disk can't be mounted");
        Some(Self { holder, dir })
    }

    /// The folder of the disk, for processes of this user in every namespace.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{}", self.holder.id(), self.dir.path().display()))
    }

    /// The folder of the disk within its namespace, for [`SmallDisk::enter`].
    pub(crate) fn inner_folder(&self) -> &Path {
        self.dir.path()
    }

    /// Returns a command that runs a program as root in the namespace of the disk. The caller adds the program and its
    /// arguments.
    pub(crate) fn enter(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-m", "-t", &self.holder.id().to_string(), "--"]);
        command
    }

    /// Fills the disk until it has no free byte.
    ///
    /// # Panics
    /// When the disk takes no further name.
    #[must_use]
    pub fn fill(&self) -> Filler {
        let filler = Filler(self.folder().join("filler"));
        let mut file = File::create(&filler.0).expect("the disk takes one more name");
        for size in [1 << 16, 1 << 12, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
        filler
    }
}

impl Filler {
    /// Fills what other processes have freed on the disk meanwhile.
    ///
    /// # Panics
    /// When the file that fills the disk is gone.
    pub fn refill(&self) {
        let mut file = File::options().append(true).open(&self.0).expect("the file that fills the disk exists");
        while file.write_all(&[0; 512]).is_ok() {}
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        match fs::remove_file(&self.0) {
            // the disk is gone before its filler
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            removed => removed.expect("the file can be deleted"),
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if let Err(e) = self.holder.kill().and_then(|()| self.holder.wait().map(drop)) {
            tracing::warn!(error = %e, "failed to end the namespace of a small disk");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_takes_no_byte_until_it_is_freed() {
        let Some(disk) = SmallDisk::mount(1) else { return };
        let file = disk.folder().join("file");
        fs::write(&file, "before").unwrap();
        let filler = disk.fill();
        assert_eq!(fs::write(disk.folder().join("other"), "x").unwrap_err().kind(), ErrorKind::StorageFull);
        fs::remove_file(&file).unwrap();
        filler.refill();
        assert_eq!(fs::write(&file, "x").unwrap_err().kind(), ErrorKind::StorageFull);
        drop(filler);
        fs::write(&file, "after").unwrap();
        assert_eq!(fs::read_to_string(file).unwrap(), "after");
    }
}
