//! Signals to a process and all its descendants, for servers that consist of several processes, such as PostgreSQL.

use std::fs;

use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};

/// Sends SIGKILL to a process and its descendants. A process that has ended already is no error.
pub fn kill_tree(pid: u32) {
    // the children of a dead process can no longer be found
    for process in signal_tree(pid, Signal::SIGSTOP) {
        send(process, Signal::SIGKILL);
    }
}

/// Sends SIGSTOP to a process and its descendants, which pauses them until [`resume_tree`].
pub fn pause_tree(pid: u32) {
    signal_tree(pid, Signal::SIGSTOP);
}

/// Sends SIGCONT to a process and its descendants.
pub fn resume_tree(pid: u32) {
    signal_tree(pid, Signal::SIGCONT);
}

/// Signals the process before its children, so that a stopped parent starts no child that the walk misses. Returns all
/// processes of the tree.
fn signal_tree(pid: u32, signal: Signal) -> Vec<u32> {
    send(pid, signal);
    let mut tree = vec![pid];
    for child in children(pid) {
        tree.extend(signal_tree(child, signal));
    }
    tree
}

fn send(pid: u32, signal: Signal) {
    if let Err(e) = signal::kill(Pid::from_raw(pid.cast_signed()), signal) {
        tracing::debug!(process.pid = pid, error = %e, "a process ended before a signal");
    }
}

/// The ids of the children of all threads of a process.
fn children(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>()).collect()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    fn state(pid: u32) -> Option<char> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(") ")?.1.chars().next()
    }

    #[tokio::test]
    async fn a_signal_reaches_the_children_of_a_process() {
        let mut parent =
            Command::new("sh").args(["-c", "sleep 600 & wait"]).stdin(Stdio::null()).spawn().expect("sh is installed");
        let pid = parent.id();
        let child = crate::eventually("the shell has a child", async || children(pid).first().copied()).await;
        pause_tree(pid);
        for paused in [pid, child] {
            crate::eventually("the process is stopped", async || (state(paused) == Some('T')).then_some(())).await;
        }
        resume_tree(pid);
        crate::eventually("the child runs again", async || (state(child) != Some('T')).then_some(())).await;
        kill_tree(pid);
        parent.wait().expect("a child can be awaited");
        crate::eventually("the child has ended", async || matches!(state(child), None | Some('Z')).then_some(())).await;
    }
}
