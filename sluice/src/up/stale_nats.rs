//! Stops a stale nats-server, which a killed `sluice up` has left running. Two servers on one folder would damage the
//! data, so the next `sluice up` stops the stale server before the start of a new server. The operating system reuses
//! pids. So [`stop`] signals the process in the pid file only if this process is a nats-server with the configuration
//! file of the folder.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::time::{Instant, interval};

use super::error::UpError;

/// The time limit of each step: of the graceful stop after SIGTERM, and of the end after SIGKILL.
const GRACE: Duration = Duration::from_secs(10);
/// The interval at which [`stop`] checks the process and signals it again.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Stops the process in the pid file, if this process is a nats-server of this folder. Then deletes the pid file.
pub(super) async fn stop(pid_file: &Path, config: &Path) -> Result<(), UpError> {
    let text = match fs::read_to_string(pid_file) {
        Ok(text) => text,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(UpError::file(pid_file)(e)),
    };
    if let Some(pid) = parse(&text) {
        let mut ticks = interval(POLL_INTERVAL);
        for signal in [Signal::SIGTERM, Signal::SIGKILL] {
            let give_up = Instant::now() + GRACE;
            while is_ours(&command_line(pid), config) {
                match kill(Pid::from_raw(pid), signal) {
                    Ok(()) | Err(Errno::ESRCH) => {}
                    Err(e) => return Err(UpError::file(&proc(pid))(e.into())),
                }
                ticks.tick().await;
                if Instant::now() >= give_up {
                    break;
                }
            }
        }
    }
    match fs::remove_file(pid_file) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(UpError::file(pid_file)(e)),
        _ => Ok(()),
    }
}

fn parse(text: &str) -> Option<i32> {
    text.trim().parse().ok().filter(|pid| *pid > 1)
}

fn proc(pid: i32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}"))
}

/// Returns the arguments of a process, each terminated by a zero byte; empty if the process does not exist or this
/// process may not read them.
fn command_line(pid: i32) -> Vec<u8> {
    fs::read(proc(pid).join("cmdline")).unwrap_or_default()
}

fn is_ours(command_line: &[u8], config: &Path) -> bool {
    let mut arguments = command_line.split(|byte| *byte == 0);
    let program = arguments.next().and_then(|program| program.rsplit(|byte| *byte == b'/').next());
    let wanted = config.as_os_str().as_encoded_bytes();
    program.is_some_and(|name| name.starts_with(b"nats-server")) && arguments.any(|argument| argument == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_nats_server_with_the_configuration_of_the_folder_is_recognized() {
        let config = Path::new("/data/nats/nats-server.conf");
        let ours = |line: &str| is_ours(line.replace(' ', "\0").as_bytes(), config);
        assert!(ours("/usr/bin/nats-server -c /data/nats/nats-server.conf "));
        assert!(ours("nats-server-2.15 --config /data/nats/nats-server.conf "));
        assert!(!ours("/usr/bin/nats-server -c /data/nats/nats-server.conf.old "));
        assert!(!ours("/usr/bin/nats-server -c /other/nats-server.conf "));
        assert!(!ours("vi /data/nats/nats-server.conf "));
        assert!(!ours(""));
    }

    #[test]
    fn a_pid_file_never_names_a_process_group_or_init() {
        assert_eq!(parse("4711\n"), Some(4711));
        for bad in ["", "x", "0", "1", "-1", "99999999999"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[tokio::test]
    async fn a_pid_file_of_another_process_is_deleted_and_the_process_keeps_running() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let mut other = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        fs::write(&file, other.id().to_string()).unwrap();
        stop(&file, Path::new("/x.conf")).await.unwrap();
        assert!(!file.exists());
        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
        stop(&file, Path::new("/x.conf")).await.unwrap();
    }
}
