//! `cargo xtask test`: everything that CI checks, on a machine that has Rust, Node and Python.

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use anyhow::{Result, anyhow};

use crate::args::TestOptions;
use crate::browser::{self, Browser};
use crate::layout::Layout;
use crate::run::Run;
use crate::steps::Steps;
use crate::tools::python::{self, Packages};
use crate::tools::{chromium, libreoffice, nats, nextest, node, postgres, promtool, seaweed};
use crate::{containers, datasets, lint_ops, web};

/// The heavy tests' data: bytes that grow threefold while memory must not.
const HEAVY_SCALES: [u32; 2] = [1, 3];

pub(crate) fn test(layout: &Layout, options: &TestOptions) -> Result<ExitCode> {
    // Nothing below works without Node, and the servers that tests start are named once for all of them.
    node::check()?;
    nats::check_named()?;
    let started = Instant::now();
    let mut steps = Steps::default();
    let (built, beside) = thread::scope(|scope| {
        let beside = scope.spawn(|| Beside::prepare(layout));
        let built = check_and_build(layout, &mut steps);
        beside.join().map(|beside| (built, beside)).map_err(|_| anyhow!("preparing the page and the tools panicked"))
    })?;
    let Beside { steps: others, nats, postgres, weed, python, promtool, chromium, packages, page } = beside;
    steps.append(others);

    match (&built, &nats, &postgres, &weed, &python, &promtool, &packages) {
        (Some(()), Some(nats), Some(postgres), Some(weed), Some(python), Some(promtool), Some(())) => {
            let env = rust_env(layout, nats, postgres, weed, python, promtool);
            steps.run("Rust tests", || nextest(layout, &env).live());
            steps.run("doc tests", || {
                Run::cargo("cargo test --doc", &layout.root).args(["test", "--quiet", "--doc", "--workspace"]).live()
            });
            if options.full {
                heavy(layout, &mut steps, &env);
            }
        }
        _ => ["Rust tests", "doc tests"].iter().for_each(|name| steps.skip(name, "a step that it needs failed")),
    }
    match (built, nats, chromium, page) {
        (Some(()), Some(nats), Some(chromium), Some(())) => {
            let browser = Browser { layout, nats: &nats, chromium: &chromium, full: options.full };
            steps.run("SDK test", || browser::check_sdk(&browser));
            steps.run("browser test", || browser::check(&browser));
        }
        _ => ["SDK test", "browser test"].iter().for_each(|name| steps.skip(name, "a step that it needs failed")),
    }
    if options.full {
        containers::check(layout, &mut steps);
    }
    Ok(steps.summary(started.elapsed()))
}

/// Cargo's part, in sight.
fn check_and_build(layout: &Layout, steps: &mut Steps) -> Option<()> {
    let cargo = |what: &str| Run::cargo(what, &layout.root);
    steps.run("format", || cargo("cargo fmt").args(["fmt", "--all", "--", "--check"]).live());
    steps.run("clippy", || {
        cargo("cargo clippy").args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]).live()
    });
    let runner = steps.run("test runner", || nextest::ensure(layout));
    // Tests start the real binary; built here, it is there whichever package's tests ask first.
    let built = steps.run("build", || {
        cargo("cargo build").args(["build", "--workspace", "--bins"]).live()?;
        cargo("building the tests").args(["nextest", "run", "--workspace", "--no-run"]).live()
    });
    runner.and(built)
}

/// What is fetched and checked out of sight while cargo compiles.
struct Beside {
    steps: Steps,
    nats: Option<PathBuf>,
    postgres: Option<PathBuf>,
    weed: Option<PathBuf>,
    python: Option<PathBuf>,
    promtool: Option<PathBuf>,
    chromium: Option<PathBuf>,
    packages: Option<()>,
    page: Option<()>,
}

impl Beside {
    fn prepare(layout: &Layout) -> Self {
        let mut steps = Steps::default();
        let nats = steps.run_beside("nats-server", || nats::server(layout));
        let packages = steps.run_beside("page: packages", || web::install(layout).map(drop));
        let postgres = steps.run_beside("PostgreSQL", || postgres::bin(layout));
        let weed = steps.run_beside("SeaweedFS", || seaweed::weed(layout));
        let python = steps.run_beside("Python readers", || python::environment(layout, Packages::Readers));
        let promtool = steps.run_beside("promtool", || promtool::program(layout));
        let chromium = steps.run_beside("Chromium", || chromium::browser(layout));
        let mut page = None;
        if packages.is_some() {
            for (name, script) in [("page: lint", "lint"), ("page: types", "typecheck"), ("page: unit tests", "test")] {
                steps.run_beside(name, || web::script(layout, script));
            }
            page = steps.run_beside("page: build", || web::build(layout).map(drop));
        }
        lint_ops::check(layout, &mut steps, nats.as_deref(), promtool.as_deref());
        Self { steps, nats, postgres, weed, python, promtool, chromium, packages, page }
    }
}

/// What tests are told of the machine.
fn rust_env(
    layout: &Layout,
    nats: &Path,
    postgres: &Path,
    weed: &Path,
    python: &Path,
    promtool: &Path,
) -> Vec<(&'static str, PathBuf)> {
    vec![
        ("SLUICE_NATS_SERVER", nats.to_path_buf()),
        ("SLUICE_PG_BIN", postgres.to_path_buf()),
        ("SLUICE_WEED", weed.to_path_buf()),
        ("SLUICE_PYTHON", python.to_path_buf()),
        ("SLUICE_PROMTOOL", promtool.to_path_buf()),
        ("SLUICE_FLIGHTS", layout.packaged_flights()),
        ("SLUICE_BIN", layout.sluice(false)),
        ("SLUICE_WEB_DIR", layout.page()),
        ("NO_PROXY", not_by_proxy().into()),
    ]
}

/// Tests talk to servers on loopback, which no proxy reaches that this machine may have for everything else.
fn not_by_proxy() -> String {
    let named = ["NO_PROXY", "no_proxy"].into_iter().find_map(|name| env::var(name).ok()).unwrap_or_default();
    let loopback = ["127.0.0.1", "localhost"].map(str::to_owned);
    named.split(',').filter(|host| !host.is_empty()).map(str::to_owned).chain(loopback).collect::<Vec<_>>().join(",")
}

fn nextest(layout: &Layout, env: &[(&str, PathBuf)]) -> Run {
    Run::cargo("cargo nextest", &layout.root).args(["nextest", "run", "--workspace"]).envs(env)
}

/// Tests on generated data, which the default run leaves out.
fn heavy(layout: &Layout, steps: &mut Steps, env: &[(&str, PathBuf)]) {
    let folder = layout.own().join("tpch");
    let made = steps.run("heavy tests: data", || {
        HEAVY_SCALES.iter().try_for_each(|scale| {
            let folder = folder.join(format!("scale{scale}"));
            if folder.join("lineitem.parquet").exists() {
                return Ok(());
            }
            datasets::tpch(layout, f64::from(*scale), &folder)
        })
    });
    if made.is_none() {
        return steps.skip("heavy tests", "their data can't be made");
    }
    if steps.run("LibreOffice", || libreoffice::ensure(layout)).is_none() {
        return steps.skip("heavy tests", "LibreOffice, which reads workbooks back, is missing");
    }
    steps.run("heavy tests", || {
        nextest(layout, env).env("SLUICE_TPCH_DIR", &folder).args(["--profile", "heavy"]).live()
    });
}
