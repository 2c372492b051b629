//! `cargo xtask containers`: builds the images, starts `compose.yaml` in a real engine, and shows what it promises.
//!
//! With DOCKER_HOST, the engine named there is used, and pulls what it lacks. Without, one of our own is started, whose
//! public images are stand-ins made of Debian packages and the machine's own tools (`ops/compose/local`).

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

/// The command of its own.
pub(crate) fn containers(layout: &Layout) -> Result<ExitCode> {
    let started = Instant::now();
    let mut steps = Steps::default();
    check(layout, &mut steps);
    Ok(steps.summary(started.elapsed()))
}

/// All of it, step by step.
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
    steps.run("containers: images are small and have no rights", || images::check(engine))
}

fn run(stack: &Stack<'_>, steps: &mut Steps) {
    steps.run("containers: nothing starts without secrets", || stack.refuses_without_secrets());
    if steps.run("containers: the stack is healthy", || stack.up(&[])).is_none() {
        return steps.skip("containers: what it promises", "it isn't healthy");
    }
    steps.run("containers: nobody may sign in without SLUICE_DEMO or an issuer", || stack.refuses_without_issuer());
    steps.run("containers: the demo isn't for other machines", || stack.refuses_the_demo_for_others());
    steps.run("containers: running ones have no rights", || stack.have_no_rights());
    steps.run("containers: a person exports through the published port", || deliver::through_the_port(stack));
    steps.run("containers: nothing else can be reached", || reach::only_the_door(stack));
    steps.run("containers: three exporters and two gateways share", || share::among_three(stack));
    steps.run("containers: an exporter that is stopped or killed loses nothing", || share::survives(stack));
    steps.run("containers: backups by the clock and by hand", || backup::makes(stack));
    steps.run("containers: what was lost comes back out of a backup", || backup::brings_back(stack));
}
