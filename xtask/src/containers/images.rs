//! The images out of `ops/Dockerfile`: built, looked into, and measured.

use std::env;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::layout::Layout;
use crate::tools::docker::Engine;

/// The version in their names when they are built here.
const BUILT: &str = "test";
/// Names the version of images that are there already, such as those that a pipeline built.
const NAMED_BY: &str = "SLUICE_IMAGE_TAG";
/// Target of the Dockerfile, and the most that the image may have, MB: a quarter more than release programs had when it was
/// measured (docs/containers.md). A gateway with a data engine in it would have more.
const IMAGES: [(&str, u64); 5] =
    [("gateway", 54), ("exporter", 144), ("exporter-demo", 161), ("notifier", 79), ("sluice", 187)];
/// Programs that weren't optimised are larger, and say nothing of what is shipped.
const RELEASE: &str = "release";
/// The user of every image.
const NOBODY: &str = "65532:65532";

/// Where machines keep the certificates of the authorities that they trust; a network may have one of its own.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

fn named() -> Option<String> {
    env::var(NAMED_BY).ok().filter(|tag| !tag.is_empty())
}

/// The version in the names of the images that are tried.
pub(super) fn tag() -> String {
    named().unwrap_or_else(|| BUILT.to_owned())
}

/// How the programs are compiled: `dev` is faster, to try something.
fn profile() -> String {
    env::var("SLUICE_IMAGE_PROFILE").unwrap_or_else(|_| RELEASE.to_owned())
}

pub(super) fn name(target: &str) -> String {
    format!("sluice/{target}:{}", tag())
}

/// Builds all, one after the other: the first compiles, the others take what is there. Builds nothing when they are
/// named.
pub(super) fn build(layout: &Layout, engine: &Engine) -> Result<()> {
    if let Some(tag) = named() {
        println!("   these are there already: {tag}");
        return Ok(());
    }
    let profile = profile();
    for (target, _) in IMAGES {
        let authorities = Some(PathBuf::from(AUTHORITIES)).filter(|path| path.exists());
        let secret = authorities.map(|path| format!("id=ca,src={}", path.display()));
        engine
            .run("docker build")
            .args(["build", "--network=host", "--file", "ops/Dockerfile", "--target", target, "--tag", &name(target)])
            .args(["--build-arg", &format!("PROFILE={profile}"), "--build-arg", &format!("VERSION={BUILT}")])
            .args(secret.into_iter().flat_map(|secret| ["--secret".to_owned(), secret]))
            .arg(".")
            .dir(&layout.root)
            .quiet(&layout.log(&format!("docker-build-{target}")))?;
    }
    Ok(())
}

/// What each image promises, and its size.
pub(super) fn check(engine: &Engine) -> Result<()> {
    for (target, most) in IMAGES {
        let inspect = |format: &str| -> Result<String> {
            let run = engine.run("docker image inspect").args(["image", "inspect", "--format", format]);
            Ok(run.arg(name(target)).output()?.trim().to_owned())
        };
        let user = inspect("{{.Config.User}}")?;
        if user != NOBODY {
            bail!("the image {target} runs as {user:?}, not as {NOBODY}")
        }
        let signal = inspect("{{.Config.StopSignal}}")?;
        if signal != "SIGTERM" {
            bail!("the image {target} is stopped by {signal:?}")
        }
        let health = inspect("{{if .Config.Healthcheck}}{{index .Config.Healthcheck.Test 0}}{{end}}")?;
        let wanted = if target == "sluice" { "NONE" } else { "CMD" };
        if health != wanted {
            bail!("the image {target} has the health check {health:?}, not {wanted}")
        }
        let licence = inspect(r#"{{index .Config.Labels "org.opencontainers.image.licenses"}}"#)?;
        if licence != "Apache-2.0" {
            bail!("the image {target} is labelled with the licence {licence:?}")
        }
        for program in ["/bin/sh", "/bin/bash", "/usr/bin/apt-get"] {
            has_not(engine, target, program)?;
        }
        let bytes: u64 = inspect("{{.Size}}")?.parse().context("the engine gives no size")?;
        let size = bytes / 1_000_000;
        println!("   {:<24} {size:>4} MB", name(target));
        if size > most && profile() == RELEASE {
            bail!("the image {target} has {size} MB; it should have at most {most}")
        }
    }
    Ok(())
}

/// An image that has no such program can't start it; starting is tried, as the engine knows best.
fn has_not(engine: &Engine, target: &str, program: &str) -> Result<()> {
    let started = engine
        .run("docker run")
        .args(["run", "--rm", "--network=none", "--entrypoint", program, &name(target), "--version"])
        .output();
    match started {
        Ok(_) => bail!("the image {target} has {program}"),
        Err(problem) if format!("{problem:#}").contains("127") => Ok(()),
        Err(problem) => Err(problem.context(format!("starting {program} in the image {target}"))),
    }
}

/// Looks again and again until something is there.
pub(super) fn until<T>(what: &str, within: Duration, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    const PAUSE: Duration = Duration::from_millis(100);
    let deadline = std::time::Instant::now() + within;
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if std::time::Instant::now() > deadline {
            bail!("{what}: not within {} s", within.as_secs())
        }
        thread::sleep(PAUSE);
    }
}
