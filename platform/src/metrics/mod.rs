//! Metrics: what there is, and what every process tells of itself.
//!
//! - [`TABLE`] names every metric with its kind, unit, labels and what it says. [`begin`] describes those of a service
//!   and has them all there from the start, at zero, so that an alert never waits for a first event.
//! - [`observe`] looks now and then at what nobody counts: the process, database pools, the connection to NATS.
//!
//! **Labels are bounded.** A label has a list of known values, or a reason why there are few. None holds a tenant, a person,
//! an export, a dataset or a path: what belongs to one of them is in the logs and in the database.

mod observe;
mod process;
mod store;
mod table;

use std::{borrow::Cow, sync::OnceLock};

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

pub(crate) use self::store::MeteredStore;
pub use self::{
    observe::{Pool, observe},
    table::TABLE,
};

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name, with its unit at the end.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// What its values are.
    pub unit: Unit,
    /// Who has it.
    pub of: Of,
    /// Its labels.
    pub labels: &'static [Label],
    /// What it says, for people.
    pub help: &'static str,
}

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// How many values were up to each of these.
    Histogram(&'static [f64]),
}

/// What the values of a metric are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A number of things, or yes and no.
    Count,
    /// Bytes.
    Bytes,
    /// Seconds.
    Seconds,
    /// From 0 to 1.
    Ratio,
}

/// Who has a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// Every service.
    All,
    /// Those that reach the file store: exporters and notifiers.
    Files,
    /// Those that move credits: gateways and notifiers.
    Credits,
    /// Gateways.
    Gateway,
    /// Exporters.
    Exporter,
    /// Notifiers.
    Notifier,
}

/// A label and the values that it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label(pub &'static str, pub Values);

/// What a label may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// One of these.
    Known(&'static [&'static str]),
    /// One of few, for this reason.
    Bounded(&'static str),
}

/// Which service begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// A gateway.
    Gateway,
    /// An exporter.
    Exporter,
    /// A notifier.
    Notifier,
}

impl Service {
    /// Whether it has such metrics.
    #[must_use]
    pub const fn has(self, of: Of) -> bool {
        match of {
            Of::All => true,
            Of::Files => matches!(self, Self::Exporter | Self::Notifier),
            Of::Credits => matches!(self, Self::Gateway | Self::Notifier),
            Of::Gateway => matches!(self, Self::Gateway),
            Of::Exporter => matches!(self, Self::Exporter),
            Of::Notifier => matches!(self, Self::Notifier),
        }
    }
}

/// Collects metrics from now on; the handle renders them for Prometheus.
///
/// # Errors
/// When a recorder was installed before.
pub(crate) fn install() -> Result<PrometheusHandle, BuildError> {
    let mut builder = PrometheusBuilder::new();
    for metric in TABLE {
        if let Kind::Histogram(buckets) = metric.kind {
            builder = builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), buckets)?;
        }
    }
    let handle = builder.install_recorder()?;
    HANDLE.get_or_init(|| handle.clone());
    process::began();
    Ok(handle)
}

/// There is one recorder in a process.
static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();

/// Sums up what histograms have measured, so that it takes no memory where nobody asks for `/metrics`.
fn upkeep() {
    if let Some(handle) = HANDLE.get() {
        handle.run_upkeep();
    }
}

/// Describes the metrics of a service, and has each there at zero that has known labels alone.
pub fn begin(service: Service) {
    for metric in TABLE.iter().filter(|metric| service.has(metric.of)) {
        describe(metric);
        if let Some(sets) = known_labels(metric.labels) {
            for labels in sets {
                touch(metric, labels);
            }
        }
    }
    metrics::gauge!("sluice_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}

fn describe(metric: &Metric) {
    let unit = match metric.unit {
        Unit::Count => metrics::Unit::Count,
        Unit::Bytes => metrics::Unit::Bytes,
        Unit::Seconds => metrics::Unit::Seconds,
        Unit::Ratio => metrics::Unit::Percent,
    };
    let help = Cow::Borrowed(metric.help);
    match metric.kind {
        Kind::Counter => metrics::describe_counter!(metric.name, unit, help),
        Kind::Gauge => metrics::describe_gauge!(metric.name, unit, help),
        Kind::Histogram(_) => metrics::describe_histogram!(metric.name, unit, help),
    }
}

fn touch(metric: &Metric, labels: Vec<metrics::Label>) {
    match metric.kind {
        Kind::Counter => metrics::counter!(metric.name, labels).increment(0),
        // what was set before, as by another service of the process, stays
        Kind::Gauge => metrics::gauge!(metric.name, labels).increment(0.0),
        Kind::Histogram(_) => drop(metrics::histogram!(metric.name, labels)),
    }
}

/// Every combination of the values of these labels; none where one is not known beforehand.
fn known_labels(labels: &[Label]) -> Option<Vec<Vec<metrics::Label>>> {
    let mut sets = vec![Vec::new()];
    for Label(name, values) in labels {
        let Values::Known(values) = values else { return None };
        let with = |set: &Vec<metrics::Label>| {
            let set = set.clone();
            values.iter().map(move |value| {
                let mut set = set.clone();
                set.push(metrics::Label::from_static_parts(name, value));
                set
            })
        };
        sets = sets.iter().flat_map(with).collect();
    }
    Some(sets)
}

#[cfg(test)]
mod tests {
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
    fn names_are_as_prometheus_wants_them_and_say_their_units() {
        let mut names = BTreeSet::new();
        for metric in TABLE {
            let Metric { name, kind, unit, .. } = *metric;
            assert!(names.insert(name), "{name} stands there twice");
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'), "{name}");
            assert_eq!(kind == Kind::Counter, name.ends_with("_total"), "{name}");
            let base = name.strip_suffix("_total").unwrap_or(name);
            let told = |suffix| unit_of(suffix) == unit;
            assert!(told(base) || base.ends_with("_max"), "{name} does not say its unit");
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
    fn labels_are_bounded_and_hold_nobodys_name() {
        const NOBODYS: [&str; 9] =
            ["tenant", "user", "sub", "export", "export_id", "dataset", "path", "instance", "id"];
        for metric in TABLE {
            let mut most = 1;
            for Label(name, values) in metric.labels {
                assert!(!NOBODYS.contains(name), "{}: {name}", metric.name);
                most *= match values {
                    Values::Known(values) => values.len(),
                    // said in words; a generous guess
                    Values::Bounded(why) => {
                        assert!(!why.is_empty());
                        8
                    }
                };
            }
            assert!(most <= 64, "{} may have {most} series", metric.name);
        }
    }

    #[test]
    fn known_values_are_those_of_the_contract() {
        let values = |name: &str, label: &str| -> Vec<&str> {
            let metric = TABLE.iter().find(|metric| metric.name == name).unwrap();
            let Label(_, values) = metric.labels.iter().find(|found| found.0 == label).unwrap();
            let Values::Known(values) = values else { panic!("{name}") };
            values.to_vec()
        };
        assert_eq!(values("sluice_exports_failed_total", "slug"), Slug::ALL.map(Slug::as_str));
        assert_eq!(values("sluice_queue_wait_seconds", "lane"), Lane::ALL.map(Lane::as_str));
        let streams = [subject::STREAM_JOBS, subject::STREAM_OUTCOMES, subject::STREAM_EVENTS, subject::STREAM_DEAD];
        assert_eq!(values("sluice_jetstream_messages", "stream"), streams);
    }

    /// The table as docs/metrics.md has it.
    fn page() -> String {
        let mut page = String::from("| metric | kind | labels | what it says | of |\n|---|---|---|---|---|\n");
        for Metric { name, kind, of, labels, help, .. } in TABLE {
            let kind = match kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram(_) => "histogram",
            };
            let of = match of {
                Of::All => "all",
                Of::Files => "exporters, notifiers",
                Of::Credits => "gateways, notifiers",
                Of::Gateway => "gateways",
                Of::Exporter => "exporters",
                Of::Notifier => "notifiers",
            };
            let labels: Vec<_> = labels
                .iter()
                .map(|Label(name, values)| match values {
                    Values::Known(values) if values.len() <= 5 => format!("`{name}`: {}", values.join(", ")),
                    Values::Known(_) => format!("`{name}`: a list in the table"),
                    Values::Bounded(why) => format!("`{name}`: {why}"),
                })
                .collect();
            page += &format!("| `{name}` | {kind} | {} | {help} | {of} |\n", labels.join("; "));
        }
        page
    }

    #[test]
    fn the_page_says_what_the_table_says() {
        const BEGIN: &str = "<!-- the table: made from platform/src/metrics/table.rs -->\n";
        const END: &str = "<!-- its end -->";
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/metrics.md");
        let text = std::fs::read_to_string(&path).unwrap();
        let (before, rest) = text.split_once(BEGIN).unwrap();
        let (_, after) = rest.split_once(END).unwrap();
        let wanted = format!("{before}{BEGIN}{}{END}{after}", page());
        if std::env::var_os("UPDATE_CONTRACT").is_some() {
            std::fs::write(&path, &wanted).unwrap();
        } else {
            assert!(text == wanted, "docs/metrics.md is old: UPDATE_CONTRACT=1 writes it anew");
        }
    }

    /// Every `counter!("…"`, `gauge!("…"` and `histogram!("…"` in the services.
    fn written(folder: &Path, found: &mut BTreeMap<String, (&'static str, PathBuf)>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                written(&path, found);
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
    fn the_table_has_what_the_code_counts_and_nothing_else() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut found = BTreeMap::new();
        for service in ["platform", "gateway", "exporter", "notifier", "sluice", "entity"] {
            written(&root.join(service).join("src"), &mut found);
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
        let unused: Vec<_> = TABLE.iter().map(|metric| metric.name).filter(|name| !found.contains_key(*name)).collect();
        assert_eq!(unused, [""; 0], "nobody counts these");
    }
}
