//! `/metrics` of running services: valid text with a description of each metric, and every metric of alerts and panels.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Stdio,
};

use e2e::{Fleet, Plan};
use platform::metrics::{Kind, Service, TABLE, Values};
use protocol::export::{ExportRequest, Status};
use serde_json::Value;
use testkit::{eventually, fault::free_port};
use tokio::{io::AsyncWriteExt, process::Command};

/// The metrics of a service, parsed from the Prometheus text format.
#[derive(Debug, Default)]
struct Page {
    kinds: BTreeMap<String, String>,
    helps: BTreeMap<String, String>,
    samples: BTreeMap<String, f64>,
}

impl Page {
    /// Parses the text of a page.
    ///
    /// # Panics
    /// When a line is invalid; the message has the line.
    fn read(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line does not end with a newline");
        let mut page = Self::default();
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(comment) = line.strip_prefix("# ") {
                let mut words = comment.splitn(3, ' ');
                let (what, name, rest) = (words.next(), words.next().expect(line), words.next().expect(line));
                let before = match what {
                    Some("HELP") => page.helps.insert(name.to_owned(), rest.to_owned()),
                    Some("TYPE") => page.kinds.insert(name.to_owned(), rest.to_owned()),
                    _ => panic!("neither help nor type: {line}"),
                };
                assert_eq!(before, None, "duplicate: {line}");
                continue;
            }
            let (series, value) = line.rsplit_once(' ').expect(line);
            let value: f64 = value.parse().unwrap_or_else(|_| panic!("not a number: {line}"));
            let family = page.family(series).unwrap_or_else(|| panic!("no type before it: {line}"));
            assert!(page.helps.contains_key(&family), "no help: {line}");
            labels(series);
            assert_eq!(page.samples.insert(series.to_owned(), value), None, "duplicate: {line}");
        }
        page.check_histograms();
        page
    }

    /// The metric of a series.
    fn family(&self, series: &str) -> Option<String> {
        let name = series.split('{').next().unwrap_or_default();
        let stem = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let stem = stem.filter(|stem| self.kinds.get(*stem).is_some_and(|kind| kind == "histogram"));
        let family = stem.unwrap_or(name);
        self.kinds.contains_key(family).then(|| family.to_owned())
    }

    /// Checks that the buckets of each histogram are complete and cumulative.
    fn check_histograms(&self) {
        for (series, count) in self.samples.iter().filter(|(series, _)| series.contains("_count")) {
            let (name, rest) = series.split_once("_count").expect("the filter found it");
            if self.kinds.get(name).is_none_or(|kind| kind != "histogram") {
                continue;
            }
            let labels = rest.trim_start_matches('{').trim_end_matches('}');
            let of = |le: &str| {
                let comma = if labels.is_empty() { "" } else { "," };
                self.samples.get(&format!("{name}_bucket{{{labels}{comma}le=\"{le}\"}}")).copied()
            };
            assert_eq!(of("+Inf"), Some(*count), "{series}");
            let metric = TABLE.iter().find(|metric| metric.name == name).expect(name);
            let Kind::Histogram(buckets) = metric.kind else { panic!("{name} is no histogram in the table") };
            let mut before = 0.0;
            for bucket in buckets {
                let here = of(&bucket.to_string()).unwrap_or_else(|| panic!("{series} has no bucket {bucket}"));
                assert!(here >= before && here <= *count, "{series} {bucket}");
                before = here;
            }
        }
    }

    fn has(&self, name: &str) -> bool {
        self.samples.keys().any(|series| series.split('{').next() == Some(name))
    }

    /// The sum over all series of a metric.
    fn sum(&self, name: &str) -> f64 {
        self.samples.iter().filter(|(series, _)| series.split('{').next() == Some(name)).map(|(_, value)| value).sum()
    }

    fn value(&self, series: &str) -> f64 {
        *self.samples.get(series).unwrap_or_else(|| panic!("{series} is missing"))
    }
}

/// The labels of a series and their values.
fn labels(series: &str) -> BTreeMap<String, String> {
    let Some((_, rest)) = series.split_once('{') else { return BTreeMap::new() };
    let mut rest = rest.strip_suffix('}').expect(series);
    let mut found = BTreeMap::new();
    while !rest.is_empty() {
        let (name, after) = rest.split_once("=\"").expect(series);
        let end = after.find('"').expect(series);
        assert!(!after[..end].contains('\\'), "{series}");
        assert_eq!(found.insert(name.to_owned(), after[..end].to_owned()), None, "{series}");
        rest = after[end + 1..].trim_start_matches(',');
    }
    found
}

/// The names of metrics in PromQL expressions.
fn metric_names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("sluice_") || word.starts_with("process_")).map(str::to_owned).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// The metrics of the alerts and of the panels of the dashboard.
fn used_metrics() -> BTreeSet<String> {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).expect(path);
    let mut used = metric_names(&read("ops/prometheus/alerts.yaml"));
    assert!(used.len() > 15, "{used:?}");
    let board: Value = serde_json::from_str(&read("ops/grafana/sluice.json")).expect("JSON");
    for panel in board["panels"].as_array().expect("panels") {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let names = metric_names(target["expr"].as_str().expect("an expression"));
            assert!(!names.is_empty(), "{target}");
            used.extend(names);
        }
    }
    used
}

/// Checks a page with promtool when `SLUICE_PROMTOOL` names it.
async fn check_with_promtool(text: &str) {
    let Some(promtool) = std::env::var_os("SLUICE_PROMTOOL") else { return };
    let mut child = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool runs");
    child.stdin.take().expect("piped").write_all(text.as_bytes()).await.expect("promtool reads");
    let done = child.wait_with_output().await.expect("promtool ends");
    let output = String::from_utf8_lossy(&done.stderr).into_owned() + &String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{output}");
}

async fn fetch(port: u16) -> String {
    let answer = reqwest::get(format!("http://127.0.0.1:{port}/metrics")).await.expect("the port answers");
    let kind = answer.headers()[reqwest::header::CONTENT_TYPE].to_str().expect("text").to_owned();
    assert!(kind.starts_with("text/plain"), "{kind}");
    answer.text().await.expect("a page")
}

#[tokio::test]
async fn services_expose_every_metric_of_alerts_and_panels() {
    let ports = [free_port(), free_port(), free_port()];
    let listen = |port: u16| format!("127.0.0.1:{port}");
    let fleet = Fleet::start(Plan {
        settings: vec![
            ("SLUICE_GATEWAY__INTERNAL_LISTEN", listen(ports[0])),
            ("SLUICE_EXPORTER__INTERNAL_LISTEN", listen(ports[1])),
            ("SLUICE_NOTIFIER__INTERNAL_LISTEN", listen(ports[2])),
            ("SLUICE_NOTIFIER__METRICS_INTERVAL", "200ms".into()),
        ],
        ..Plan::default()
    })
    .await;
    let rest = fleet.rest();
    let request = ExportRequest { dataset: "flights".into(), ..ExportRequest::default() };
    let export = rest.create(&request).await;
    let done = rest.ended(export.id).await;
    assert_eq!(done.status, Status::Completed);
    rest.get(&done.links.file).await;
    assert_eq!(rest.get("/v1/no-such-path").await.status.as_u16(), 404);

    let size = done.file.as_ref().expect("a file").size as f64;
    let mut exposed = BTreeSet::new();
    for (service, port) in [Service::Gateway, Service::Exporter, Service::Notifier].into_iter().zip(ports) {
        // Some metrics are updated at intervals, and some after the client received the result.
        let page = eventually("the service exposes every metric and has counted the export", || async {
            let page = Page::read(&fetch(port).await);
            let missing = TABLE.iter().filter(|metric| service.has(metric.scope)).find(|metric| {
                let counted = |name: &str| page.has(name) || page.has(&format!("{name}_count"));
                let known = metric.labels.iter().all(|label| matches!(label.1, Values::Known(_)));
                known && !counted(metric.name)
            });
            let counted = match service {
                Service::Gateway => page.sum("sluice_gateway_file_bytes_total") >= size,
                Service::Exporter => page.sum("sluice_exporter_attempts_total") > 0.0,
                Service::Notifier => {
                    page.sum("sluice_export_bytes_count") > 0.0 && page.sum("sluice_notifier_metrics_polls_total") > 0.0
                }
            };
            (missing.is_none() && counted).then_some(page)
        })
        .await;
        check_with_promtool(&fetch(port).await).await;
        for series in page.samples.keys() {
            let metric = page.family(series).expect("checked");
            let metric = TABLE.iter().find(|found| found.name == metric).unwrap_or_else(|| panic!("{series}"));
            assert!(service.has(metric.scope), "{series} does not belong to {service:?}");
            for (name, value) in labels(series).into_iter().filter(|(name, _)| name != "le") {
                let label = metric.labels.iter().find(|label| label.0 == name).unwrap_or_else(|| panic!("{series}"));
                if let Values::Known(values) = label.1 {
                    assert!(values.contains(&value.as_str()), "{series}");
                }
            }
        }
        exposed.extend(page.samples.keys().map(|series| series.split('{').next().unwrap_or_default().to_owned()));
        match service {
            Service::Gateway => {
                assert_eq!(page.sum("sluice_gateway_exports_accepted_total"), 1.0);
                assert_eq!(page.value(r#"sluice_credit_events_total{kind="hold"}"#), 1.0);
                assert_eq!(page.value(r#"sluice_gateway_file_bytes_total{over="http"}"#), size);
                let created =
                    r#"sluice_gateway_http_response_header_seconds_count{route="POST /v1/exports",status="2xx"}"#;
                assert_eq!(page.value(created), 1.0);
                assert!(
                    !page.samples.keys().any(|series| series.contains("no-such-path")),
                    "a request made a new label value"
                );
            }
            Service::Exporter => {
                assert_eq!(page.value(r#"sluice_exporter_attempts_total{result="completed"}"#), 1.0);
                assert!(page.value("process_resident_memory_bytes") > 1e6);
            }
            Service::Notifier => {
                assert_eq!(page.value("sluice_exports_succeeded_total"), 1.0);
                assert!(page.value(r#"sluice_notifier_metrics_polls_total{result="ok"}"#) > 0.0);
                assert_eq!(page.value(r#"sluice_notifier_metrics_polls_total{result="failed"}"#), 0.0);
                assert_eq!(page.value(r#"sluice_credit_events_total{kind="capture"}"#), 1.0);
                assert_eq!(page.sum("sluice_export_bytes_count"), 1.0);
                assert_eq!(page.sum("sluice_export_bytes_sum"), size);
            }
        }
    }
    // Metrics of scheduled jobs and dead letters appear with the first event.
    let rare = [
        "sluice_scheduled_job_runs_total",
        "sluice_notifier_schedule_last_duration_seconds",
        "sluice_exporter_dead_letters_total",
    ];
    let missing: Vec<_> =
        used_metrics().into_iter().filter(|name| !exposed.contains(name) && !rare.contains(&name.as_str())).collect();
    assert_eq!(missing, [""; 0], "alerts or panels use metrics that no service exposes");
    for name in rare {
        assert!(TABLE.iter().any(|metric| metric.name == name), "{name}");
    }
}

#[test]
fn every_alert_has_a_runbook_and_a_test_and_every_runbook_an_alert() {
    let alerts = std::fs::read_to_string(root().join("ops/prometheus/alerts.yaml")).expect("the alerts");
    let names: BTreeSet<_> = alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let urls: BTreeSet<_> = alerts.lines().filter_map(|line| line.trim().strip_prefix("runbook_url: ")).collect();
    let severities = alerts.matches("severity: page").count() + alerts.matches("severity: ticket").count();
    assert!(names.len() >= 12 && urls.len() == names.len() && severities >= names.len(), "{names:?}");
    for name in &names {
        let page = format!("ops/runbooks/{name}.md");
        assert!(urls.contains(page.as_str()), "{name}");
        let text = std::fs::read_to_string(root().join(&page)).unwrap_or_else(|_| panic!("{page}"));
        for part in [&format!("# {name}: "), "## Symptoms", "## Diagnosis", "## Actions"] {
            assert!(text.contains(part), "{page} lacks {part}");
        }
    }
    let tests = std::fs::read_to_string(root().join("ops/prometheus/alerts.test.yaml")).expect("their tests");
    for entry in std::fs::read_dir(root().join("ops/runbooks")).expect("the runbooks") {
        let name = entry.expect("a file").file_name().into_string().expect("a name");
        let name = name.trim_end_matches(".md");
        assert!(name == "README" || names.contains(name), "there is no alert {name}");
        assert!(name == "README" || tests.contains(&format!("alertname: {name}")), "{name} has no test");
    }
}
