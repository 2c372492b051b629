//! Builds stand-ins under the names of public images, for an engine without a registry.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

use crate::layout::Layout;
use crate::run::{self, Run};
use crate::tools::docker::Engine;
use crate::tools::{debootstrap, nats, node, seaweed};

/// The base of all other images.
pub(super) const BASE: &str = "debian:bookworm-slim";
/// The label with the digest of an image's inputs.
const LABEL: &str = "sluice.stand-in";

/// The build context of a Dockerfile in `ops/compose/local`.
enum Context {
    /// An existing folder of the machine.
    Folder(PathBuf),
    /// A folder with copies of these files and folders.
    Copies(Vec<PathBuf>),
}

pub(super) fn build(layout: &Layout, engine: &Engine) -> Result<()> {
    if made_of(engine, BASE).is_none() {
        let archive = debootstrap::archive(layout)?;
        engine
            .run("docker import")
            .args(["import", "--change", &format!("LABEL {LABEL}=debootstrap")])
            .arg(archive)
            .arg(BASE)
            .quiet(&layout.log("docker-import"))?;
    }
    node::check()?;
    let local = layout.root.join("ops/compose/local");
    let sysroot = Run::new("rustc", "rustc").args(["--print", "sysroot"]).output()?;
    let all = [
        ("rust:1.95-bookworm", "rust", Context::Folder(sysroot.trim().into())),
        ("node:20-bookworm-slim", "node", Context::Copies(node_files()?)),
        ("nats:2.12-alpine", "nats", Context::Copies(vec![nats::server(layout)?])),
        ("chrislusf/seaweedfs:4.48", "seaweedfs", Context::Copies(vec![seaweed::weed(layout)?])),
        ("postgres:15-bookworm", "postgres", Context::Folder(local.clone())),
        ("haproxy:3.0-bookworm", "haproxy", Context::Folder(local.clone())),
    ];
    for (image, name, context) in all {
        stand_in(layout, engine, image, &local.join(format!("Dockerfile.{name}")), &context)
            .with_context(|| format!("a stand-in for {image}"))?;
    }
    Ok(())
}

fn stand_in(layout: &Layout, engine: &Engine, image: &str, dockerfile: &Path, context: &Context) -> Result<()> {
    let wanted = digest(dockerfile, context)?;
    if made_of(engine, image).is_some_and(|made| made == wanted) {
        return Ok(());
    }
    let copies = layout.own().join(format!(".context.{}", std::process::id()));
    let folder = match context {
        Context::Folder(folder) => folder.clone(),
        Context::Copies(files) => {
            fs::create_dir_all(&copies).with_context(|| format!("the folder {} can't be created", copies.display()))?;
            let copied = Run::new("cp", "cp").arg("-rL").args(files).arg(&copies).output();
            copied.map(|_| copies.clone())?
        }
    };
    let built = engine
        .run("docker build")
        .args(["build", "--network=host", "--label", &format!("{LABEL}={wanted}"), "-t", image, "-f"])
        .arg(dockerfile)
        .arg(folder)
        .quiet(&layout.log("docker-stand-in"));
    let _ = fs::remove_dir_all(&copies);
    built
}

/// The digest of the Dockerfile and of the paths of its programs, which contain their versions.
fn digest(dockerfile: &Path, context: &Context) -> Result<String> {
    let text = fs::read(dockerfile).with_context(|| format!("{} can't be read", dockerfile.display()))?;
    let mut hasher = Sha256::new_with_prefix(text);
    let paths = match context {
        Context::Folder(folder) => std::slice::from_ref(folder),
        Context::Copies(files) => files,
    };
    for path in paths {
        hasher.update(path.as_os_str().as_encoded_bytes());
    }
    Ok(hex::encode(hasher.finalize()))
}

fn made_of(engine: &Engine, image: &str) -> Option<String> {
    let format = format!("{{{{index .Config.Labels \"{LABEL}\"}}}}");
    let label = engine.run("docker inspect").args(["image", "inspect", "--format", &format, image]).output().ok()?;
    Some(label.trim().to_owned()).filter(|label| !label.is_empty())
}

/// The paths of `node` and of npm's folder.
fn node_files() -> Result<Vec<PathBuf>> {
    let found = run::on_path("node").context("node isn't on the PATH")?;
    let node = fs::canonicalize(&found).with_context(|| format!("{} can't be read", found.display()))?;
    let packages = Run::new("npm", "npm").args(["root", "--global"]).output()?;
    Ok(vec![node, Path::new(packages.trim()).join("npm")])
}
