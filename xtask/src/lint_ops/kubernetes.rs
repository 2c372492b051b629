//! Kubernetes: checks the objects of every overlay against the schemas of Kubernetes and our rules.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use super::{Context, files};
use crate::run::{self, Run};

const FOLDER: &str = "ops/kubernetes";
const CHECK: &str = "xtask/python/kubernetes.py";
const CHECK_TESTS: &str = "xtask/python/kubernetes_test.py";
const DEPLOY_TESTS: &str = "xtask/python/deploy_test.py";
const TOOL_TESTS: &str = "xtask/python/tool_test.py";

/// Renders the base and every overlay with kustomize, and checks the objects.
pub(super) fn manifests(context: &Context<'_>) -> Result<()> {
    let folder = context.root().join(FOLDER);
    let mut overlays: Vec<PathBuf> = files::below(&folder, |path| path.ends_with("kustomization.yaml"))?
        .iter()
        .filter_map(|path| path.parent().map(PathBuf::from))
        .collect();
    // A component renders only as part of an overlay.
    overlays.retain(|path| !path.starts_with(folder.join("components")));
    if !overlays.contains(&folder.join("base")) || overlays.len() < 2 {
        bail!("{FOLDER} has no base or no overlay")
    }
    let log = context.log("kubernetes");
    for overlay in overlays {
        let name = context.short(&overlay).to_string().replace('/', "-");
        let rendered = context
            .program("kubectl")?
            .arg("kustomize")
            .arg(&overlay)
            .output()
            .with_context(|| format!("{} can't be rendered", context.short(&overlay)))?;
        let file = context.layout.own().join("lint").join(format!("{name}.yaml"));
        run::make_parent(&file)?;
        fs::write(&file, rendered).with_context(|| format!("{} can't be written", file.display()))?;
        Run::new(format!("the check of {}", context.short(&overlay)), context.linters.checker("python"))
            .dir(context.root())
            .arg(CHECK)
            .arg(&file)
            .arg(folder.join("schemas"))
            .quiet(&log)?;
    }
    Ok(())
}

/// Runs the tests of the check.
pub(super) fn own_tests(context: &Context<'_>) -> Result<()> {
    Run::new("the tests of the check", context.linters.checker("python"))
        .dir(context.root())
        .arg(CHECK_TESTS)
        .quiet(&context.log("kubernetes-own"))
}

/// Runs the tests of the rollout scripts: order of steps and rollback.
pub(super) fn deploy_scripts(context: &Context<'_>) -> Result<()> {
    script_tests(context, "the tests of ops/deploy", DEPLOY_TESTS, "deploy")
}

/// Runs the tests of `ops/kubernetes/tool`: its arguments and rights.
pub(super) fn tool(context: &Context<'_>) -> Result<()> {
    script_tests(context, "the tests of ops/kubernetes/tool", TOOL_TESTS, "tool")
}

/// Runs a Python test of scripts, which needs kubectl to render.
fn script_tests(context: &Context<'_>, name: &str, file: &str, log: &str) -> Result<()> {
    Run::new(name, context.linters.checker("python"))
        .dir(context.root())
        .arg(file)
        .arg(context.linters.program("kubectl")?)
        .quiet(&context.log(log))
}
