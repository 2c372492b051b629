//! Builds the images of `ops/Dockerfile`, and checks their contents and sizes.

use std::env;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::layout::Layout;
use crate::tools::docker::Engine;

/// The version in the names of images that are built here.
const BUILT: &str = "test";
/// The environment variable with the version of existing images, such as those of a pipeline.
const NAMED_BY: &str = "SLUICE_IMAGE_TAG";
/// Each target of the Dockerfile and its largest size, MB: a quarter above the measured release image (docs/containers.md).
/// A gateway with a data engine would be larger.
const IMAGES: [(&str, u64); 5] =
    [("gateway", 54), ("exporter", 144), ("exporter-demo", 161), ("notifier", 79), ("sluice", 187)];
/// The profile whose sizes are checked, since development builds are larger.
const RELEASE: &str = "release";
/// The user of every image.
const NOBODY: &str = "65532:65532";

/// The machine's trusted CA certificates, which may include one of the local network.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

fn named() -> Option<String> {
    env::var(NAMED_BY).ok().filter(|tag| !tag.is_empty())
}

/// The version in the names of the tested images.
pub(super) fn tag() -> String {
    named().unwrap_or_else(|| BUILT.to_owned())
}

/// The cargo profile of the programs; `dev` compiles faster.
fn profile() -> String {
    env::var("SLUICE_IMAGE_PROFILE").unwrap_or_else(|_| RELEASE.to_owned())
}

pub(super) fn name(target: &str) -> String {
    format!("sluice/{target}:{}", tag())
}

/// Builds all images; the first build compiles, and the others reuse its layers. Builds nothing when existing images are
/// named.
pub(super) fn build(layout: &Layout, engine: &Engine) -> Result<()> {
    if let Some(tag) = named() {
        println!("   using existing images: {tag}");
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

/// Checks user, stop signal, health check, labels, contents and size of each image.
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

/// Checks that an image lacks a program, by trying to start it.
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

/// Polls until `ask` returns a value.
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
