//! Stamps: files with the digest of a build's inputs. A build runs again only when its inputs changed.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

use crate::run;

/// Folders of generated files, which are no inputs.
const MADE: [&str; 4] = ["node_modules", "dist", "test-results", "playwright-report"];

/// A file with one line: the digest of the inputs.
#[derive(Debug)]
pub(crate) struct Stamp {
    file: PathBuf,
}

impl Stamp {
    pub(crate) fn new(file: PathBuf) -> Self {
        Self { file }
    }

    pub(crate) fn is(&self, digest: &str) -> bool {
        fs::read_to_string(&self.file).is_ok_and(|text| text.trim() == digest)
    }

    pub(crate) fn set(&self, digest: &str) -> Result<()> {
        run::make_parent(&self.file)?;
        fs::write(&self.file, format!("{digest}\n"))
            .with_context(|| format!("{} can't be written", self.file.display()))
    }

    /// Removes the stamp before a build, which may fail and leave incomplete files.
    pub(crate) fn clear(&self) {
        let _ = fs::remove_file(&self.file);
    }
}

/// The SHA-256 of a file, in hex.
pub(crate) fn of_file(path: &Path) -> Result<String> {
    let unreadable = || format!("{} can't be read", path.display());
    let mut file = fs::File::open(path).with_context(unreadable)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer).with_context(unreadable)? {
            0 => break,
            count => hasher.update(&buffer[..count]),
        }
    }
    Ok(hex::encode(hasher.finalize()))
}

/// The SHA-256 over names and bytes of all files below `paths`, without folders of generated files.
pub(crate) fn of_sources(root: &Path, paths: &[&str]) -> Result<String> {
    let mut files = Vec::new();
    for path in paths {
        collect(&root.join(path), &mut files)?;
    }
    files.sort();
    let mut hasher = Sha256::new();
    for file in files {
        let name = file.strip_prefix(root).unwrap_or(&file);
        hasher.update(format!("{}\0{}\n", name.display(), of_file(&file)?));
    }
    Ok(hex::encode(hasher.finalize()))
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if path.is_file() {
        files.push(path.to_path_buf());
        return Ok(());
    }
    if !path.is_dir() || path.file_name().is_some_and(|name| MADE.iter().any(|made| name == *made)) {
        return Ok(());
    }
    let entries = fs::read_dir(path).with_context(|| format!("{} can't be read", path.display()))?;
    for entry in entries {
        collect(&entry?.path(), files)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_holds_until_it_is_cleared() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let stamp = Stamp::new(dir.path().join("a/b.stamp"));
        assert!(!stamp.is("one"));
        stamp.set("one")?;
        assert!(stamp.is("one") && !stamp.is("two"));
        stamp.clear();
        assert!(!stamp.is("one"));
        Ok(())
    }

    #[test]
    fn a_file_digest_is_plain_sha_256() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let file = dir.path().join("abc");
        fs::write(&file, "abc")?;
        assert_eq!(of_file(&file)?, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        Ok(())
    }

    #[test]
    fn sources_change_by_name_and_by_bytes_but_not_by_what_is_made() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let root = dir.path();
        fs::create_dir_all(root.join("app/src"))?;
        fs::write(root.join("app/src/a.ts"), "1")?;
        let first = of_sources(root, &["app", "absent"])?;

        fs::create_dir_all(root.join("app/dist"))?;
        fs::create_dir_all(root.join("app/node_modules/x"))?;
        fs::write(root.join("app/dist/index.html"), "made")?;
        fs::write(root.join("app/node_modules/x/y.js"), "fetched")?;
        assert_eq!(of_sources(root, &["app", "absent"])?, first);

        fs::write(root.join("app/src/a.ts"), "2")?;
        let second = of_sources(root, &["app"])?;
        assert_ne!(second, first);
        fs::rename(root.join("app/src/a.ts"), root.join("app/src/b.ts"))?;
        assert_ne!(of_sources(root, &["app"])?, second);
        Ok(())
    }
}
