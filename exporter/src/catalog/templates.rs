//! Checks a template of the catalog file against the datasets that the template names. A template that names no
//! datasets is checked against all datasets that have its columns.

use super::rules;
use crate::{dataset::DatasetInfo, template::TemplateSpec};

/// Returns the texts of all faults of a template. `offered` are the available datasets. `unavailable` are the names of
/// datasets whose columns are unknown at present; the template is not checked against these.
pub(super) fn faults(spec: &TemplateSpec, offered: &[&DatasetInfo], unavailable: &[&str]) -> Vec<String> {
    if !rules::is_name(&spec.name) {
        return vec!["a template's name has 1 to 64 letters, digits, `_`, `-` and `.`".into()];
    }
    let mut faults = Vec::new();
    if spec.datasets.is_empty() {
        match matching(spec, offered) {
            Ok(suited) => check(spec, &suited, &mut faults),
            // the template may be for an unavailable dataset
            Err(_) if !unavailable.is_empty() => {}
            Err(detail) => faults.push(detail),
        }
        return faults;
    }
    let mut meant = Vec::new();
    for name in &spec.datasets {
        match offered.iter().find(|dataset| dataset.name == *name) {
            Some(dataset) => meant.push(*dataset),
            None if unavailable.contains(&name.as_str()) => {}
            None => faults.push(format!("it is for `{name}`, which is no dataset")),
        }
    }
    check(spec, &meant, &mut faults);
    faults
}

/// Returns those of the `offered` datasets that have all columns of the template.
///
/// # Errors
/// The text of a fault, if no dataset has all columns.
fn matching<'a>(spec: &TemplateSpec, offered: &[&'a DatasetInfo]) -> Result<Vec<&'a DatasetInfo>, String> {
    let named = spec.dataset_columns();
    let lacks = |dataset: &DatasetInfo| -> Vec<&String> {
        named.iter().filter(|name| dataset.columns.iter().all(|column| column.name != **name)).collect()
    };
    let suited: Vec<_> = offered.iter().copied().filter(|dataset| lacks(dataset).is_empty()).collect();
    if !suited.is_empty() {
        return Ok(suited);
    }
    let nearest = offered.iter().min_by_key(|dataset| lacks(dataset).len());
    Err(match nearest {
        None => "there is no dataset that it could be for".into(),
        Some(nearest) => format!(
            "no dataset has all the columns that it names; `{}` is the nearest, and lacks {}. Correct the names, or \
             name its datasets with `datasets`",
            nearest.name,
            lacks(nearest).iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
        ),
    })
}

/// Checks a template against each of `datasets`, and adds the text of each fault to `faults` once. If a fault occurs
/// for only some of the datasets, its text names these datasets.
fn check(spec: &TemplateSpec, datasets: &[&DatasetInfo], faults: &mut Vec<String>) {
    let mut found: Vec<(String, Vec<&str>)> = Vec::new();
    for dataset in datasets {
        for fault in spec.validate(&dataset.columns).err().unwrap_or_default() {
            let text = format!("{}: {}", fault.path, fault.detail);
            match found.iter_mut().find(|(known, _)| *known == text) {
                Some((_, names)) => names.push(&dataset.name),
                None => found.push((text, vec![&dataset.name])),
            }
        }
    }
    let all = datasets.len();
    faults.extend(found.into_iter().map(|(text, names)| match (names.len(), spec.datasets.is_empty()) {
        (some, _) if some == all => text,
        (_, false) => format!("{text} (of {})", names.join(", ")),
        // the template may not be meant for these datasets
        (_, true) => format!("{text} (of {}); name its datasets with `datasets`", names.join(", ")),
    }));
}
