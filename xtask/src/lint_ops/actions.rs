//! Checks of the hosted workflows: syntax, schema, and pinned actions.

use std::path::PathBuf;

use anyhow::{Result, bail};

use super::{Context, files, none};

/// Runs actionlint, which also checks their shell scripts, and the published schema.
pub(super) fn workflows(context: &Context<'_>) -> Result<()> {
    let found = yaml(context)?;
    let log = context.log("workflows");
    context
        .checker("check-jsonschema")
        .args(["--builtin-schema", "vendor.github-workflows"])
        .args(&found)
        .quiet(&log)?;
    context
        .checker("check-jsonschema")
        .args(["--builtin-schema", "vendor.dependabot"])
        .arg(context.root().join(".github/dependabot.yml"))
        .quiet(&log)?;
    // The workflows contain no Python.
    context
        .program("actionlint")?
        .arg("-shellcheck")
        .arg(context.linters.program("shellcheck")?)
        .args(["-pyflakes", "", "-no-color"])
        .args(&found)
        .quiet(&log)
}

fn yaml(context: &Context<'_>) -> Result<Vec<PathBuf>> {
    let folder = context.root().join(".github/workflows");
    let found = files::below(&folder, |path| files::has_extension(path, &["yml", "yaml"]))?;
    if found.is_empty() {
        bail!("there is no workflow in {}", context.short(&folder))
    }
    Ok(found)
}

/// Checks that every action is named by a commit, because a tag can move, with the release in a comment.
pub(super) fn pinned(context: &Context<'_>) -> Result<()> {
    let mut findings = Vec::new();
    for path in yaml(context)? {
        for (number, line) in files::text(&path)?.lines().enumerate() {
            if let Some(problem) = unpinned(line) {
                findings.push(format!("{}:{}: {problem}", context.short(&path), number + 1));
            }
        }
    }
    none(&findings)
}

/// The fault of a line that names an action; `None` for a correct line and for other lines.
fn unpinned(line: &str) -> Option<String> {
    let line = line.trim_start().trim_start_matches("- ").trim_start();
    let rest = line.strip_prefix("uses:")?.trim();
    let (named, comment) = match rest.split_once(" #") {
        Some((named, comment)) => (named.trim(), comment.trim()),
        None => (rest, ""),
    };
    let named = named.trim_matches(['"', '\'']);
    if named.starts_with("./") {
        return None;
    }
    if let Some(image) = named.strip_prefix("docker://") {
        let digest = image.split_once("@sha256:").map(|(_, digest)| digest);
        let whole = digest.is_some_and(|digest| is_hex(digest, 64));
        return (!whole).then(|| format!("`{named}` isn't pinned by its digest"));
    }
    let Some((_, commit)) = named.rsplit_once('@') else { return Some(format!("`{named}` names no commit")) };
    if !is_hex(commit, 40) {
        return Some(format!("`{named}` is pinned to `{commit}`, which isn't a commit"));
    }
    let release = comment.strip_prefix('v').is_some_and(|version| version.starts_with(|c: char| c.is_ascii_digit()));
    (!release).then(|| format!("`{named}` lacks a comment that names its release, such as `# v1.2.3`"))
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_commits_with_their_release_are_pinned() {
        let commit = "3d3c42e5aac5ba805825da76410c181273ba90b1";
        let digest = "a".repeat(64);
        for fine in [
            format!("      - uses: actions/checkout@{commit} # v7.0.1"),
            format!("        uses: owner/repository/folder@{commit} # v2"),
            "      - uses: ./.github/actions/own".to_owned(),
            format!("  - uses: docker://image@sha256:{digest}"),
            "    run: echo uses".to_owned(),
        ] {
            assert_eq!(unpinned(&fine), None, "{fine}");
        }
        for wrong in [
            "      - uses: actions/checkout@v7".to_owned(),
            "      - uses: actions/checkout".to_owned(),
            "      - uses: actions/checkout@main # v7.0.1".to_owned(),
            format!("      - uses: actions/checkout@{commit}"),
            format!("      - uses: actions/checkout@{commit} # newest"),
            format!("      - uses: actions/checkout@{} # v7.0.1", &commit[..39]),
            format!("      - uses: actions/checkout@{} # v7.0.1", commit.to_uppercase()),
            "  - uses: docker://alpine:3".to_owned(),
        ] {
            assert!(unpinned(&wrong).is_some(), "{wrong}");
        }
    }
}
