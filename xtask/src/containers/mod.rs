//! `cargo xtask containers`: builds the images, starts `compose.yaml` in a real engine, and checks it.
//!
//! With DOCKER_HOST, it uses that engine, which pulls public images. Otherwise it starts an engine whose public images are
//! stand-ins, built from Debian packages and the machine's tools (`ops/compose/local`).

mod backup;
mod deliver;
mod http;
mod images;
mod reach;
mod share;
mod stack;
mod stand_ins;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;

use crate::layout::Layout;
use crate::steps::Steps;
use crate::tools::docker::Engine;
use crate::tools::lint::Linters;
use stack::Stack;

/// Runs `cargo xtask containers`.
pub(crate) fn containers(layout: &Layout) -> Result<ExitCode> {
    let started = Instant::now();
    let mut steps = Steps::default();
    check(layout, &mut steps);
    Ok(steps.summary(started.elapsed()))
}

/// Builds the images, starts the stack and runs every check.
pub(crate) fn check(layout: &Layout, steps: &mut Steps) {
    let compose = steps.run("containers: Compose", || Linters::ensure(layout)?.compose());
    let engine = steps.run("containers: engine", || Engine::start(layout));
    let (Some(compose), Some(engine)) = (compose, engine) else {
        return steps.skip("containers", "a program that it needs is missing");
    };
    if build(layout, &engine, steps).is_some() {
        let stack = Stack::new(layout, &engine, compose);
        run(&stack, steps);
        steps.run("containers: stop", || stack.down());
    } else {
        steps.skip("containers: the stack", "its images could not be built");
    }
    steps.run("containers: engine stops", || engine.stop());
}

fn build(layout: &Layout, engine: &Engine, steps: &mut Steps) -> Option<()> {
    if engine.is_own() {
        steps.run("containers: stand-ins for public images", || stand_ins::build(layout, engine))?;
    }
    steps.run("containers: images", || images::build(layout, engine))?;
    steps.run("containers: image sizes and rights", || images::check(engine))
}

fn run(stack: &Stack<'_>, steps: &mut Steps) {
    steps.run("containers: without secrets nothing starts", || stack.refuses_without_secrets());
    if steps.run("containers: the stack is healthy", || stack.up(&[])).is_none() {
        return steps.skip("containers: checks", "it isn't healthy");
    }
    steps.run("containers: without SLUICE_DEMO or an issuer the gateway refuses to start", || {
        stack.refuses_without_issuer()
    });
    steps.run("containers: the demo refuses a public address", || stack.refuses_the_demo_on_public_addresses());
    steps.run("containers: processes run without rights", || stack.check_process_rights());
    steps.run("containers: exports through the published port", || deliver::through_the_port(stack));
    steps.run("containers: no other port is reachable", || reach::only_the_published_port(stack));
    steps.run("containers: three exporters and two gateways share the work", || share::among_three(stack));
    steps.run("containers: a stopped or killed exporter loses nothing", || share::survives(stack));
    steps.run("containers: scheduled and manual backups", || backup::check_backups(stack));
    steps.run("containers: restore after data loss", || backup::check_restore(stack));
}
