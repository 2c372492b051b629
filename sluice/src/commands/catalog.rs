//! `sluice catalog check`: what an exporter would make of a catalog file.

use exporter::{
    Registry,
    catalog::{CatalogFault, Loaded, Means, load},
};
use platform::{config::DatabaseConfig, secret::Secret};
use serde::Serialize;

use super::CommandError;
use crate::{cli::CatalogCheckOptions, output, settings::Settings};

/// What was found.
#[derive(Debug, Default, Serialize)]
struct Report {
    file: String,
    ok: bool,
    datasets: Vec<Dataset>,
    templates: Vec<String>,
    /// Datasets whose source can't be read now: an exporter starts without them and tries again.
    unavailable: Vec<Away>,
    faults: Vec<CatalogFault>,
}

#[derive(Debug, Serialize)]
struct Dataset {
    name: String,
    columns: usize,
    rows_estimate: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Away {
    name: String,
    why: String,
}

/// Checks the file and looks at its sources.
///
/// # Errors
/// When the file is wrong, after every fault was printed.
pub async fn check(options: &CatalogCheckOptions, settings: &Settings) -> Result<(), CommandError> {
    let set = &settings.exporter.catalog;
    let file = options.file.as_ref().or((!set.as_os_str().is_empty()).then_some(set)).ok_or(CommandError::NoCatalog)?;
    // a database that isn't there must not be made by looking
    let url = settings.database.url.expose().replace("mode=rwc", "mode=rw");
    let config = DatabaseConfig { url: Secret::new(url), ..settings.database.clone() };
    let reads = platform::db::connect(&config).await.unwrap_or_default();
    let mut report = Report { file: file.display().to_string(), ..Report::default() };
    let besides = Registry::standard(&settings.exporter.datasets_dir, &reads);
    let loaded = load(file, &Means::of(&settings.exporter, &reads), &besides).await;
    match loaded.and_then(|loaded| loaded.as_written(file)) {
        Ok(loaded) => fill(&mut report, loaded).await,
        Err(wrong) => report.faults = wrong.faults,
    }
    report.ok = report.faults.is_empty();
    if options.json {
        output::print_json(&report)?
    } else {
        output::print(text(&report).trim_end())?
    }
    if report.ok { Ok(()) } else { Err(CommandError::Catalog(report.file)) }
}

async fn fill(report: &mut Report, loaded: Loaded) {
    for dataset in &loaded.datasets {
        report.datasets.push(Dataset {
            name: dataset.name().to_owned(),
            columns: dataset.columns().len(),
            rows_estimate: dataset.rows_estimate().await,
        });
    }
    report.templates = loaded.templates.iter().map(|template| template.name().to_owned()).collect();
    report.unavailable = loaded.unavailable.into_iter().map(|(name, why)| Away { name, why }).collect();
}

fn text(report: &Report) -> String {
    let mut out = String::new();
    let mut line = |text: String| out.push_str(&(text + "\n"));
    for fault in &report.faults {
        let place = fault.line.map_or_else(|| report.file.clone(), |line| format!("{}:{line}", report.file));
        line(format!("{place}: {}: {}", fault.what, fault.detail));
    }
    for dataset in &report.datasets {
        let rows =
            dataset.rows_estimate.map_or_else(String::new, |rows| format!(", about {} rows", output::grouped(rows)));
        line(format!("dataset {}: {} columns{rows}", dataset.name, dataset.columns));
    }
    for template in &report.templates {
        line(format!("template {template}"));
    }
    for away in &report.unavailable {
        line(format!("dataset {}: not readable now: {}", away.name, away.why));
    }
    if report.ok {
        line(format!("{} is fine", report.file));
    }
    out
}
