//! The web tests on a real Sluice: the SDK in Node and the page in Chromium. Each starts with a new data folder and fails
//! when a process of Sluice still runs at the end.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::datasets;
use crate::layout::Layout;
use crate::run::{self, Run, Running};

const READY_WITHIN: Duration = Duration::from_secs(60);
const STOPPED_WITHIN: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(100);

/// The scale of `lineitem` whose CSV has more than 1 GB.
const HEAVY_SCALE: f64 = 1.4;

#[derive(Debug)]
pub(crate) struct Browser<'a> {
    pub(crate) layout: &'a Layout,
    pub(crate) nats: &'a Path,
    pub(crate) chromium: &'a Path,
    /// Whether to run the slow tests too.
    pub(crate) slow: bool,
    /// Whether to run the tests on a file of 1 GB too.
    pub(crate) large: bool,
    /// Whether every connection to a gateway runs through a proxy that delays and stalls messages at random.
    pub(crate) jitter: bool,
}

/// Runs the SDK's tests in Node. The tests start Sluice themselves.
pub(crate) fn check_sdk(browser: &Browser<'_>) -> Result<()> {
    script(browser, "test:integration").quiet(&browser.layout.log("sdk-test"))
}

/// Starts Sluice, runs the page's end-to-end tests against it, and stops it.
pub(crate) fn check(browser: &Browser<'_>) -> Result<()> {
    let data_dir = browser.layout.own().join(format!("browser-{}", std::process::id()));
    let checked = with_data(browser, &data_dir);
    let removed = fs::remove_dir_all(&data_dir);
    checked?;
    removed.with_context(|| format!("{} can't be removed", data_dir.display()))
}

fn with_data(browser: &Browser<'_>, data_dir: &Path) -> Result<()> {
    let layout = browser.layout;
    datasets::seed(layout, data_dir)?;
    let heavy = if browser.large { heavy_datasets(layout)? } else { PathBuf::new() };
    let port = free_port()?;
    let log = layout.log("browser-sluice");
    let mut sluice = Run::new("Sluice", layout.sluice(false))
        .args(["up", "--port", &port.to_string(), "--data-dir"])
        .arg(data_dir)
        .arg("--catalog")
        .arg(datasets::catalog(data_dir))
        .env("SLUICE_NATS_SERVER", browser.nats)
        .env("SLUICE_WEB_DIR", layout.page())
        // without a daily grant, the tests' balances don't change at midnight
        .env("SLUICE_CREDITS__DAILY_GRANT", "0")
        // one test opens sign-in links, at a Sluice of its own
        .env("SLUICE_GATEWAY__IDENTITY__LOCAL__SIGN_IN", "anyone")
        .spawn_quiet(&log)?;
    let tested = until_ready(&mut sluice, port).and_then(|()| {
        script(browser, "e2e")
            .env("SLUICE_URL", format!("http://127.0.0.1:{port}"))
            .env("SLUICE_DATA_DIR", data_dir)
            .env("SLUICE_HEAVY_DATASETS", heavy)
            .quiet(&layout.log("browser-test"))
    });
    let stopped = stop(&mut sluice);
    if tested.is_err() || stopped.is_err() {
        run::show(&log);
    }
    tested.and(stopped)
}

/// The longest delay of one message through the jittering proxy, milliseconds.
const JITTER_MS: &str = "300";

/// A script of `web/package.json`, with the paths of the programs that it may start.
fn script(browser: &Browser<'_>, name: &str) -> Run {
    let run = Run::new(format!("npm run {name}"), "npm")
        .args(["run", name])
        .dir(&browser.layout.web())
        .env("SLUICE_BIN", browser.layout.sluice(false))
        .env("SLUICE_NATS_SERVER", browser.nats)
        .env("CHROMIUM_PATH", browser.chromium);
    let run = if browser.slow { run } else { run.env("SLUICE_QUICK", "1") };
    if browser.jitter { run.env("SLUICE_JITTER_MS", JITTER_MS) } else { run }
}

/// Generates the heavy datasets, or finds those of an earlier run.
fn heavy_datasets(layout: &Layout) -> Result<PathBuf> {
    let folder = layout.own().join("tpch").join("browser");
    if !folder.join("lineitem.parquet").exists() {
        datasets::tpch(layout, HEAVY_SCALE, &folder)?;
    }
    Ok(folder)
}

/// Below the ephemeral ports of the system, so that no other program gets one of these between the check and the start.
const PORTS: std::ops::Range<u16> = 31_300..32_300;

pub(crate) fn free_port() -> Result<u16> {
    let first = u16::try_from(std::process::id() % PORTS.len() as u32).context("there are no more ports")?;
    let mut ports = PORTS.cycle().skip(first.into()).take(PORTS.len());
    ports.find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()).context("no port is unused")
}

pub(crate) fn until_ready(sluice: &mut Running, port: u16) -> Result<()> {
    let deadline = Instant::now() + READY_WITHIN;
    let mut last = "no answer".to_owned();
    while Instant::now() < deadline {
        if let Some(ended) = sluice.ended() {
            ended?;
            bail!("Sluice ended before it was ready")
        }
        match ready(port) {
            Ok(200) => return Ok(()),
            Ok(status) => last = format!("status {status}"),
            Err(error) => last = error.to_string(),
        }
        thread::sleep(PAUSE);
    }
    bail!("Sluice wasn't ready within {} s: GET /readyz gave {last}", READY_WITHIN.as_secs())
}

/// The status of `GET /readyz`.
fn ready(port: u16) -> Result<u16> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(64 * 1024).read_to_string(&mut answer)?;
    status(&answer).context("the answer isn't HTTP")
}

fn status(answer: &str) -> Option<u16> {
    let mut words = answer.lines().next()?.split(' ');
    words.next().filter(|version| version.starts_with("HTTP/1."))?;
    words.next()?.parse().ok()
}

/// Sends Ctrl-C, and fails unless Sluice ends with exit code 0 and all its child processes have ended.
pub(crate) fn stop(sluice: &mut Running) -> Result<()> {
    if let Some(ended) = sluice.ended() {
        return ended.and_then(|()| bail!("Sluice ended by itself"));
    }
    let id = i32::try_from(sluice.id()).context("a process id out of range")?;
    let children = descendants(id, &processes()?);
    kill(Pid::from_raw(id), Signal::SIGINT).context("Sluice can't be interrupted")?;
    let deadline = Instant::now() + STOPPED_WITHIN;
    loop {
        if let Some(ended) = sluice.ended() {
            ended?;
            break;
        }
        if Instant::now() > deadline {
            bail!("Sluice still ran {} s after Ctrl-C", STOPPED_WITHIN.as_secs())
        }
        thread::sleep(PAUSE);
    }
    let left: Vec<_> = processes()?.into_iter().filter(|now| children.iter().any(|then| then.is(now))).collect();
    if let Some(process) = left.first() {
        let _ = kill(Pid::from_raw(process.id), Signal::SIGKILL);
        bail!("Sluice ended and left {} (process {}) behind", process.name, process.id)
    }
    Ok(())
}

#[derive(Debug, Clone, PartialEq)]
struct Process {
    id: i32,
    parent: i32,
    name: String,
}

impl Process {
    /// Compares without the parent: an orphan gets another parent.
    fn is(&self, other: &Self) -> bool {
        self.id == other.id && self.name == other.name
    }
}

/// All running processes of the machine, from `/proc` or, where there is none, from `ps`.
fn processes() -> Result<Vec<Process>> {
    if let Ok(entries) = fs::read_dir("/proc") {
        let stats = entries.flatten().filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
        return Ok(stats.filter_map(|stat| from_stat(&stat)).collect());
    }
    let listing = Run::new("ps", "ps").args(["-axo", "pid=,ppid=,stat=,comm="]).output()?;
    Ok(listing.lines().filter_map(from_ps).collect())
}

/// Parses `42 (a name) S 1 …`. The name may contain parentheses. A zombie counts as ended.
fn from_stat(stat: &str) -> Option<Process> {
    let (id, rest) = stat.split_once(" (")?;
    let (name, rest) = rest.rsplit_once(") ")?;
    let mut words = rest.split(' ');
    words.next().filter(|state| *state != "Z")?;
    Some(Process { id: id.parse().ok()?, parent: words.next()?.parse().ok()?, name: name.to_owned() })
}

fn from_ps(line: &str) -> Option<Process> {
    let mut words = line.split_whitespace();
    let (id, parent) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    words.next().filter(|state| !state.starts_with('Z'))?;
    Some(Process { id, parent, name: words.collect::<Vec<_>>().join(" ") })
}

fn descendants(root: i32, all: &[Process]) -> Vec<Process> {
    let mut found: Vec<Process> = Vec::new();
    let mut parents = vec![root];
    while let Some(parent) = parents.pop() {
        for child in all.iter().filter(|process| process.parent == parent) {
            parents.push(child.id);
            found.push(child.clone());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(id: i32, parent: i32, name: &str) -> Process {
        Process { id, parent, name: name.to_owned() }
    }

    #[test]
    fn processes_are_read_from_both_forms() {
        assert_eq!(from_stat("42 (odd) name) S 7 42 42 0"), Some(process(42, 7, "odd) name")));
        assert_eq!(from_stat("42 (gone) Z 7 42"), None);
        assert_eq!(from_ps("  42     7 S+   /usr/bin/nats server"), Some(process(42, 7, "/usr/bin/nats server")));
        assert_eq!(from_ps("42 7 Z+ x"), None);
        assert_eq!(from_ps(""), None);
    }

    #[test]
    fn descendants_reach_to_grandchildren() {
        let all = [
            process(1, 0, "init"),
            process(5, 1, "sluice"),
            process(6, 5, "a"),
            process(7, 6, "b"),
            process(8, 1, "c"),
        ];
        let names: Vec<_> = descendants(5, &all).into_iter().map(|process| process.name).collect();
        assert_eq!(names, ["a", "b"]);
    }

    #[test]
    fn the_status_is_in_the_first_line() {
        assert_eq!(status("HTTP/1.1 200 OK\r\n\r\n"), Some(200));
        assert_eq!(status("HTTP/1.1 503 Service Unavailable\r\n"), Some(503));
        assert_eq!(status("SSH-2.0-x"), None);
        assert_eq!(status(""), None);
    }
}
