//! `cargo xtask up`: from a fresh checkout to a running Sluice.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};

use crate::args::UpOptions;
use crate::layout::Layout;
use crate::run::Run;
use crate::tools::{nats, node};
use crate::{datasets, web};

pub(crate) fn up(layout: &Layout, options: &UpOptions) -> Result<ExitCode> {
    let data_dir = layout.data_dir(options.data_dir.as_deref())?;
    // What can be refused in a moment is refused before minutes of building.
    free(options.port)?;
    nats::check_named()?;
    node::check()?;

    let server = prepare(layout, &data_dir, options.release)?;
    let sluice = Run::new("Sluice", layout.sluice(options.release))
        .args(["up", "--port", &options.port.to_string(), "--data-dir"])
        .arg(&data_dir)
        .env("SLUICE_NATS_SERVER", server)
        .env("SLUICE_WEB_DIR", layout.page());
    // From here on the terminal's Ctrl-C and the exit code are Sluice's own: no process stands in between.
    Err(sluice.become_it())
}

/// Builds the binary while the page, its packages, nats-server and the data are made beside it. Returns the server.
fn prepare(layout: &Layout, data_dir: &Path, release: bool) -> Result<PathBuf> {
    thread::scope(|scope| {
        let mut beside = Some(scope.spawn(|| beside(layout, data_dir)));
        let mut build = Run::cargo("cargo build", &layout.root)
            .args(["build", "--package", "sluice"])
            .args(release.then_some("--release"))
            .spawn()?;
        let (mut server, mut built) = (None, false);
        loop {
            // Whichever fails first ends it here; the build is killed as it goes out of scope.
            if let Some(done) = beside.take_if(|thread| thread.is_finished()) {
                server = Some(done.join().map_err(|_| anyhow!("preparing the page and the tools panicked"))??);
            }
            if !built && let Some(ended) = build.ended() {
                ended?;
                built = true;
            }
            match server.take() {
                Some(server) if built => return Ok(server),
                waiting => server = waiting,
            }
            thread::sleep(PAUSE);
        }
    })
}

const PAUSE: Duration = Duration::from_millis(50);

fn beside(layout: &Layout, data_dir: &Path) -> Result<PathBuf> {
    let started = Instant::now();
    let server = nats::server(layout)?;
    let installed = web::install(layout)?;
    let built = web::build(layout)?;
    datasets::flights(layout, data_dir)?;
    if installed || built {
        println!("the page is ready after {:.0} s", started.elapsed().as_secs_f64());
    }
    Ok(server)
}

/// Tells of a taken port before anything is built. Sluice itself binds it for good later.
fn free(port: u16) -> Result<()> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            bail!("port {port} is taken: stop the program that listens there, or choose another with --port N")
        }
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            bail!("port {port} may not be used without privileges: choose one above 1023 with --port N")
        }
        Err(error) => bail!("port {port} can't be used ({error}): choose another with --port N"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_named_with_what_to_do() -> Result<()> {
        let holder = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = holder.local_addr()?.port();
        let problem = free(port).unwrap_err().to_string();
        assert!(problem.starts_with(&format!("port {port} is taken")) && problem.contains("--port"), "{problem}");
        // any that is free
        free(0)
    }
}
