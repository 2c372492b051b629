//! Checks of all shell scripts, YAML and JSON files.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::{Context, files};
use crate::run::Run;

/// Checks every shell script with shellcheck.
pub(super) fn shell(context: &Context<'_>) -> Result<()> {
    let mut scripts = Vec::new();
    for path in files::below(context.root(), may_be_shell)? {
        if files::has_extension(&path, SHELL) || is_shell(&first_bytes(&path)?) {
            scripts.push(path);
        }
    }
    if scripts.is_empty() {
        bail!("there is no shell script")
    }
    context
        .program("shellcheck")?
        .args(["--external-sources", "--source-path=SCRIPTDIR", "--severity=style"])
        .args(&scripts)
        .quiet(&context.log("shellcheck"))
}

const SHELL: &[&str] = &["sh", "bash"];

/// Whether the name may be a shell script's: the extension `.sh` or none.
fn may_be_shell(path: &Path) -> bool {
    path.extension().is_none() || files::has_extension(path, SHELL)
}

fn first_bytes(path: &Path) -> Result<Vec<u8>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether the first line names a shell.
fn is_shell(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let Some(line) = text.lines().next().and_then(|line| line.strip_prefix("#!")) else { return false };
    line.split(['/', ' ']).any(|word| ["sh", "bash", "dash", "ksh"].contains(&word))
}

/// Checks the YAML files with yamllint.
pub(super) fn yaml(context: &Context<'_>) -> Result<()> {
    let root = context.root();
    let mut found = files::below(&root.join("ops"), is_yaml)?;
    found.extend(files::below(&root.join(".github"), is_yaml)?);
    found.extend(files::below(root, |path| path.parent() == Some(root) && is_yaml(path))?);
    if found.is_empty() {
        bail!("there is no YAML")
    }
    let config = root.join("ops/yamllint.yaml");
    context.checker("yamllint").arg("--strict").arg("-c").arg(config).args(&found).quiet(&context.log("yamllint"))
}

fn is_yaml(path: &Path) -> bool {
    files::has_extension(path, &["yaml", "yml"])
}

/// Parses the JSON files; a duplicate member is an error.
pub(super) fn json(context: &Context<'_>) -> Result<()> {
    let found: Vec<PathBuf> = files::below(&context.root().join("ops"), |path| files::has_extension(path, &["json"]))?;
    if found.is_empty() {
        bail!("there is no JSON in ops")
    }
    let reader = "import json, sys\n\
                  def once(pairs):\n    \
                      names = [name for name, _ in pairs]\n    \
                      twice = {name for name in names if names.count(name) > 1}\n    \
                      assert not twice, f'stands twice: {twice}'\n    \
                      return dict(pairs)\n\
                  for path in sys.argv[1:]:\n    \
                      print(path)\n    \
                      json.load(open(path, encoding='utf-8'), object_pairs_hook=once)\n";
    Run::new("reading JSON", context.linters.checker("python"))
        .arg("-c")
        .arg(reader)
        .args(&found)
        .quiet(&context.log("json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shell_scripts_are_told_by_their_first_line() {
        for line in ["#!/bin/sh\n", "#!/usr/bin/env bash\nset -e", "#! /bin/dash", "#!/bin/bash -eu"] {
            assert!(is_shell(line.as_bytes()), "{line:?}");
        }
        for line in ["", "#!/usr/bin/env node\n", "#!/usr/bin/python3", "# sh\n", "\u{7f}ELF", "\n#!/bin/sh"] {
            assert!(!is_shell(line.as_bytes()), "{line:?}");
        }
        assert!(may_be_shell(Path::new(".ci/run")) && may_be_shell(Path::new("a.sh")));
        assert!(!may_be_shell(Path::new("a.rs")));
    }
}
