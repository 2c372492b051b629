//! `cargo xtask storm`: kills, freezes, full disks, wrong clocks and cut lines under load, and then each promise of Sluice.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;

use crate::args::StormOptions;
use crate::layout::Layout;
use crate::run::Run;
use crate::test::WITHOUT_ALLOCATOR;
use crate::tools::{faketime, nats, postgres, seaweed};
use crate::{test, web};

/// The exit code when a promise is broken, or a kind of fault is missing.
const EXIT_BROKEN: u8 = 1;

/// The servers of one half of a storm: the option of `storm`, and the name of the step.
pub(crate) const BACKENDS: [(&str, &str); 2] =
    [("folder", "storm over SQLite and a folder"), ("s3", "storm over PostgreSQL and S3")];

/// Fetches the servers, builds the services and the storm, and runs it over each pair of servers for half of the time.
///
/// # Errors
/// When a server can't be fetched, or the build fails.
pub(crate) fn storm(layout: &Layout, options: &StormOptions) -> Result<ExitCode> {
    web::install(layout)?;
    let mut env = vec![
        ("SLUICE_NATS_SERVER", nats::server(layout)?),
        (postgres::NAMED_BY, postgres::bin(layout)?),
        ("SLUICE_WEED", seaweed::weed(layout)?),
        ("SLUICE_FLIGHTS", layout.packaged_flights()),
        ("SLUICE_BIN", layout.sluice(false)),
        ("NO_PROXY", test::no_proxy().into()),
    ];
    env.extend(faketime::env(layout));
    Run::cargo_with_lints("building the storm", &layout.root)
        .args(["build", "--workspace", "--bins", WITHOUT_ALLOCATOR])
        .live()?;
    let mut is_broken = false;
    for (backend, name) in BACKENDS {
        if let Err(problem) = run(layout, &env, backend, name, options) {
            eprintln!("{problem:#}");
            is_broken = true;
        }
    }
    Ok(if is_broken { ExitCode::from(EXIT_BROKEN) } else { ExitCode::SUCCESS })
}

/// Runs one half of a storm.
///
/// # Errors
/// When a promise is broken, or the machine can't make a kind of fault that the options don't leave out.
pub(crate) fn run(
    layout: &Layout,
    env: &[(&str, PathBuf)],
    backend: &str,
    name: &str,
    options: &StormOptions,
) -> Result<()> {
    let seconds = (u64::from(options.minutes) * 60 / BACKENDS.len() as u64).to_string();
    let mut run = Run::new(name, layout.sluice(false).with_file_name("storm")).envs(env).args([
        "--backend",
        backend,
        "--seconds",
        &seconds,
    ]);
    if let Some(seed) = options.seed {
        run = run.args(["--seed", &seed.to_string()]);
    }
    for fault in &options.without {
        run = run.args(["--without", fault]);
    }
    if options.allow_missing {
        run = run.arg("--allow-missing");
    }
    if options.json {
        run = run.arg("--json");
    }
    run.live()
}
