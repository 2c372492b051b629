//! `sluice catalog`: checks a catalog file as an exporter loads it, and prints the schema of catalog files.

use exporter::{
    Registry,
    catalog::{self, CatalogFault, LoadContext, Loaded, load},
    dataset::estimate_rows,
};
use serde::Serialize;

use super::CommandError;
use crate::{cli::CatalogCheckOptions, output, settings::Settings};

/// The result of checking a catalog file, as `--json` prints it.
#[derive(Debug, Default, Serialize)]
struct Report {
    file: String,
    ok: bool,
    datasets: Vec<Dataset>,
    templates: Vec<String>,
    /// The datasets whose source cannot be read now. An exporter starts without these datasets, and retries to read
    /// their sources.
    unavailable: Vec<Unavailable>,
    faults: Vec<CatalogFault>,
}

#[derive(Debug, Serialize)]
struct Dataset {
    name: String,
    columns: usize,
    rows_estimate: Option<u64>,
    /// Notes about parts of the source that the dataset omits or offers under another name.
    notes: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Unavailable {
    name: String,
    reason: String,
}

/// Checks a catalog file and the sources in it.
///
/// # Errors
/// When the file is invalid, or no catalog file is named. For an invalid file, the command prints every fault before it
/// fails.
pub async fn check(options: &CatalogCheckOptions, settings: &Settings) -> Result<(), CommandError> {
    let configured = Some(&settings.exporter.catalog).filter(|file| !file.as_os_str().is_empty());
    let file = options.file.as_ref().or(configured).ok_or(CommandError::NoCatalog)?;
    let mut report = Report { file: file.display().to_string(), ..Report::default() };
    let loaded = load(file, &LoadContext::new(&settings.exporter), &Registry::built_in()).await;
    match loaded {
        Ok(loaded) => fill(&mut report, loaded).await,
        Err(invalid) => report.faults = invalid.faults,
    }
    report.ok = report.faults.is_empty();
    if options.json {
        output::print_json(&report)?
    } else {
        output::print(text(&report).trim_end())?
    }
    if report.ok { Ok(()) } else { Err(CommandError::Catalog(report.file)) }
}

/// Prints the JSON Schema of catalog files.
///
/// # Errors
/// When standard output is closed.
pub fn print_schema() -> Result<(), CommandError> {
    Ok(output::print_json(&catalog::json_schema())?)
}

async fn fill(report: &mut Report, loaded: Loaded) {
    for dataset in &loaded.datasets {
        report.datasets.push(Dataset {
            name: dataset.info().name.clone(),
            columns: dataset.info().columns.len(),
            rows_estimate: estimate_rows(dataset.as_ref()).await,
            notes: dataset.info().notes.clone(),
        });
    }
    report.templates = loaded.templates.iter().map(|template| template.info().name.clone()).collect();
    let differs = |name: &str| loaded.differing.iter().any(|fault| fault.what == format!("dataset {name}"));
    let unavailable = loaded.unavailable.into_iter().filter(|(name, _)| !differs(name));
    report.unavailable = unavailable.map(|(name, reason)| Unavailable { name, reason }).collect();
    report.faults = loaded.differing;
    report.faults.sort_by_key(|fault| fault.line);
}

fn text(report: &Report) -> String {
    let mut out = String::new();
    let mut line = |text: String| out.push_str(&(text + "\n"));
    for fault in &report.faults {
        let location = fault.line.map_or_else(|| report.file.clone(), |line| format!("{}:{line}", report.file));
        line(format!("{location}: {}: {}", fault.what, fault.detail));
    }
    for dataset in &report.datasets {
        let rows =
            dataset.rows_estimate.map_or_else(String::new, |rows| format!(", about {} rows", output::grouped(rows)));
        line(format!("dataset {}: {} columns{rows}", dataset.name, dataset.columns));
        for note in &dataset.notes {
            line(format!("dataset {}: note: {note}", dataset.name));
        }
    }
    for template in &report.templates {
        line(format!("template {template}"));
    }
    for dataset in &report.unavailable {
        line(format!("dataset {}: not readable now: {}", dataset.name, dataset.reason));
    }
    if report.ok {
        let (unavailable, all) = (report.unavailable.len(), report.datasets.len() + report.unavailable.len());
        line(match unavailable {
            0 => format!("{} is valid", report.file),
            _ => format!("{} is valid, but {unavailable} of {all} datasets can't be read now", report.file),
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_the_notes_of_each_dataset() {
        let notes = vec!["column 3 has no name, and is offered as `column_3`".to_owned()];
        let people = Dataset { name: "people".into(), columns: 3, rows_estimate: Some(2), notes };
        let report = Report { file: "c.toml".into(), ok: true, datasets: vec![people], ..Report::default() };
        let expected = "dataset people: 3 columns, about 2 rows\n\
                        dataset people: note: column 3 has no name, and is offered as `column_3`\n\
                        c.toml is valid\n";
        assert_eq!(text(&report), expected);
    }
}
