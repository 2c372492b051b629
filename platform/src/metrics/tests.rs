//! Compares the table of metrics with the code, the protocol and docs/metrics.md.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use protocol::{
    problem::Slug,
    subject::{self, Lane},
};

use super::*;

#[test]
fn names_follow_the_prometheus_conventions_and_end_with_their_unit() {
    let mut names = BTreeSet::new();
    for metric in TABLE {
        let Metric { name, kind, unit, .. } = *metric;
        assert!(names.insert(name), "{name} is in the table twice");
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'), "{name}");
        assert_eq!(kind == Kind::Counter, name.ends_with("_total"), "{name}");
        let base = name.strip_suffix("_total").unwrap_or(name);
        assert!(unit_of(base) == unit || base.ends_with("_max"), "{name} does not end with its unit");
        assert!(metric.help.ends_with('.'), "{name}");
    }
}

fn unit_of(name: &str) -> Unit {
    match name.rsplit('_').next() {
        Some("bytes") => Unit::Bytes,
        Some("seconds") => Unit::Seconds,
        Some("ratio") => Unit::Ratio,
        _ => Unit::Count,
    }
}

#[test]
fn labels_are_bounded_and_identify_no_tenant_user_or_export() {
    const FORBIDDEN: [&str; 9] = ["tenant", "user", "sub", "export", "export_id", "dataset", "path", "instance", "id"];
    for metric in TABLE {
        let mut series = 1;
        for Label(name, values) in metric.labels {
            assert!(!FORBIDDEN.contains(name), "{}: {name}", metric.name);
            series *= match values {
                Values::Known(values) => values.len(),
                // the text states no number, so the test assumes eight values
                Values::Bounded(why) => {
                    assert!(!why.is_empty());
                    8
                }
            };
        }
        assert!(series <= 64, "{} may have {series} series", metric.name);
    }
}

#[test]
fn known_label_values_match_the_protocol() {
    let values = |name: &str, label: &str| -> Vec<&str> {
        let metric = TABLE.iter().find(|metric| metric.name == name).unwrap();
        let Label(_, values) = metric.labels.iter().find(|found| found.0 == label).unwrap();
        let Values::Known(values) = values else { panic!("{name}") };
        values.to_vec()
    };
    assert_eq!(values("sluice_exports_failed_total", "slug"), Slug::ALL.map(Slug::as_str));
    assert_eq!(values("sluice_queue_dispatch_wait_seconds", "lane"), Lane::ALL.map(Lane::as_str));
    let streams = [subject::STREAM_JOBS, subject::STREAM_OUTCOMES, subject::STREAM_EVENTS, subject::STREAM_DEAD];
    assert_eq!(values("sluice_jetstream_messages", "stream"), streams);
}

/// Renders the table for docs/metrics.md.
fn render_table() -> String {
    let mut page = String::from("| metric | kind | labels | description | services |\n|---|---|---|---|---|\n");
    for Metric { name, kind, scope, labels, help, .. } in TABLE {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
        };
        let services = match scope {
            Scope::All => "all",
            Scope::Files => "exporters, notifiers",
            Scope::Credits => "gateways, notifiers",
            Scope::Gateway => "gateways",
            Scope::Exporter => "exporters",
            Scope::Notifier => "notifiers",
        };
        let labels: Vec<_> = labels
            .iter()
            .map(|Label(name, values)| match values {
                Values::Known(values) if values.len() <= 5 => format!("`{name}`: {}", values.join(", ")),
                Values::Known(_) => format!("`{name}`: a list in the table"),
                Values::Bounded(why) => format!("`{name}`: {why}"),
            })
            .collect();
        page += &format!("| `{name}` | {kind} | {} | {help} | {services} |\n", labels.join("; "));
    }
    page
}

#[test]
fn the_metrics_page_contains_the_current_table() {
    const BEGIN: &str = "<!-- begin: generated from platform/src/metrics/table.rs -->\n";
    const END: &str = "<!-- end: generated -->";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/metrics.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("docs/metrics.md marks the begin of the table");
    let (_, after) = rest.split_once(END).expect("docs/metrics.md marks the end of the table");
    let wanted = format!("{before}{BEGIN}{}{END}{after}", render_table());
    if std::env::var_os("UPDATE_CONTRACT").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    } else {
        assert!(text == wanted, "docs/metrics.md is out of date: UPDATE_CONTRACT=1 rewrites it");
    }
}

/// Collects the names in all `counter!("…"`, `gauge!("…"` and `histogram!("…"` calls below a folder.
fn find_metrics(folder: &Path, found: &mut BTreeMap<String, (&'static str, PathBuf)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            find_metrics(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            for kind in ["counter", "gauge", "histogram"] {
                for rest in text.split(&format!("metrics::{kind}!(")).skip(1) {
                    if let Some(name) = rest.trim_start().strip_prefix('"') {
                        let name = name.split('"').next().unwrap().to_owned();
                        found.insert(name, (kind, path.clone()));
                    }
                }
            }
        }
    }
}

#[test]
fn the_table_and_the_code_have_the_same_metrics() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut found = BTreeMap::new();
    for service in ["platform", "gateway", "exporter", "notifier", "sluice", "entity"] {
        find_metrics(&root.join(service).join("src"), &mut found);
    }
    for (name, (kind, path)) in &found {
        let metric = TABLE.iter().find(|metric| metric.name == name);
        let metric = metric.unwrap_or_else(|| panic!("{name} of {} is not in the table", path.display()));
        let expected = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
        };
        assert_eq!(*kind, expected, "{name} of {}", path.display());
    }
    // the crate metrics-process records the metrics with the prefix process_
    let own = TABLE.iter().map(|metric| metric.name).filter(|name| !name.starts_with("process_"));
    let unused: Vec<_> = own.filter(|name| !found.contains_key(*name)).collect();
    assert_eq!(unused, [""; 0], "no code records these metrics");
}
