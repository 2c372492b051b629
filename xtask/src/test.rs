//! `cargo xtask test`: everything that CI checks. The machine needs Rust, Node and Python.

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use anyhow::{Result, anyhow};

use crate::args::TestOptions;
use crate::browser::{self, Browser};
use crate::layout::Layout;
use crate::run::{Run, Running};
use crate::steps::Steps;
use crate::tools::python::{self, Packages};
use crate::tools::{chromium, libreoffice, nats, nextest, node, pgbouncer, postgres, promtool, seaweed};
use crate::{containers, datasets, lint_ops, schemathesis, web};

/// The scales of the heavy tests' data: three times the rows must not need more memory.
const HEAVY_SCALES: [u32; 2] = [1, 3];

pub(crate) fn test(layout: &Layout, options: &TestOptions) -> Result<ExitCode> {
    // Nothing below works without Node, and a wrong SLUICE_NATS_SERVER would fail every test.
    node::check()?;
    nats::check_named()?;
    let started = Instant::now();
    let mut steps = Steps::default();
    let (built, tools) = thread::scope(|scope| {
        let tools = scope.spawn(|| Tools::prepare(layout));
        let built = check_and_build(layout, &mut steps);
        tools.join().map(|tools| (built, tools)).map_err(|_| anyhow!("preparing the page and the tools panicked"))
    })?;
    let Tools { steps: parallel, rust, web } = tools;
    steps.append(parallel);
    let suites = Suites {
        rust: built.and(rust).map(|tools| rust_env(layout, &tools)),
        web: built.and(web),
        layout,
        full: options.full,
    };
    if options.under_load {
        suites.run_under_load(&mut steps, LOADED_RUNS);
        return Ok(steps.summary(started.elapsed()));
    }
    suites.run(&mut steps, "");
    if options.full {
        suites.run_heavy(&mut steps);
        suites.run_with_jitter(&mut steps);
        suites.run_generated(&mut steps);
        suites.run_under_load(&mut steps, 1);
        containers::check(layout, &mut steps);
    }
    Ok(steps.summary(started.elapsed()))
}

/// How often `--under-load` runs all tests.
const LOADED_RUNS: u32 = 3;
/// Processes that keep the cores busy meanwhile.
const BURNERS: usize = 2;

/// The tests, with what they need; `None` where a step that prepares it failed.
struct Suites<'a> {
    layout: &'a Layout,
    rust: Option<Vec<(&'static str, PathBuf)>>,
    web: Option<WebTools>,
    full: bool,
}

impl Suites<'_> {
    /// Runs the Rust tests, the doc tests, the SDK's and the browser's. `suffix` ends the name of each step.
    fn run(&self, steps: &mut Steps, suffix: &str) {
        let name = |name: &str| format!("{name}{suffix}");
        if let Some(env) = &self.rust {
            steps.run(&name("Rust tests"), || nextest(self.layout, env).live());
            if let Some((_, newest)) = env.iter().find(|(name, _)| *name == postgres::NEWEST_NAMED_BY) {
                steps.run(&name("Rust tests on the newest PostgreSQL"), || {
                    let tests = nextest(self.layout, env).env(postgres::NAMED_BY, newest);
                    tests.args(["-E", if self.full { ON_EACH_POSTGRES } else { TYPES_OF_POSTGRES }]).live()
                });
            }
            steps.run(&name("doc tests"), || {
                Run::cargo_with_lints("cargo test --doc", &self.layout.root)
                    .args(["test", "--quiet", "--doc", "--workspace"])
                    .live()
            });
        } else {
            ["Rust tests", "doc tests"].iter().for_each(|test| steps.skip(&name(test), PREPARATION_FAILED));
        }
        self.run_web(steps, suffix, false);
    }

    fn run_web(&self, steps: &mut Steps, suffix: &str, jitter: bool) {
        let name = |name: &str| format!("{name}{suffix}");
        if let Some(WebTools { nats, chromium }) = &self.web {
            // A file of 1 GB needs a quiet machine and a fast connection.
            let full = self.full && suffix.is_empty();
            let browser = Browser { layout: self.layout, nats, chromium, full, jitter };
            steps.run(&name("SDK test"), || browser::check_sdk(&browser));
            steps.run(&name("browser test"), || browser::check(&browser));
        } else {
            ["SDK test", "browser test"].iter().for_each(|test| steps.skip(&name(test), PREPARATION_FAILED));
        }
    }

    /// Runs all tests `runs` times while other processes use both cores.
    fn run_under_load(&self, steps: &mut Steps, runs: u32) {
        let burners: Result<Vec<_>> = (0..BURNERS).map(|_| burner()).collect();
        let Some(_burners) = steps.run("load", || burners) else {
            return steps.skip("tests under load", "the load can't be started");
        };
        for run in 1..=runs {
            self.run(steps, &format!(" under load, run {run} of {runs}"));
        }
    }

    /// Runs the SDK's and the browser's tests over a network that delays and stalls messages at random.
    fn run_with_jitter(&self, steps: &mut Steps) {
        self.run_web(steps, " with network jitter", true);
    }

    /// Runs generated requests against a gateway.
    fn run_generated(&self, steps: &mut Steps) {
        let Some(WebTools { nats, .. }) = &self.web else { return steps.skip("schemathesis", PREPARATION_FAILED) };
        steps.run("schemathesis", || schemathesis::check(self.layout, nats));
    }

    /// Runs the tests on generated data, which the default run leaves out.
    fn run_heavy(&self, steps: &mut Steps) {
        let Some(env) = &self.rust else { return steps.skip("heavy tests", PREPARATION_FAILED) };
        let folder = self.layout.own().join("tpch");
        let generated = steps.run("heavy tests: data", || {
            HEAVY_SCALES.iter().try_for_each(|scale| {
                let folder = folder.join(format!("scale{scale}"));
                if folder.join("lineitem.parquet").exists() {
                    return Ok(());
                }
                datasets::tpch(self.layout, f64::from(*scale), &folder)
            })
        });
        if generated.is_none() {
            return steps.skip("heavy tests", "their data can't be generated");
        }
        if steps.run("LibreOffice", || libreoffice::ensure(self.layout)).is_none() {
            return steps.skip("heavy tests", "LibreOffice, which reads the workbooks, is missing");
        }
        steps.run("heavy tests", || {
            nextest(self.layout, env).env("SLUICE_TPCH_DIR", &folder).args(["--profile", "heavy"]).live()
        });
    }
}

/// The tests that always run on the installed PostgreSQL and on the newest one: those of its types.
const TYPES_OF_POSTGRES: &str =
    "package(exporter) & test(/^dataset::postgres::tests::(types|type_values|printed|natives)/)";
/// The tests that `--full` runs on the installed PostgreSQL, and again on the newest one, which is built without the library for
/// collations that the excluded test creates.
const ON_EACH_POSTGRES: &str =
    "package(exporter) & test(/^dataset::postgres::/) & not test(/only_the_same_bytes_are_the_same_tenant/)";

const PREPARATION_FAILED: &str = "a step that it needs failed";

/// A process that uses one core until it is dropped.
fn burner() -> Result<Running> {
    Run::new("a busy loop", "sh").args(["-c", "while :; do :; done"]).spawn()
}

/// Formats, lints and builds with cargo, whose output the terminal shows.
fn check_and_build(layout: &Layout, steps: &mut Steps) -> Option<()> {
    steps.run("format", || Run::cargo("cargo fmt", &layout.root).args(["fmt", "--all", "--", "--check"]).live());
    let runner = steps.run("test runner", || nextest::ensure(layout));
    // Tests of several packages start the binary, so it is built before any test runs.
    let built = steps.run("build with lints", || {
        let cargo = |what: &str| Run::cargo_with_lints(what, &layout.root);
        cargo("cargo build").args(["build", "--workspace", "--bins"]).live()?;
        cargo("building the tests").args(["nextest", "run", "--workspace", "--no-run"]).live()
    });
    runner.and(built)
}

/// The programs that tests start, fetched while cargo compiles.
struct Tools {
    steps: Steps,
    rust: Option<RustTools>,
    web: Option<WebTools>,
}

struct RustTools {
    nats: PathBuf,
    postgres: PathBuf,
    newest_postgres: PathBuf,
    pgbouncer: PathBuf,
    weed: PathBuf,
    python: PathBuf,
    promtool: PathBuf,
}

struct WebTools {
    nats: PathBuf,
    chromium: PathBuf,
}

impl Tools {
    /// Fetches the programs, checks and builds the page, and checks `ops/`.
    fn prepare(layout: &Layout) -> Self {
        let mut steps = Steps::default();
        let nats = steps.run_parallel("nats-server", || nats::server(layout));
        let packages = steps.run_parallel("page: packages", || web::install(layout).map(drop));
        let postgres = steps.run_parallel("PostgreSQL", || postgres::bin(layout));
        let newest_postgres = steps.run_parallel("newest PostgreSQL", || postgres::newest_bin(layout));
        let pgbouncer = steps.run_parallel("PgBouncer", || pgbouncer::program(layout));
        let weed = steps.run_parallel("SeaweedFS", || seaweed::weed(layout));
        let python = steps.run_parallel("Python readers", || python::environment(layout, Packages::Readers));
        let promtool = steps.run_parallel("promtool", || promtool::program(layout));
        let chromium = steps.run_parallel("Chromium", || chromium::browser(layout));
        let mut page = None;
        if packages.is_some() {
            for (name, script) in [("page: lint", "lint"), ("page: types", "typecheck"), ("page: unit tests", "test")] {
                steps.run_parallel(name, || web::script(layout, script));
            }
            page = steps.run_parallel("page: build", || web::build(layout).map(drop));
        }
        lint_ops::check(layout, &mut steps, nats.as_deref(), promtool.as_deref());
        let web = page.and(nats.clone().zip(chromium)).map(|(nats, chromium)| WebTools { nats, chromium });
        let servers = postgres.zip(newest_postgres);
        let rust = match (packages, nats, servers, pgbouncer, weed, python, promtool) {
            (Some(()), Some(nats), Some(servers), Some(pgbouncer), Some(weed), Some(python), Some(promtool)) => {
                let (postgres, newest_postgres) = servers;
                Some(RustTools { nats, postgres, newest_postgres, pgbouncer, weed, python, promtool })
            }
            _ => None,
        };
        Self { steps, rust, web }
    }
}

/// The environment of the Rust tests: paths of programs and data.
fn rust_env(layout: &Layout, tools: &RustTools) -> Vec<(&'static str, PathBuf)> {
    vec![
        ("SLUICE_NATS_SERVER", tools.nats.clone()),
        (postgres::NAMED_BY, tools.postgres.clone()),
        (postgres::NEWEST_NAMED_BY, tools.newest_postgres.clone()),
        ("SLUICE_PGBOUNCER", tools.pgbouncer.clone()),
        ("SLUICE_WEED", tools.weed.clone()),
        ("SLUICE_PYTHON", tools.python.clone()),
        ("SLUICE_PROMTOOL", tools.promtool.clone()),
        ("SLUICE_FLIGHTS", layout.packaged_flights()),
        ("SLUICE_BIN", layout.sluice(false)),
        ("SLUICE_WEB_DIR", layout.page()),
        ("NO_PROXY", no_proxy().into()),
    ]
}

/// The machine's NO_PROXY and the loopback addresses, where the tests' servers listen.
fn no_proxy() -> String {
    let named = ["NO_PROXY", "no_proxy"].into_iter().find_map(|name| env::var(name).ok()).unwrap_or_default();
    let loopback = ["127.0.0.1", "localhost"].map(str::to_owned);
    named.split(',').filter(|host| !host.is_empty()).map(str::to_owned).chain(loopback).collect::<Vec<_>>().join(",")
}

fn nextest(layout: &Layout, env: &[(&str, PathBuf)]) -> Run {
    Run::cargo_with_lints("cargo nextest", &layout.root).args(["nextest", "run", "--workspace"]).envs(env)
}
