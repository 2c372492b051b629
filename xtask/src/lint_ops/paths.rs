//! Paths that documents mention between backticks: each file or folder exists, and each Rust file contains the names
//! that follow its path.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::{Context, files, none};

/// Folders that builds and tests create, so that a checkout lacks them.
const CREATED: [&str; 4] = ["target/", "data/", "web/node_modules/", "web/app/dist"];

/// Finds paths in Markdown pages that begin at the root of the checkout and don't exist, and names that the Rust file
/// before them doesn't contain.
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
            for (path, name) in names(line).into_iter().filter(|(path, _)| root.join(path).is_file()) {
                if !contains(&files::text(&root.join(path))?, name) {
                    findings.push(format!("{}:{}: `{path}` contains no `{name}`", context.short(&page), index + 1));
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

/// The names of a line that directly follow the path of a Rust file, as in "`a.rs` `ONE`, `TWO`", with their paths.
fn names(line: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let (mut path, mut before) = (None, "");
    for (index, part) in line.split('`').enumerate() {
        if index % 2 == 0 {
            before = part;
        } else if part.ends_with(".rs") {
            path = Some(part);
        } else {
            let is_name = !part.is_empty() && part.chars().all(is_of_name);
            path = path.filter(|_| is_name && matches!(before, " " | ", "));
            found.extend(path.map(|path| (path, part)));
        }
    }
    found
}

/// Whether a text contains a name as a whole word.
fn contains(text: &str, name: &str) -> bool {
    text.split(|c| !is_of_name(c)).any(|word| word == name)
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
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

    #[test]
    fn names_follow_the_path_of_their_file() {
        let line =
            "| `a/b.rs` `ONE`, `two`, `x.three` `four` | `c.rs` | `FIVE`; `d.rs` of `SIX` | `e.rs` `f.rs` `seven`";
        assert_eq!(names(line), [("a/b.rs", "ONE"), ("a/b.rs", "two"), ("f.rs", "seven")]);
        assert!(contains("const ONE: u8", "ONE") && !contains("const ONE_MORE: u8", "ONE"));
    }
}
