//! `cargo xtask lint-ops`: static checks of `ops/`, workflows, scripts, documents and words. None of them needs a container
//! engine, a cluster or a hosted runner.
//!
//! Each check is one step. A finding fails the step, and so does a missing file.

mod actions;
mod circles;
mod containers;
mod dependencies;
mod doc_comments;
mod files;
mod kubernetes;
mod links;
mod observability;
mod paths;
mod rust_paths;
mod rust_tokens;
mod scripts;
mod words;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail};

use crate::layout::Layout;
use crate::run::Run;
use crate::steps::Steps;
use crate::tools::lint::Linters;
use crate::tools::{nats, promtool};

/// The checkout and the programs that the checks run.
struct Context<'a> {
    layout: &'a Layout,
    linters: Linters,
    promtool: PathBuf,
    nats: PathBuf,
}

type Check = fn(&Context<'_>) -> Result<()>;

const CHECKS: [(&str, Check); 18] = [
    ("ops: compose", containers::compose),
    ("ops: Dockerfile", containers::dockerfiles),
    ("ops: NATS", containers::nats),
    ("ops: Kubernetes", kubernetes::manifests),
    ("ops: Prometheus", observability::prometheus),
    ("ops: rules for Kubernetes", observability::kubernetes_rules),
    ("ops: dashboards", observability::dashboards),
    ("ops: workflows", actions::workflows),
    ("ops: pinned actions", actions::pinned),
    ("ops: shell scripts", scripts::shell),
    ("ops: YAML", scripts::yaml),
    ("ops: JSON", scripts::json),
    ("docs: links", links::links),
    ("docs: paths", paths::paths),
    ("dependencies", dependencies::dependencies),
    ("words", words::words),
    ("doc comments", doc_comments::doc_comments),
    ("circles of files", circles::circles),
];

/// Checks that run scripts of `ops/` again and again, which takes half a minute of CPU time.
const SLOW_CHECKS: [(&str, Check); 3] = [
    ("ops: Kubernetes' own checks", kubernetes::own_tests),
    ("ops: deployment scripts", kubernetes::deploy_scripts),
    ("ops: tools in a cluster", kubernetes::tool),
];

/// Runs `cargo xtask lint-ops`.
pub(crate) fn lint_ops(layout: &Layout) -> Result<ExitCode> {
    let started = Instant::now();
    let mut steps = Steps::default();
    let nats = steps.run_parallel("nats-server", || nats::server(layout));
    let promtool = steps.run_parallel("promtool", || promtool::program(layout));
    check(layout, &mut steps, nats.as_deref(), promtool.as_deref(), true);
    Ok(steps.summary(started.elapsed()))
}

/// Runs the checks in parallel with other steps, and the slow ones too if `slow` is true.
pub(crate) fn check(layout: &Layout, steps: &mut Steps, nats: Option<&Path>, promtool: Option<&Path>, slow: bool) {
    let linters = steps.run_parallel("ops: tools", || Linters::ensure(layout));
    let (Some(linters), Some(nats), Some(promtool)) = (linters, nats, promtool) else {
        return steps.skip("ops", "a program that it needs is missing");
    };
    let context = Context { layout, linters, promtool: promtool.to_path_buf(), nats: nats.to_path_buf() };
    let slow_checks = SLOW_CHECKS.iter().filter(|_| slow);
    for (name, check) in CHECKS.iter().chain(slow_checks) {
        steps.run_parallel(name, || check(&context));
    }
}

impl Context<'_> {
    fn root(&self) -> &Path {
        &self.layout.root
    }

    /// A program of the checks, started in the root of the checkout.
    fn program(&self, name: &str) -> Result<Run> {
        Ok(Run::new(name, self.linters.program(name)?).dir(self.root()))
    }

    /// A checker written in Python, started in the root of the checkout.
    fn checker(&self, name: &str) -> Run {
        Run::new(name, self.linters.checker(name)).dir(self.root())
    }

    /// The log file of a check's output.
    fn log(&self, name: &str) -> PathBuf {
        self.layout.log(&format!("lint-{name}"))
    }

    /// A path relative to the root of the checkout.
    fn short<'p>(&self, path: &'p Path) -> std::path::Display<'p> {
        path.strip_prefix(self.root()).unwrap_or(path).display()
    }
}

/// Prints each finding on a line and fails when there is one.
fn none(findings: &[String]) -> Result<()> {
    if findings.is_empty() {
        return Ok(());
    }
    for finding in findings {
        eprintln!("    {finding}");
    }
    bail!("{} found, the first: {}", findings.len(), findings[0])
}
