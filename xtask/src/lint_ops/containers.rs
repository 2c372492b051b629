//! Compose files, Dockerfiles and the configuration of NATS.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::{Context, files};
use crate::run::{self, Run};

const COMPOSE: &str = "compose.yaml";

/// Reads compose.yaml with each profile, each override and the demo by Compose itself, and checks the published schema.
pub(super) fn compose(context: &Context<'_>) -> Result<()> {
    let all = compose_files(context.root())?;
    let log = context.log("compose");
    context.checker("check-jsonschema").args(["--builtin-schema", "vendor.compose-spec"]).args(&all).quiet(&log)?;
    let overrides: Vec<&PathBuf> = all.iter().filter(|path| !path.ends_with(COMPOSE)).collect();
    let alone: Vec<OsString> = [OsString::from("-f"), context.root().join(COMPOSE).into()].into();
    let variants = overrides.into_iter().map(|path| {
        let mut files = alone.clone();
        files.extend([OsString::from("-f"), path.into()]);
        files
    });
    for files in std::iter::once(alone.clone()).chain(variants) {
        let profiles = docker_compose(context)?.args(&files).args(["config", "--profiles"]).output()?;
        for profile in std::iter::once("").chain(profiles.lines()) {
            // `--profile ""` selects no profile
            let with = ["--profile", profile];
            let with = if profile.is_empty() { &with[..0] } else { &with[..] };
            for demo in ["", "1"] {
                docker_compose(context)?
                    .env("SLUICE_DEMO", demo)
                    .args(&files)
                    .args(with)
                    .args(["config", "--quiet"])
                    .quiet(&log)?;
            }
        }
    }
    Ok(())
}

fn docker_compose(context: &Context<'_>) -> Result<Run> {
    // Compose requires the secret files; this check needs neither their contents nor `.env`.
    Ok(Run::new("docker-compose config", context.linters.compose()?)
        .dir(context.root())
        .env("SLUICE_SECRETS", "/run/secrets")
        .args(["--env-file", "/dev/null"]))
}

/// `compose.yaml` and its override files.
fn compose_files(root: &Path) -> Result<Vec<PathBuf>> {
    let named = |path: &Path| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("compose."))
            && files::has_extension(path, &["yaml", "yml"])
    };
    let found = files::below(root, named)?;
    if found.iter().any(|path| *path == root.join(COMPOSE)) { Ok(found) } else { bail!("there is no {COMPOSE}") }
}

/// Checks each Dockerfile with hadolint.
pub(super) fn dockerfiles(context: &Context<'_>) -> Result<()> {
    let named = |path: &Path| {
        path.file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.starts_with("Dockerfile") && !name.ends_with(".dockerignore"))
    };
    let found = files::below(context.root(), named)?;
    if !found.contains(&context.root().join("ops/Dockerfile")) {
        bail!("there is no ops/Dockerfile")
    }
    let config = context.root().join("ops/hadolint.yaml");
    context.program("hadolint")?.args(["--no-color", "-c"]).arg(config).args(&found).quiet(&context.log("hadolint"))
}

/// Checks every NATS configuration with nats-server, with generated passwords.
pub(super) fn nats(context: &Context<'_>) -> Result<()> {
    let sources = context.root().join("ops/nats");
    let folder = context.layout.own().join("lint/nats");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("{} can't be removed", folder.display()))?;
    }
    let log = context.log("nats");
    let mut servers = Vec::new();
    for source in files::below(&sources, |path| files::has_extension(path, &["conf"]))? {
        let copy = folder.join(source.strip_prefix(&sources)?);
        run::make_parent(&copy)?;
        fs::copy(&source, &copy).with_context(|| format!("{} can't be copied", context.short(&source)))?;
        // The other files are included by these.
        if files::text(&source)?.lines().any(|line| line.starts_with("server_name")) {
            servers.push(copy);
        }
    }
    if servers.len() < 2 {
        bail!("{} has no configuration of one server or none of a cluster", context.short(&sources))
    }
    Run::new("make-passwords", sources.join("make-passwords"))
        .arg(&folder)
        .args(["nats-1", "nats-2", "nats-3"])
        .quiet(&log)?;
    for server in servers {
        let what = format!("nats-server -t -c {}", server.file_name().unwrap_or_default().to_string_lossy());
        Run::new(what, &context.nats)
            .dir(&folder)
            .env("SLUICE_NATS_NAME", "nats-1")
            .env("SLUICE_NATS_CLUSTER", "127.0.0.1:6222")
            .env("SLUICE_NATS_STORE", folder.join("store"))
            .arg("-t")
            .arg("-c")
            .arg(&server)
            .quiet(&log)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_main_file_has_to_be_there() -> Result<()> {
        let dir = tempfile::tempdir()?;
        fs::write(dir.path().join("compose.test.yaml"), "")?;
        assert!(compose_files(dir.path()).is_err());
        fs::write(dir.path().join(COMPOSE), "")?;
        fs::write(dir.path().join("compose.md"), "")?;
        assert_eq!(compose_files(dir.path())?, [dir.path().join("compose.test.yaml"), dir.path().join(COMPOSE)]);
        Ok(())
    }
}
