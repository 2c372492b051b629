//! The text that tells users which datasets a new catalog file contains.

use exporter::catalog::init::InitReport;

/// Returns the text for users: the datasets in a new catalog file, and the parts of the source that the file omits.
pub(crate) fn summary(file: &str, report: &InitReport) -> String {
    let count = |count: usize, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
    let mut out = match report.kept {
        0 => format!("{file}: {}\n", count(report.datasets.len(), "dataset")),
        kept => format!("{file}: {} added, {} kept\n", count(report.datasets.len(), "dataset"), count(kept, "dataset")),
    };
    let mut line = |text: String| out.push_str(&(text + "\n"));
    for dataset in &report.datasets {
        let mut facts = vec![dataset.of.clone(), count(dataset.columns, "column")];
        facts.extend(dataset.tenant_column.as_ref().map(|column| format!("rows by `{column}`")));
        if !dataset.masked.is_empty() {
            facts.push(format!("masked: {}", dataset.masked.join(", ")));
        }
        line(format!("  {}: {}", dataset.name, facts.join("; ")));
    }
    for part in &report.not_offered {
        line(format!("  not offered: {}: {}", part.what, part.reason));
    }
    for new in &report.new_columns {
        line(format!(
            "  {}: its source has columns that the file does not declare: {}",
            new.dataset,
            new.columns.join(", ")
        ));
    }
    if report.datasets.iter().any(|dataset| dataset.tenant_column.is_some() || !dataset.masked.is_empty()) {
        line("  Tenants and masks are guesses: the file says why, beside each.".into());
    }
    out
}

#[cfg(test)]
mod tests {
    use exporter::catalog::init::{InitDataset, NewColumns, NotOffered};

    use super::*;

    #[test]
    fn guesses_and_what_is_not_offered_are_named() {
        let orders = InitDataset {
            name: "orders".into(),
            of: "table `public.orders`".into(),
            columns: 1,
            tenant_column: Some("org_id".into()),
            masked: vec!["email".into(), "phone".into()],
        };
        let report = InitReport {
            datasets: vec![orders],
            kept: 2,
            not_offered: vec![NotOffered { what: "view `public.v`".into(), reason: "it has no columns".into() }],
            new_columns: vec![NewColumns { dataset: "people".into(), columns: vec!["age".into()] }],
            variable: None,
        };
        let expected = "c.toml: 1 dataset added, 2 datasets kept\n\
                        \x20 orders: table `public.orders`; 1 column; rows by `org_id`; masked: email, phone\n\
                        \x20 not offered: view `public.v`: it has no columns\n\
                        \x20 people: its source has columns that the file does not declare: age\n\
                        \x20 Tenants and masks are guesses: the file says why, beside each.\n";
        assert_eq!(summary("c.toml", &report), expected);
        assert_eq!(summary("c.toml", &InitReport::default()), "c.toml: 0 datasets\n");
    }
}
