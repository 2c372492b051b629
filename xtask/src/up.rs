//! `cargo xtask up`: from a fresh checkout to a running Sluice.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::args::UpOptions;
use crate::layout::Layout;
use crate::run::Run;
use crate::test::WITHOUT_ALLOCATOR;
use crate::tools::{nats, node};
use crate::{datasets, web};

pub(crate) fn up(layout: &Layout, options: &UpOptions) -> Result<ExitCode> {
    let data_dir = layout.data_dir(options.data_dir.as_deref())?;
    // The quick checks come first: a wrong request fails before minutes of building.
    check_port(options.port)?;
    let catalog = options.catalog.as_deref().map(existing_file).transpose()?;
    nats::check_named()?;
    node::check()?;

    let demo = (catalog.is_none() && options.source.is_none()).then_some(data_dir.as_path());
    let server = prepare(layout, demo, options.release)?;
    let sluice = Run::new("Sluice", layout.sluice(options.release))
        .args(["up", "--port", &options.port.to_string(), "--data-dir"])
        .arg(&data_dir)
        .args(offered(options.source.as_deref(), catalog, &data_dir))
        .args(options.open.then_some("--open"))
        .env("SLUICE_NATS_SERVER", server)
        .env("SLUICE_WEB_DIR", layout.page());
    // Sluice replaces this process, so that it receives Ctrl-C and its exit code is the command's.
    Err(sluice.exec())
}

/// Returns the arguments that say what Sluice offers: the source, the catalog file, or the demo.
fn offered(source: Option<&str>, catalog: Option<PathBuf>, data_dir: &Path) -> Vec<OsString> {
    match source {
        Some(source) => vec![source.into()],
        None => vec!["--catalog".into(), catalog.unwrap_or_else(|| datasets::catalog(data_dir)).into()],
    }
}

/// Returns the absolute path of a file that exists.
fn existing_file(file: &Path) -> Result<PathBuf> {
    file.canonicalize().with_context(|| format!("--catalog {}", file.display()))
}

/// Builds the binary and, in parallel, the page, its packages, nats-server and, in the folder `demo`, the demo data.
/// Returns the path of nats-server.
fn prepare(layout: &Layout, demo: Option<&Path>, release: bool) -> Result<PathBuf> {
    thread::scope(|scope| {
        let mut beside = Some(scope.spawn(|| beside(layout, demo)));
        let mut build = Run::cargo("cargo build", &layout.root)
            .args(["build", "--package", "sluice"])
            .arg(if release { "--release" } else { WITHOUT_ALLOCATOR })
            .spawn()?;
        let (mut server, mut built) = (None, false);
        loop {
            // The first failure returns; dropping `build` kills the compiler.
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

fn beside(layout: &Layout, demo: Option<&Path>) -> Result<PathBuf> {
    let started = Instant::now();
    let server = nats::server(layout)?;
    let installed = web::install(layout)?;
    let built = web::build(layout)?;
    if let Some(data_dir) = demo {
        datasets::seed(layout, data_dir)?;
    }
    if installed || built {
        println!("the page is ready after {:.0} s", started.elapsed().as_secs_f64());
    }
    Ok(server)
}

/// Fails when another program listens on the port. Sluice binds the port later.
fn check_port(port: u16) -> Result<()> {
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
    fn a_source_takes_the_place_of_the_demo() {
        let args = |source, catalog: Option<&str>| offered(source, catalog.map(PathBuf::from), Path::new("data"));
        assert_eq!(args(Some("postgres://localhost/shop"), None), ["postgres://localhost/shop"]);
        assert_eq!(args(None, Some("c.toml")), ["--catalog", "c.toml"]);
        assert_eq!(args(None, None), ["--catalog", "data/datasets/catalog.toml"]);
    }

    #[test]
    fn a_port_in_use_is_named_with_the_remedy() -> Result<()> {
        let holder = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = holder.local_addr()?.port();
        let problem = check_port(port).unwrap_err().to_string();
        assert!(problem.starts_with(&format!("port {port} is taken")) && problem.contains("--port"), "{problem}");
        check_port(0)
    }
}
