//! Creates the data folder of a PostgreSQL server. Copies one that `initdb` made before, because a copy takes a tenth of the
//! CPU time and nearly each test needs one.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use nix::unistd::User;

use super::as_user;

/// Names the folder that keeps one data folder for each version of PostgreSQL. Without it, each server runs `initdb`.
const TEMPLATES: &str = "SLUICE_PG_TEMPLATES";

/// Creates the data folder `data`, which must not exist, for the server programs in `bin`.
///
/// # Panics
/// When `initdb` fails or the folder can't be copied.
pub(super) fn create(bin: &Path, user: Option<&User>, data: &Path) {
    let Some(template) = template(bin) else { return initialize(bin, user, data) };
    if template.exists() {
        return copy(&template, data);
    }
    initialize(bin, user, data);
    // Other processes may do the same at this moment. A rename onto a folder with content fails, so that one of them wins.
    let parent = template.parent().expect("a template is in a folder");
    fs::create_dir_all(parent).expect("the folder of the templates is writable");
    let prepared = tempfile::tempdir_in(parent).expect("the folder of the templates is writable");
    copy(data, &prepared.path().join("data"));
    match fs::rename(prepared.path().join("data"), &template) {
        Err(e) if !template.exists() => panic!("{}: {e}", template.display()),
        _ => {}
    }
}

/// The data folder to copy, which may not exist yet; None if no folder for templates is named.
fn template(bin: &Path) -> Option<PathBuf> {
    let templates = env::var_os(TEMPLATES).filter(|folder| !folder.is_empty())?;
    let version = run(Command::new(bin.join("postgres")).arg("--version"));
    let version: String = version.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    Some(Path::new(&templates).join(version.trim_matches('-')))
}

fn initialize(bin: &Path, user: Option<&User>, data: &Path) {
    let options = ["-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-locale", "--no-sync"];
    run(as_user(&bin.join("initdb"), user).arg("-D").arg(data).args(options));
}

/// Copies a folder with the owners and the rights of its files, which PostgreSQL checks.
fn copy(from: &Path, to: &Path) {
    run(Command::new("cp").arg("-a").args([from, to]));
}

/// Runs a program that must succeed, and returns its output.
pub(super) fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("can't start {command:?}: {e}"));
    assert!(output.status.success(), "{command:?} failed:\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
