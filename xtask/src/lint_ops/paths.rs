//! Paths that documents mention between backticks: each file or folder exists.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::{Context, files, none};

/// Folders that builds and tests create, so that a checkout lacks them.
const CREATED: [&str; 4] = ["target/", "data/", "web/node_modules/", "web/app/dist"];

/// Finds paths in Markdown pages that begin at the root of the checkout and don't exist.
pub(super) fn paths(context: &Context<'_>) -> Result<()> {
    let root = context.root();
    let folders = top_folders(root)?;
    let mut findings = Vec::new();
    for page in files::below(root, |path| files::has_extension(path, &["md"]))? {
        for (index, line) in files::text(&page)?.lines().enumerate() {
            for path in mentioned(line, &folders) {
                if !root.join(path).exists() {
                    findings.push(format!("{}:{}: `{path}` does not exist", context.short(&page), index + 1));
                }
            }
        }
    }
    none(&findings)
}

/// The folders of the root, whose names begin a path.
fn top_folders(root: &Path) -> Result<HashSet<String>> {
    let entries = fs::read_dir(root).with_context(|| format!("{} can't be read", root.display()))?;
    let folders = entries.flatten().filter(|entry| entry.path().is_dir());
    Ok(folders.filter_map(|entry| entry.file_name().into_string().ok()).collect())
}

/// The paths of a line: code between backticks that begins with a folder of the root. Patterns and placeholders are left out.
fn mentioned<'a>(line: &'a str, folders: &HashSet<String>) -> Vec<&'a str> {
    let code = line.split('`').skip(1).step_by(2);
    code.filter(|code| {
        let first = code.split_once('/').map(|(first, _)| first);
        first.is_some_and(|first| folders.contains(first))
            && !code.contains(['*', '<', '{', ' ', '…', '$'])
            && !CREATED.iter().any(|created| code.starts_with(created))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_the_checkout_are_found_and_patterns_are_not() {
        let folders = ["docs", "target"].map(str::to_owned).into();
        let line = "`docs/a.md`, `docs/<name>.md`, `docs/*.md`, `target/debug/x`, `other/b.md`, docs/c.md, `docs/d/`";
        assert_eq!(mentioned(line, &folders), ["docs/a.md", "docs/d/"]);
    }
}
