//! Runs an export in a separate child process after an earlier attempt ended without an outcome, because its process
//! died or its lease expired. For such an export, [`entity::transition::claim_shared`] returns `SetApart`.
//!
//! The exporter starts its own program again as a child process ([`parent`]), and passes the job to the child
//! ([`child`]). The death of the child harms no other export. After [`parent::MAX_CRASHES`] children have died, the
//! export fails.

mod child;
mod parent;

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

pub(crate) use self::child::Parent;
pub use self::child::is_own_process;
pub(super) use self::parent::handle;

/// The environment variable that makes an exporter run one export for its parent process, and then stop.
const VARIABLE: &str = "EXPORTER_OWN_PROCESS";

/// The command that starts the exporter's program again, as a child with the settings of this exporter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnProcess {
    /// The path of the program file.
    pub program: OsString,
    /// The command line arguments of the program, without the program itself.
    pub args: Vec<OsString>,
    /// Environment variables of the child, which replace or extend the variables of this process.
    pub env: Vec<(OsString, OsString)>,
}

impl OwnProcess {
    /// Returns the command with which this process was started.
    #[must_use]
    pub fn of_this_command() -> Self {
        Self::with_args(env::args_os().skip(1).collect())
    }

    /// Returns the command that starts the program of this process with these arguments. The arguments must make the
    /// program start an exporter with the settings of this process.
    #[must_use]
    pub fn with_args(args: Vec<OsString>) -> Self {
        // the link stays valid after an update has replaced the file of the program
        let link = Path::new("/proc/self/exe");
        let program =
            if link.exists() { link.to_owned() } else { env::current_exe().unwrap_or_else(|_| PathBuf::new()) };
        // the parent already listens on this address, so the child must not listen
        let env = vec![("SLUICE_EXPORTER__INTERNAL_LISTEN".into(), OsString::new())];
        Self { program: program.into(), args, env }
    }
}

/// The job that a parent process passes to its child, as one line of JSON.
#[derive(Debug, Serialize, Deserialize)]
struct PassedJob {
    /// The name under which the child holds the lease of its export.
    instance: String,
    /// The NATS subject of the job's message.
    subject: String,
    /// The NATS subject to which acknowledgements of the job are sent.
    reply: String,
    /// The payload of the job's message.
    payload: String,
}
