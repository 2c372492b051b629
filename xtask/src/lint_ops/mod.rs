//! `cargo xtask lint-ops`: everything that runs Sluice somewhere, checked without an engine, a cluster or a pipeline.
//!
//! Each check is a step of its own: a finding fails it, and so does a file that isn't there. What these checks can't
//! show, `cargo xtask test` shows by running it.

mod actions;
mod containers;
mod files;
mod kubernetes;
mod links;
mod observability;
mod scripts;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail};

use crate::layout::Layout;
use crate::run::Run;
use crate::steps::Steps;
use crate::tools::lint::Linters;
use crate::tools::{nats, promtool};

/// What the checks need of the machine.
struct Context<'a> {
    layout: &'a Layout,
    linters: Linters,
    promtool: PathBuf,
    nats: PathBuf,
}

type Check = fn(&Context<'_>) -> Result<()>;

const CHECKS: [(&str, Check); 16] = [
    ("ops: compose", containers::compose),
    ("ops: Dockerfile", containers::dockerfiles),
    ("ops: NATS", containers::nats),
    ("ops: Kubernetes", kubernetes::manifests),
    ("ops: Kubernetes' own checks", kubernetes::own_tests),
    ("ops: deployment scripts", kubernetes::deploy_scripts),
    ("ops: tools in a cluster", kubernetes::tool),
    ("ops: Prometheus", observability::prometheus),
    ("ops: rules for Kubernetes", observability::kubernetes_rules),
    ("ops: dashboards", observability::dashboards),
    ("ops: workflows", actions::workflows),
    ("ops: pinned actions", actions::pinned),
    ("ops: shell scripts", scripts::shell),
    ("ops: YAML", scripts::yaml),
    ("ops: JSON", scripts::json),
    ("docs: links", links::links),
];

/// The command of its own.
pub(crate) fn lint_ops(layout: &Layout) -> Result<ExitCode> {
    let started = Instant::now();
    let mut steps = Steps::default();
    let nats = steps.run_parallel("nats-server", || nats::server(layout));
    let promtool = steps.run_parallel("promtool", || promtool::program(layout));
    check(layout, &mut steps, nats.as_deref(), promtool.as_deref());
    Ok(steps.summary(started.elapsed()))
}

/// All checks, out of sight.
pub(crate) fn check(layout: &Layout, steps: &mut Steps, nats: Option<&Path>, promtool: Option<&Path>) {
    let linters = steps.run_parallel("ops: tools", || Linters::ensure(layout));
    let (Some(linters), Some(nats), Some(promtool)) = (linters, nats, promtool) else {
        return steps.skip("ops", "a program that it needs is missing");
    };
    let context = Context { layout, linters, promtool: promtool.to_path_buf(), nats: nats.to_path_buf() };
    for (name, check) in CHECKS {
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

    /// A checker written in Python, likewise.
    fn checker(&self, name: &str) -> Run {
        Run::new(name, self.linters.checker(name)).dir(self.root())
    }

    /// Where a check's output goes.
    fn log(&self, name: &str) -> PathBuf {
        self.layout.log(&format!("lint-{name}"))
    }

    /// Paths as people name them.
    fn short<'p>(&self, path: &'p Path) -> std::path::Display<'p> {
        path.strip_prefix(self.root()).unwrap_or(path).display()
    }
}

/// All findings in one line each, or nothing.
fn none(findings: &[String]) -> Result<()> {
    if findings.is_empty() {
        return Ok(());
    }
    for finding in findings {
        eprintln!("    {finding}");
    }
    bail!("{} found, the first: {}", findings.len(), findings[0])
}
