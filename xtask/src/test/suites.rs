//! The tests of `cargo xtask test`, in groups that run after or beside each other.

use std::path::PathBuf;
use std::thread;

use anyhow::Result;

use super::WITHOUT_ALLOCATOR;
use super::tools::WebTools;
use crate::args::StormOptions;
use crate::browser::{self, Browser};
use crate::layout::Layout;
use crate::run::{Run, Running};
use crate::steps::Steps;
use crate::tools::{faketime, libreoffice, postgres};
use crate::{datasets, python_client, schemathesis, storm};

/// The scales of the heavy tests' data: three times the rows must not need more memory.
const HEAVY_SCALES: [u32; 2] = [1, 3];
/// Processes that keep the cores busy while tests run under load.
const BURNERS: usize = 2;
/// The tests that run on the installed PostgreSQL and, with `--slow`, again on the newest one. It is built without the library
/// for collations that the excluded test creates.
const ON_EACH_POSTGRES: &str =
    "package(exporter) & test(/^dataset::postgres::/) & not test(/only_the_same_bytes_are_the_same_tenant/)";
/// Why a step is skipped.
const PREPARATION_FAILED: &str = "a step that it needs failed";

/// The Rust tests, with the environment that names their programs; without it, a step that prepares them failed.
pub(super) struct RustTests<'a> {
    pub(super) layout: &'a Layout,
    pub(super) env: Option<Vec<(&'static str, PathBuf)>>,
    /// Whether to run the slow tests too.
    pub(super) slow: bool,
}

impl RustTests<'_> {
    /// Runs the Rust tests and the documentation tests. `suffix` ends the name of each step.
    pub(super) fn run(&self, steps: &mut Steps, suffix: &str) {
        let name = |name: &str| format!("{name}{suffix}");
        let Some(env) = &self.env else {
            return ["Rust tests", "doc tests"].iter().for_each(|test| steps.skip(&name(test), PREPARATION_FAILED));
        };
        let profile = if self.slow { "slow" } else { "default" };
        let nextest = || nextest(self.layout, env).args([WITHOUT_ALLOCATOR, "--profile", profile]);
        steps.run(&name("Rust tests"), || nextest().live());
        let newest = env.iter().find(|(name, _)| *name == postgres::NEWEST_NAMED_BY);
        if let Some((_, newest)) = newest.filter(|_| self.slow) {
            steps.run(&name("Rust tests on the newest PostgreSQL"), || {
                nextest().env(postgres::NAMED_BY, newest).args(["-E", ON_EACH_POSTGRES]).live()
            });
        }
        steps.run(&name("doc tests"), || {
            let docs = Run::cargo_with_lints("cargo test --doc", &self.layout.root);
            docs.args(["test", "--quiet", "--doc", "--workspace", WITHOUT_ALLOCATOR]).live()
        });
    }

    /// Runs the tests on generated data.
    pub(super) fn run_heavy(&self, steps: &mut Steps) {
        let Some(env) = &self.env else { return steps.skip("heavy tests", PREPARATION_FAILED) };
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

    /// Runs three minutes of the storm.
    pub(super) fn run_storm(&self, steps: &mut Steps) {
        let Some(env) = &self.env else { return steps.skip("storm", PREPARATION_FAILED) };
        let env: Vec<_> = env.iter().cloned().chain(faketime::env(self.layout)).collect();
        for (backend, name) in storm::BACKENDS {
            steps.run(name, || storm::run(self.layout, &env, backend, name, &StormOptions::default()));
        }
    }
}

/// The tests of the SDKs and of the page in a browser; without their programs, a step that prepares them failed.
pub(super) struct WebTests<'a> {
    pub(super) layout: &'a Layout,
    pub(super) tools: Option<WebTools>,
    /// Whether to run the slow tests too.
    pub(super) slow: bool,
    /// Whether to run the tests on a file of 1 GB too.
    pub(super) large: bool,
}

impl WebTests<'_> {
    /// Runs the SDK's and the browser's tests, whose output goes to logs. `suffix` ends the name of each step.
    pub(super) fn run(&self, steps: &mut Steps, suffix: &str) {
        // a file of 1 GB needs a quiet machine and a fast connection
        self.run_over(steps, suffix, self.large && suffix.is_empty(), false);
        if self.slow && suffix.is_empty() {
            self.run_python_client(steps);
        }
    }

    /// Builds the wheel of the Python client, and tests it with the oldest and the newest Python.
    fn run_python_client(&self, steps: &mut Steps) {
        const NAME: &str = "python client";
        let Some(WebTools { nats, .. }) = &self.tools else { return steps.skip(NAME, PREPARATION_FAILED) };
        steps.run_parallel(NAME, || python_client::check(self.layout, nats));
    }

    /// Runs the same tests over a network that delays and stalls messages at random.
    pub(super) fn run_with_jitter(&self, steps: &mut Steps) {
        self.run_over(steps, " with network jitter", false, true);
    }

    /// Checks the API against its description with generated requests.
    pub(super) fn run_generated(&self, steps: &mut Steps) {
        let Some(WebTools { nats, .. }) = &self.tools else { return steps.skip("schemathesis", PREPARATION_FAILED) };
        steps.run("schemathesis", || schemathesis::check(self.layout, nats));
    }

    fn run_over(&self, steps: &mut Steps, suffix: &str, large: bool, jitter: bool) {
        let name = |name: &str| format!("{name}{suffix}");
        let Some(WebTools { nats, chromium }) = &self.tools else {
            return ["SDK test", "browser test"].iter().for_each(|test| steps.skip(&name(test), PREPARATION_FAILED));
        };
        let browser = Browser { layout: self.layout, nats, chromium, slow: self.slow, large, jitter };
        steps.run_parallel(&name("SDK test"), || browser::check_sdk(&browser));
        steps.run_parallel(&name("browser test"), || browser::check(&browser));
    }
}

/// Runs all tests `runs` times while other processes use both cores.
pub(super) fn run_under_load(rust: &RustTests<'_>, web: &WebTests<'_>, steps: &mut Steps, runs: u32) {
    let burners: Result<Vec<_>> = (0..BURNERS).map(|_| burner()).collect();
    let Some(_burners) = steps.run("load", || burners) else {
        return steps.skip("tests under load", "the load can't be started");
    };
    for run in 1..=runs {
        let suffix = format!(" under load, run {run} of {runs}");
        let mut beside = Steps::default();
        thread::scope(|scope| {
            scope.spawn(|| web.run(&mut beside, &suffix));
            rust.run(steps, &suffix);
        });
        steps.append(beside);
    }
}

/// A process that uses one core until it is dropped.
fn burner() -> Result<Running> {
    Run::new("a busy loop", "sh").args(["-c", "while :; do :; done"]).spawn()
}

/// The runner of Rust tests.
pub(super) fn nextest(layout: &Layout, env: &[(&str, PathBuf)]) -> Run {
    Run::cargo_with_lints("cargo nextest", &layout.root).args(["nextest", "run", "--workspace"]).envs(env)
}
