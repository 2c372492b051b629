//! Small file systems that the storm fills. They are mounted in a mount namespace of the storm's own, so that they vanish
//! with its last process.

use std::{
    env,
    fs::{self, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use crate::args::Backend;

/// The variable that marks a storm which already runs in its own namespace.
const IN_NAMESPACE: &str = "STORM_IN_NAMESPACE";
/// The time between two attempts to fill room that others have freed.
const REFILL_INTERVAL: Duration = Duration::from_millis(100);

/// A disk of the platform that can be full.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    pub(crate) name: &'static str,
    pub(crate) folder: PathBuf,
}

/// The disks and their sizes in MiB.
const SIZES: [(&str, u32); 4] = [("store", 1024), ("spool", 64), ("database", 384), ("nats", 256)];

/// Starts this program again in a mount namespace and does not return, if the machine permits that. Returns whether this
/// process is in such a namespace.
pub(crate) fn enter_namespace(backend: Backend) -> bool {
    if env::var_os(IN_NAMESPACE).is_some() {
        return true;
    }
    // PostgreSQL refuses to run as root, and a user namespace has no other user
    let ways: &[&[&str]] = match backend {
        Backend::Folder => &[&["-m", "--propagation", "private"], &["-rm"]],
        Backend::S3 => &[&["-m", "--propagation", "private"]],
    };
    for way in ways {
        let probe = Command::new("unshare").args(*way).args(["mount", "-t", "tmpfs", "none", "/tmp"]).output();
        if !probe.is_ok_and(|output| output.status.success()) {
            continue;
        }
        let Ok(program) = env::current_exe() else { return false };
        let failed =
            Command::new("unshare").args(*way).arg(program).args(env::args().skip(1)).env(IN_NAMESPACE, "1").exec();
        eprintln!("can't start `unshare`: {failed}");
    }
    false
}

/// Creates the folder of each disk below `root`, and mounts a small file system there if `mounts`.
///
/// # Panics
/// When a folder can't be created or mounted.
pub(crate) fn create(root: &Path, mounts: bool) -> Vec<Disk> {
    let disks = SIZES.map(|(name, mib)| {
        let folder = root.join(name);
        fs::create_dir(&folder).expect("the storm's folder is writable");
        if mounts {
            let size = format!("size={mib}m,mode=755");
            let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "none"]).arg(&folder).status();
            assert!(mounted.is_ok_and(|status| status.success()), "can't mount {}", folder.display());
        }
        Disk { name, folder }
    });
    disks.into()
}

impl Disk {
    fn filler(&self) -> PathBuf {
        self.folder.join("filler")
    }

    /// Leaves no room on the disk for this time or until `stops`, also where others free some.
    pub(crate) fn fill(&self, time: Duration, stops: impl Fn() -> bool) {
        let end = Instant::now() + time;
        let opened = OpenOptions::new().create(true).append(true).open(self.filler());
        let mut file = opened.expect("a disk takes one more name");
        while Instant::now() < end && !stops() {
            let mut chunk = vec![0_u8; 1024 * 1024];
            while !chunk.is_empty() {
                match file.write(&chunk) {
                    Ok(_) => {}
                    Err(e) if e.kind() == ErrorKind::Interrupted => {}
                    // down to single blocks, so that not even a small record fits
                    Err(_) => chunk.truncate(if chunk.len() > 4096 { chunk.len() / 16 } else { 0 }),
                }
            }
            std::thread::sleep(REFILL_INTERVAL);
        }
        self.free();
    }

    /// Unmounts the file system, so that its folder can be deleted.
    pub(crate) fn unmount(&self) {
        let unmounted = Command::new("umount").arg("-l").arg(&self.folder).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            eprintln!("can't unmount {}", self.folder.display());
        }
    }

    /// Deletes the file that fills the disk.
    pub(crate) fn free(&self) {
        if let Err(e) = fs::remove_file(self.filler())
            && e.kind() != ErrorKind::NotFound
        {
            eprintln!("can't free the disk {}: {e}", self.name);
        }
    }
}
