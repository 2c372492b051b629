//! Finds source files by walking the folders, so that a source archive without git can be checked too.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// Folders of fetched and generated files.
const GENERATED: [&str; 8] =
    [".git", "target", "node_modules", "dist", "test-results", "playwright-report", "data", ".venv"];

/// All files below a folder that `wanted` accepts, sorted. Symbolic links are not followed.
///
/// # Errors
/// When a folder can't be read.
pub(super) fn below(folder: &Path, wanted: impl Fn(&Path) -> bool) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    collect(folder, &mut found)?;
    found.retain(|path| wanted(path));
    found.sort();
    Ok(found)
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let unreadable = || format!("{} can't be read", folder.display());
    for entry in fs::read_dir(folder).with_context(unreadable)? {
        let entry = entry.with_context(unreadable)?;
        let kind = entry.file_type().with_context(unreadable)?;
        if kind.is_file() {
            found.push(entry.path());
        } else if kind.is_dir() && !GENERATED.iter().any(|name| entry.file_name() == *name) {
            collect(&entry.path(), found)?;
        }
    }
    Ok(())
}

/// Whether a file has one of these extensions.
pub(super) fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    path.extension().is_some_and(|own| extensions.iter().any(|extension| own == *extension))
}

/// Reads a file as UTF-8 text.
pub(super) fn text(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("{} can't be read as text", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_folders_are_left_out() -> Result<()> {
        let dir = tempfile::tempdir()?;
        for name in ["a.sh", "deep/.hidden/b.sh", "node_modules/c.sh", "deep/target/d.sh", "e.txt"] {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().context("no parent")?)?;
            fs::write(path, "")?;
        }
        let found = below(dir.path(), |path| has_extension(path, &["sh"]))?;
        assert_eq!(found, [dir.path().join("a.sh"), dir.path().join("deep/.hidden/b.sh")]);
        assert!(below(&dir.path().join("absent"), |_| true).is_err());
        Ok(())
    }
}
