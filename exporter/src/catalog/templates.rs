//! What is wrong with a template for the datasets that it is for.

use super::rules;
use crate::{dataset::Dataset, template::TemplateSpec};

/// All that is wrong with a template, where `offered` are all datasets, of this file and besides, and `away` are those whose
/// columns can't be known now.
pub(super) fn faults(spec: &TemplateSpec, offered: &[&dyn Dataset], away: &[&str]) -> Vec<String> {
    if !rules::is_name(&spec.name) {
        return vec!["a template's name has 1 to 64 letters, digits, `_`, `-` and `.`".into()];
    }
    let mut faults = Vec::new();
    if spec.datasets.is_empty() {
        match for_whom(spec, offered) {
            Ok(suited) => check(spec, &suited, &mut faults),
            // it may be for one of those
            Err(_) if !away.is_empty() => {}
            Err(detail) => faults.push(detail),
        }
        return faults;
    }
    let mut meant = Vec::new();
    for name in &spec.datasets {
        match offered.iter().find(|dataset| dataset.name() == name) {
            Some(dataset) => meant.push(*dataset),
            None if away.contains(&name.as_str()) => {}
            None => faults.push(format!("it is for `{name}`, which is no dataset")),
        }
    }
    check(spec, &meant, &mut faults);
    faults
}

/// The datasets that have all columns which the template names; or why it is for none.
fn for_whom<'a>(spec: &TemplateSpec, offered: &[&'a dyn Dataset]) -> Result<Vec<&'a dyn Dataset>, String> {
    let named = spec.named();
    let lacks = |dataset: &dyn Dataset| -> Vec<&String> {
        named.iter().filter(|name| dataset.columns().iter().all(|column| column.name != **name)).collect()
    };
    let suited: Vec<_> = offered.iter().copied().filter(|dataset| lacks(*dataset).is_empty()).collect();
    if !suited.is_empty() {
        return Ok(suited);
    }
    let nearest = offered.iter().min_by_key(|dataset| lacks(**dataset).len());
    Err(match nearest {
        None => "there is no dataset that it could be for".into(),
        Some(nearest) => format!(
            "no dataset has all the columns that it names; `{}` is the nearest, and lacks {}. Mend the names, or say with \
             `datasets` which it is for",
            nearest.name(),
            lacks(*nearest).iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
        ),
    })
}

/// Adds each fault once, with the datasets for which it is one.
fn check(spec: &TemplateSpec, datasets: &[&dyn Dataset], faults: &mut Vec<String>) {
    let mut found: Vec<(String, Vec<&str>)> = Vec::new();
    for dataset in datasets {
        for fault in spec.validate(dataset.columns()).err().unwrap_or_default() {
            let text = format!("{}: {}", fault.path, fault.detail);
            match found.iter_mut().find(|(known, _)| *known == text) {
                Some((_, names)) => names.push(dataset.name()),
                None => found.push((text, vec![dataset.name()])),
            }
        }
    }
    let all = datasets.len();
    faults.extend(found.into_iter().map(|(text, names)| match (names.len(), spec.datasets.is_empty()) {
        (some, _) if some == all => text,
        (_, false) => format!("{text} (of {})", names.join(", ")),
        // it may not be meant for them
        (_, true) => format!("{text} (of {}); say with `datasets` which it is for", names.join(", ")),
    }));
}
