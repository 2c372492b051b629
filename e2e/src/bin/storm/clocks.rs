//! Turns the clocks of services with libfaketime, which reads the offset of each service from another file.

use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
};

use e2e::Setting;

/// The variable with the path of the library.
const NAMED_BY: &str = "SLUICE_FAKETIME";
/// Where Debian installs the library.
const INSTALLED: [&str; 2] =
    ["/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1", "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1"];

/// The path of the library, if the machine has it.
pub(crate) fn library() -> Option<PathBuf> {
    let named = std::env::var_os(NAMED_BY).filter(|path| !path.is_empty()).map(PathBuf::from);
    named.into_iter().chain(INSTALLED.map(PathBuf::from)).find(|path| path.is_file())
}

/// The clock of one service.
#[derive(Clone, Debug)]
pub(crate) struct ServiceClock {
    file: PathBuf,
}

impl ServiceClock {
    /// Creates the file of a right clock.
    pub(crate) fn new(folder: &Path, service: &str) -> Self {
        let clock = Self { file: folder.join(format!("{service}.clock")) };
        clock.set(0);
        clock
    }

    /// Sets the clock this many seconds ahead, or behind if negative. The service sees it within a second.
    pub(crate) fn set(&self, seconds: i64) {
        // the library reads the file at any time, so it is replaced and never half written
        let new = self.file.with_extension("new");
        let written = fs::write(&new, format!("{seconds:+}\n")).and_then(|()| fs::rename(&new, &self.file));
        written.expect("the storm's folder is writable");
    }

    /// The environment of the service.
    pub(crate) fn settings(&self, library: &Path) -> Vec<Setting> {
        vec![
            ("LD_PRELOAD", library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.display().to_string()),
            ("FAKETIME_CACHE_DURATION", "1".to_owned()),
            // timeouts and intervals go on as they are: only the time of day is wrong
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]
    }
}

/// The offsets of a wrong clock, in seconds.
pub(crate) const OFFSETS: [i64; 6] = [-3600, -90, -10, 10, 90, 3600];
/// How long a clock is wrong, in milliseconds.
pub(crate) const WRONG_FOR: Range<u64> = 5_000..25_000;
