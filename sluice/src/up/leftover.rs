//! A nats-server that outlived a killed `sluice up` is ended before the next one starts: two on one folder would
//! damage it. Only the process that the pid file names is touched, and only when it is a nats-server on our own
//! configuration file, as pids are given again.

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

use super::UpError;

/// How long it may take to end.
const GRACE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(20);

/// Ends it, if there is one.
pub(super) async fn end(pid_file: &Path, config: &Path) -> Result<(), UpError> {
    let text = match fs::read_to_string(pid_file) {
        Ok(text) => text,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(UpError::file(pid_file)(e)),
    };
    if let Some(pid) = parse(&text) {
        let until = Instant::now() + GRACE;
        let mut looks = interval(LOOK);
        for signal in [Signal::SIGTERM, Signal::SIGKILL] {
            while is_ours(&command_line(pid), config) {
                match kill(Pid::from_raw(pid), signal) {
                    Ok(()) | Err(Errno::ESRCH) => {}
                    Err(e) => return Err(UpError::file(&proc(pid))(e.into())),
                }
                looks.tick().await;
                if Instant::now() >= until {
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

/// Its arguments, each ended by a zero byte; empty for a process that is gone, or that isn't ours to look at.
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
    fn only_a_nats_server_on_our_configuration_is_ours() {
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
    fn a_pid_is_a_number_that_names_no_group_and_not_init() {
        assert_eq!(parse("4711\n"), Some(4711));
        for bad in ["", "x", "0", "1", "-1", "99999999999"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[tokio::test]
    async fn a_file_that_names_another_process_is_removed_and_the_process_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let mut other = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        fs::write(&file, other.id().to_string()).unwrap();
        end(&file, Path::new("/x.conf")).await.unwrap();
        assert!(!file.exists());
        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
        end(&file, Path::new("/x.conf")).await.unwrap();
    }
}
