//! Finds circles of Rust files that import each other. Nobody can understand one file of a circle without reading all
//! others.
//!
//! The check reads the `use` items and the paths of each file, and follows re-exports to the file that defines a name.
//! A module may import from the modules that contain it, so these imports don't count. Neither do those of tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::rust_paths::{self, Mention};
use super::{Context, files, none};

/// The greatest number of files of one circle. Make it smaller when a circle is gone, and never greater.
const MAX_FILES: usize = 3;

/// The path of a module below its crate, such as `["http", "extract"]`; empty for the root of the crate.
type Module = Vec<String>;

/// Finds circles of more than [`MAX_FILES`] files in each crate of the checkout.
pub(super) fn circles(context: &Context<'_>) -> Result<()> {
    let mut findings = Vec::new();
    let root = context.root();
    for entry in fs::read_dir(root).with_context(|| format!("{} can't be read", root.display()))? {
        let folder = entry?.path();
        let sources = folder.join("src");
        if !folder.join("Cargo.toml").is_file() || !sources.is_dir() {
            continue;
        }
        let mut modules = BTreeMap::new();
        for path in files::below(&sources, |path| files::has_extension(path, &["rs"]))? {
            let module = module_of(path.strip_prefix(&sources)?);
            if !module.iter().any(|name| name == "bin" || name == "tests" || name.ends_with("_tests")) {
                modules.insert(module, files::text(&path)?);
            }
        }
        for circle in in_crate(&modules).into_iter().filter(|circle| circle.len() > MAX_FILES) {
            let names: Vec<_> = circle.iter().map(|module| module.join("::")).collect();
            findings.push(format!(
                "{}: {} files import each other, at most {MAX_FILES} may: {}",
                context.short(&folder),
                circle.len(),
                names.join(", ")
            ));
        }
    }
    none(&findings)
}

/// The module of a file, by its path below `src`.
fn module_of(path: &Path) -> Module {
    let mut names: Module = path.with_extension("").iter().map(|name| name.to_string_lossy().into_owned()).collect();
    if names.last().is_some_and(|name| ["mod", "lib", "main"].contains(&name.as_str())) {
        names.pop();
    }
    names
}

/// The circles of a crate, each with its modules in order. `modules` has the text of each module.
fn in_crate(modules: &BTreeMap<Module, String>) -> Vec<Vec<&Module>> {
    let mut mentions = BTreeMap::new();
    let mut exports: BTreeMap<(&Module, String), Module> = BTreeMap::new();
    for (module, text) in modules {
        let children = modules.keys().filter(|other| other.len() == module.len() + 1 && other.starts_with(module));
        let children: Vec<&str> = children.filter_map(|child| child.last()).map(String::as_str).collect();
        let mut found = Vec::new();
        for Mention { path, is_export } in rust_paths::mentions(text, &children) {
            let path = absolute(module, path);
            if let (true, Some(name)) = (is_export, path.last()) {
                exports.insert((module, name.clone()), path);
            } else {
                found.push(path);
            }
        }
        mentions.insert(module, found);
    }
    let mut imports: BTreeMap<&Module, BTreeSet<&Module>> = BTreeMap::new();
    for (module, paths) in mentions {
        let defining = paths.into_iter().filter_map(|path| defining_module(modules, &exports, path));
        imports.insert(module, defining.filter(|other| !module.starts_with(other)).collect());
    }
    let reached: BTreeMap<_, _> = imports.keys().map(|module| (*module, reachable(&imports, module))).collect();
    let mut seen = BTreeSet::new();
    let mut circles = Vec::new();
    for (module, others) in &reached {
        if !seen.contains(module) && others.contains(module) {
            let circle: Vec<&Module> = others.iter().copied().filter(|other| reached[other].contains(module)).collect();
            seen.extend(circle.iter().copied());
            circles.push(circle);
        }
    }
    circles
}

/// Converts a path in `module` to a path from the root of the crate. The path begins with `crate`, `self`, `super` or
/// the name of a child of `module`.
fn absolute(module: &Module, path: Vec<String>) -> Module {
    let mut base = module.clone();
    let mut names = path.into_iter().peekable();
    match names.peek().map(String::as_str) {
        Some("crate") => {
            base.clear();
            names.next();
        }
        Some("self") => {
            names.next();
        }
        _ => {
            while names.next_if(|name| name == "super").is_some() {
                base.pop();
            }
        }
    }
    base.extend(names);
    base
}

/// The module that defines what a path names. Follows re-exports, at most 8 in a row.
fn defining_module<'a>(
    modules: &'a BTreeMap<Module, String>,
    exports: &BTreeMap<(&Module, String), Module>,
    mut path: Module,
) -> Option<&'a Module> {
    for _ in 0..8 {
        let (length, module) =
            (0..=path.len()).rev().find_map(|length| Some((length, modules.get_key_value(&path[..length])?.0)))?;
        let Some(target) = path.get(length).and_then(|name| exports.get(&(module, name.clone()))) else {
            return Some(module);
        };
        let rest = path[length + 1..].to_vec();
        path = [target.clone(), rest].concat();
    }
    None
}

/// All modules that a module imports, and those that they import.
fn reachable<'a>(imports: &BTreeMap<&'a Module, BTreeSet<&'a Module>>, from: &Module) -> BTreeSet<&'a Module> {
    let mut found = BTreeSet::new();
    let mut open: Vec<&Module> = imports.get(from).into_iter().flatten().copied().collect();
    while let Some(module) = open.pop() {
        if found.insert(module) {
            open.extend(imports.get(module).into_iter().flatten());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<Vec<String>> {
        let modules = files.iter().map(|(path, text)| (module_of(Path::new(path)), (*text).to_owned())).collect();
        let circles = in_crate(&modules);
        circles.iter().map(|circle| circle.iter().map(|module| module.join("::")).collect()).collect()
    }

    #[test]
    fn a_circle_is_found_through_a_re_export_and_a_path() {
        let files = [
            ("lib.rs", "mod a;\nmod room;\nmod other;"),
            ("a.rs", "use crate::{other, room::Thing};\nfn f() { other::g() }"),
            ("room/mod.rs", "mod inner;\npub(crate) use self::inner::{Thing, More};"),
            ("room/inner.rs", "pub struct Thing(crate::a::Part);"),
            ("other.rs", "use std::fmt;"),
        ];
        assert_eq!(found(&files), [["a", "room::inner"]]);
    }

    #[test]
    fn a_module_may_import_from_those_that_contain_it() {
        let files = [
            ("lib.rs", "mod room;\nfn f() { room::g() }"),
            ("room/mod.rs", "mod inner;\nuse inner::h;\npub(crate) struct Shared;"),
            ("room/inner.rs", "use super::Shared;\nuse crate::f;"),
        ];
        assert_eq!(found(&files), Vec::<Vec<String>>::new());
    }
}
