//! Compose files, Dockerfiles and the configuration of NATS.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::{Context, files};
use crate::run::Run;

const COMPOSE: &str = "compose.yaml";

/// The whole platform with each profile and each override, as Compose itself reads it, and against the published schema.
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
            // `--profile ""` is no profile at all
            let with = ["--profile", profile];
            let with = if profile.is_empty() { &with[..0] } else { &with[..] };
            docker_compose(context)?.args(&files).args(with).args(["config", "--quiet"]).quiet(&log)?;
        }
    }
    Ok(())
}

fn docker_compose(context: &Context<'_>) -> Result<Run> {
    // The file refuses to be read before there are secrets; where they are doesn't matter here.
    Ok(Run::new("docker-compose config", context.linters.compose()?).dir(context.root()).env("SLUICE_SECRETS", "secrets"))
}

/// `compose.yaml` and whatever goes over it.
fn compose_files(root: &Path) -> Result<Vec<PathBuf>> {
    let named = |path: &Path| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("compose."))
            && files::has_extension(path, &["yaml", "yml"])
    };
    let found = files::below(root, named)?;
    if found.iter().any(|path| *path == root.join(COMPOSE)) { Ok(found) } else { bail!("there is no {COMPOSE}") }
}

/// Dockerfiles, by hadolint.
pub(super) fn dockerfiles(context: &Context<'_>) -> Result<()> {
    let named = |path: &Path| {
        path.file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.starts_with("Dockerfile") && !name.ends_with(".dockerignore"))
    };
    let found = files::below(context.root(), named)?;
    if found.is_empty() {
        bail!("there is no Dockerfile")
    }
    context.program("hadolint")?.args(&found).quiet(&context.log("hadolint"))
}

/// Every configuration of NATS, by the server that will read it.
pub(super) fn nats(context: &Context<'_>) -> Result<()> {
    let folder = context.root().join("ops/nats");
    // What begins with an underscore is included by others and is nothing by itself.
    let found = files::below(&folder, |path| {
        files::has_extension(path, &["conf"])
            && !path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with('_'))
    })?;
    if found.is_empty() {
        bail!("there is no configuration in {}", context.short(&folder))
    }
    for file in found {
        let what = format!("nats-server -t -c {}", context.short(&file));
        Run::new(what, &context.nats).dir(&folder).arg("-t").arg("-c").arg(&file).quiet(&context.log("nats"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

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
