//! `sluice catalog init`: writes a catalog file for a database, a folder of files or a bucket.

use std::{
    env, fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use exporter::catalog::{
    LoadContext,
    init::{Address, InitError, InitOptions, InitReport, Written, init},
};
use serde::Serialize;

use super::CommandError;
use crate::{
    cli::CatalogInitOptions,
    init_summary::summary,
    output::{self, shell_word},
    settings::Settings,
};

/// The result of the command, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Json<'a> {
    file: String,
    #[serde(flatten)]
    report: &'a InitReport,
}

/// Writes a catalog file. Prints the datasets in the file, and the commands that a user may run next.
///
/// # Errors
/// When the source can't be read, or the file exists and neither `--update` nor `--force` is given.
pub async fn run(options: &CatalogInitOptions, settings: &Settings) -> Result<(), CommandError> {
    let failed = |e: InitError| CommandError::CatalogInit(Box::new(e));
    let is_stdout = options.output == Path::new("-");
    let existing = if is_stdout { None } else { existing(&options.output)? };
    if existing.is_some() && !options.update && !options.force {
        return Err(CommandError::CatalogExists(options.output.clone()));
    }
    let existing = existing.filter(|_| options.update);
    let address = Address::parse(options.source.expose()).map_err(failed)?;
    let selection = InitOptions {
        tables: options.tables.clone(),
        schemas: options.schema.clone(),
        tenant_claim: options.tenant_claim.clone(),
    };
    let context = LoadContext::new(&settings.exporter);
    let written = init(&address, &selection, &context, &options.output, existing.as_deref()).await.map_err(failed)?;
    let Written { text, report } = written;
    if is_stdout {
        output::print(text.trim_end())?;
    } else if existing.as_deref() != Some(text.as_str()) {
        write(&options.output, &text).map_err(|source| CommandError::CatalogFile(options.output.clone(), source))?;
    }
    let file = options.output.display().to_string();
    match (options.json, is_stdout) {
        (true, false) => output::print_json(&Json { file, report: &report })?,
        (false, false) => output::print(&(summary(&file, &report) + &next(&file, &report)))?,
        (_, true) => output::note(summary("the catalog", &report).trim_end()),
    }
    Ok(())
}

/// Returns the text of an existing catalog file; None if the file does not exist.
fn existing(path: &Path) -> Result<Option<String>, CommandError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(CommandError::CatalogFile(path.to_owned(), e)),
    }
}

/// Writes the catalog file atomically, so that an exporter never reads a partial file.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let part = path.with_added_extension("part");
    fs::write(&part, text)?;
    if let Ok(metadata) = fs::metadata(path) {
        fs::set_permissions(&part, metadata.permissions())?;
    }
    fs::rename(&part, path)
}

/// Returns the commands that a user may run next. One of these commands sets the variable with the database URL, with a
/// placeholder for the password.
fn next(file: &str, report: &InitReport) -> String {
    let program = program();
    let file = shell_word(file);
    let mut out = "next\n".to_owned();
    if let Some(variable) = report.variable.as_ref().filter(|variable| !variable.is_set) {
        out += &format!("  export {}={}\n", variable.name, shell_word(&variable.example));
    }
    out + &format!("  {program} catalog check {file}\n  {program} up --catalog {file}\n")
}

/// Returns the path of this program, quoted for a shell.
fn program() -> String {
    let path = env::args_os().next().map_or_else(|| PathBuf::from("sluice"), PathBuf::from);
    shell_word(&path.display().to_string())
}

#[cfg(test)]
mod tests {
    use exporter::catalog::init::Variable;

    use super::*;

    #[test]
    fn the_next_commands_set_the_variable_without_its_secret() {
        let variable = |is_set| Variable {
            name: "SHOP_DATABASE_URL".into(),
            is_set,
            example: "postgres://app:PASSWORD@db/shop".into(),
        };
        let commands = |is_set| {
            let report = InitReport { variable: Some(variable(is_set)), ..InitReport::default() };
            next("my catalog.toml", &report)
        };
        let unset = commands(false);
        assert!(unset.contains("  export SHOP_DATABASE_URL=postgres://app:PASSWORD@db/shop\n"), "{unset}");
        assert!(unset.contains(" catalog check 'my catalog.toml'\n"), "{unset}");
        assert!(!commands(true).contains("export"));
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_and_keeps_its_permissions() {
        use std::os::unix::fs::PermissionsExt;

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("catalog.toml");
        write(&path, "a").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        write(&path, "b").unwrap();
        assert_eq!(existing(&path).unwrap().as_deref(), Some("b"));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(existing(&dir.path().join("none")).unwrap().is_none());
    }
}
