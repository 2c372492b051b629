//! `cargo xtask test`: everything that CI checks. The machine needs Rust, Node and Python.

mod suites;
mod tools;

use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use anyhow::{Result, anyhow};

use self::suites::{RustTests, WebTests};
use self::tools::Tools;
pub(crate) use self::tools::no_proxy;
use crate::args::TestOptions;
use crate::containers;
use crate::layout::Layout;
use crate::run::Run;
use crate::steps::Steps;
use crate::tools::{nats, nextest, node};

/// Leaves out the allocator of release builds, which takes long to compile. The heavy tests, which measure memory, have it.
pub(crate) const WITHOUT_ALLOCATOR: &str = "--no-default-features";
/// How often `--under-load` runs all tests.
const LOADED_RUNS: u32 = 3;

/// Runs the checks in two threads, which keep both cores busy: one compiles and runs the Rust tests; the other fetches
/// programs, checks the page and `ops/`, and tests the page as soon as the binary is built.
pub(crate) fn test(layout: &Layout, options: &TestOptions) -> Result<ExitCode> {
    // Nothing below works without Node, and a wrong SLUICE_NATS_SERVER would fail every test.
    node::check()?;
    nats::check_named()?;
    let started = Instant::now();
    let slow = options.slow || options.full;
    let mut steps = Steps::default();
    let (binary_sender, binary) = mpsc::channel();
    let (tools_sender, tools) = mpsc::channel();
    let (rust, (web, beside)) = thread::scope(|scope| {
        let web = scope.spawn(move || {
            let mut beside = Steps::default();
            let Tools { rust, web } = Tools::prepare(layout, &mut beside, slow);
            // the other end is gone only after a panic, which fails the whole check
            let _ = tools_sender.send(rust);
            let is_built = binary.recv().unwrap_or(false);
            let web = WebTests { layout, tools: web.filter(|_| is_built), slow, large: options.full };
            if !options.under_load {
                web.run(&mut beside, "");
            }
            (web, beside)
        });
        let built = build(layout, &mut steps, |is_built| {
            let _ = binary_sender.send(is_built);
        });
        let tools = tools.recv().ok().flatten();
        let env = built.and(tools).map(|tools| tools::rust_env(layout, &tools));
        let rust = RustTests { layout, env, slow };
        if !options.under_load {
            rust.run(&mut steps, "");
        }
        web.join().map(|web| (rust, web)).map_err(|_| anyhow!("testing the page panicked"))
    })?;
    steps.append(beside);
    if options.under_load {
        suites::run_under_load(&rust, &web, &mut steps, LOADED_RUNS);
        return Ok(steps.summary(started.elapsed()));
    }
    if options.full {
        rust.run_heavy(&mut steps);
        rust.run_storm(&mut steps);
        let mut jittering = Steps::default();
        web.run_with_jitter(&mut jittering);
        steps.append(jittering);
        web.run_generated(&mut steps);
        suites::run_under_load(&rust, &web, &mut steps, 1);
        containers::check(layout, &mut steps);
    }
    Ok(steps.summary(started.elapsed()))
}

/// Formats, lints and builds with cargo, whose output the terminal shows. Calls `built` after the binary is built or has
/// failed to build, because the tests of the page need only the binary. Returns `None` unless all is built.
fn build(layout: &Layout, steps: &mut Steps, built: impl FnOnce(bool)) -> Option<()> {
    steps.run("format", || Run::cargo("cargo fmt", &layout.root).args(["fmt", "--all", "--", "--check"]).live());
    let runner = steps.run("test runner", || nextest::ensure(layout));
    let cargo = |what: &str| Run::cargo_with_lints(what, &layout.root);
    let binary = steps.run("build with lints", || {
        cargo("cargo build").args(["build", "--workspace", "--bins"]).arg(WITHOUT_ALLOCATOR).live()
    });
    built(binary.is_some());
    binary?;
    let tests = steps.run("build of the tests with lints", || {
        cargo("building the tests").args(["nextest", "run", "--workspace", "--no-run"]).arg(WITHOUT_ALLOCATOR).live()
    });
    runner.and(tests)
}
