//! Links between Markdown pages: each target file and heading exists.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{Context, files, none};

/// Finds relative links in Markdown pages that lead to no file or no heading.
pub(super) fn links(context: &Context<'_>) -> Result<()> {
    let root = context.root();
    let pages = files::below(root, |path| files::has_extension(path, &["md"]))?;
    let mut texts = HashMap::new();
    for page in &pages {
        texts.insert(page.clone(), files::text(page)?);
    }
    let mut findings = Vec::new();
    for page in &pages {
        for (number, target) in targets(&texts[page]) {
            if let Some(problem) = problem(page, &target, &texts) {
                findings.push(format!("{}:{number}: ({target}) {problem}", context.short(page)));
            }
        }
    }
    none(&findings)
}

/// The fault of a link; `None` for a good link and for one that leaves the checkout.
fn problem(page: &Path, target: &str, texts: &HashMap<PathBuf, String>) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (path, heading) = target.split_once('#').unwrap_or((target, ""));
    let file = if path.is_empty() { page.to_path_buf() } else { resolved(page.parent()?, path) };
    if !file.exists() {
        return Some("leads to no file".to_owned());
    }
    let text = texts.get(&file)?;
    (!heading.is_empty() && !headings(text).contains(heading)).then(|| "leads to no heading".to_owned())
}

fn resolved(folder: &Path, path: &str) -> PathBuf {
    let mut at = folder.to_path_buf();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                at.pop();
            }
            part => at.push(part.replace("%20", " ")),
        }
    }
    at
}

/// The lines of a page outside code blocks, with their numbers and without inline code.
fn prose(text: &str) -> impl Iterator<Item = (usize, String)> {
    let mut fence = None;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let trimmed = line.trim_start();
        let mark = ["```", "~~~"].into_iter().find(|mark| trimmed.starts_with(mark));
        match (fence, mark) {
            (None, Some(mark)) => fence = Some(mark),
            (Some(open), Some(mark)) if open == mark => fence = None,
            (None, None) => {
                let outside: String = line.split('`').step_by(2).collect::<Vec<_>>().join("``");
                return Some((index + 1, outside));
            }
            _ => {}
        }
        None
    })
}

/// The targets of a page's links: `[text](target)`, `![text](target)` and `[label]: target`.
fn targets(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        let mut rest = line.as_str();
        while let Some((_, after)) = rest.split_once("](") {
            let Some((inside, after)) = after.split_once(')') else { break };
            // A title may follow the target.
            if let Some(target) = inside.split_whitespace().next() {
                found.push((number, target.trim_matches(['<', '>']).to_owned()));
            }
            rest = after;
        }
        let label = line.strip_prefix('[').and_then(|rest| rest.split_once("]: "));
        if let Some(target) = label.and_then(|(_, rest)| rest.split_whitespace().next()) {
            found.push((number, target.to_owned()));
        }
    }
    found
}

/// The anchors of a page: GitHub's for each heading, and `id` attributes.
fn headings(text: &str) -> HashSet<String> {
    let mut found = HashSet::new();
    let mut fence = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fence = !fence;
        }
        for anchor in line.split("id=\"").skip(1).filter_map(|rest| rest.split_once('"')) {
            found.insert(anchor.0.to_owned());
        }
        let title = line.trim_start_matches('#');
        if fence || title.len() == line.len() || !title.starts_with(' ') {
            continue;
        }
        let base = slug(title);
        let again = (1..).map(|count| format!("{base}-{count}"));
        if let Some(free) = std::iter::once(base.clone()).chain(again).find(|slug| !found.contains(slug)) {
            found.insert(free);
        }
    }
    found
}

fn slug(title: &str) -> String {
    let kept = title.trim().chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    kept.map(|c| if c == ' ' { '-' } else { c }).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn code_contains_no_links() {
        let text = "[a](x.md) `[b](y.md)` ![c](<z.png> \"t\")\n```\n[d](w.md)\n```\n[e]: v.md\n";
        let expected = [(1, "x.md"), (1, "z.png"), (5, "v.md")].map(|(line, target)| (line, target.to_owned()));
        assert_eq!(targets(text), expected);
    }

    #[test]
    fn headings_get_the_anchors_of_github() {
        let found =
            headings("# One thing\n## It's `a-b` (c)!\n## One thing\n#no\n```\n# code\n```\n<a id=\"own\"></a>");
        let expected = ["one-thing", "its-a-b-c", "one-thing-1", "own"].map(str::to_owned);
        assert_eq!(found, expected.into());
    }

    #[test]
    fn broken_links_are_found() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let page = dir.path().join("docs/page.md");
        fs::create_dir_all(dir.path().join("docs"))?;
        fs::write(dir.path().join("README.md"), "")?;
        fs::write(&page, "")?;
        let texts = HashMap::from([
            (page.clone(), "# Here\n".to_owned()),
            (dir.path().join("README.md"), "## There\n".to_owned()),
        ]);
        for fine in ["#here", "../README.md", "../README.md#there", "https://example.com/x", "../docs/", "page.md"] {
            assert_eq!(problem(&page, fine, &texts), None, "{fine}");
        }
        for wrong in ["#there", "README.md", "../README.md#here", "../absent/"] {
            assert!(problem(&page, wrong, &texts).is_some(), "{wrong}");
        }
        Ok(())
    }
}
