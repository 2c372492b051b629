//! Traces: one export is one trace through gateway, exporter and notifier.

mod collector;

use std::collections::{BTreeSet, HashSet};

use e2e::{Fleet, Plan};
use protocol::{
    client::{Deliver, ExportCreate},
    export::{ExportRequest, Status},
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::{
    client::{Client, Credential},
    eventually,
    fault::Process,
};
use tokio::net::TcpListener;

use self::collector::{Collector, Span};

const MIB: u64 = 1024 * 1024;
/// The trace id and the span id of a client that traces its own work.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

async fn fleet(endpoint: &str, more: &[(&'static str, &str)]) -> Fleet {
    let mut settings = vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.to_owned()),
        ("OTEL_BSP_SCHEDULE_DELAY", "50".to_owned()),
        ("SLUICE_LOG__FORMAT", "json".to_owned()),
    ];
    settings.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
    Fleet::start(Plan { settings, ..Plan::default() }).await
}

/// Waits until the trace has a span of each of these names.
async fn await_spans(collector: &Collector, trace: &str, names: &[&str]) -> Vec<Span> {
    eventually(&format!("{names:?} in {trace}"), async || {
        let spans = collector.trace(trace);
        let found: HashSet<&str> = spans.iter().map(|span| span.name.as_str()).collect();
        names.iter().all(|name| found.contains(name)).then_some(spans)
    })
    .await
}

fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no {name} in {spans:#?}"))
}

/// Asserts that the first span of this name has a parent with the name `parent`.
fn assert_parent(spans: &[Span], name: &str, parent: &str) {
    let child = named(spans, name);
    let found = spans.iter().find(|span| span.id == child.parent);
    assert_eq!(found.map(|span| span.name.as_str()), Some(parent), "the parent of {name} in {spans:#?}");
}

/// The spans whose parent is not among the spans.
fn top_spans(spans: &[Span]) -> Vec<&Span> {
    let ids: HashSet<&str> = spans.iter().map(|span| span.id.as_str()).collect();
    spans.iter().filter(|span| !ids.contains(span.parent.as_str())).collect()
}

/// The log lines of a process with this trace id. Every line is JSON.
fn log_lines(process: &Process, trace: &str) -> Vec<Value> {
    let text = process.stderr();
    // The last line may be incomplete.
    let complete = text.rfind('\n').map_or("", |end| &text[..end]);
    let parsed = complete.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")));
    parsed.filter(|line: &Value| line["trace_id"] == trace).collect()
}

#[tokio::test]
async fn one_export_is_one_trace_through_all_services() {
    let collector = Collector::start().await;
    let fleet = fleet(collector.url(), &[]).await;
    let mut client = fleet.client().await;
    let create =
        ExportCreate { dataset: "flights".into(), deliver: Deliver::Stream, window: Some(MIB), ..Default::default() };
    let export = client.create(create).await;
    let opened = client.opened(export.id, MIB).await;
    let size = client.collect(opened, false).await.seal().size;
    assert_eq!(client.ended(export.id).await.status, Status::Completed);

    let submit = eventually("the request's span", async || {
        let id = export.id.to_string();
        let spans = collector.spans().into_iter();
        spans.filter(|span| span.name == "export.submit").find(|span| span.attributes["export.id"] == id)
    })
    .await;
    let names = [
        "export.submit",
        "dispatch",
        "job.process",
        "dataset.open",
        "encode",
        "segment.put",
        "outcome.settle",
        "event.publish",
        "event.deliver",
        "grant",
        "file.deliver",
    ];
    let spans = await_spans(&collector, &submit.trace, &names).await;
    for (child, parent) in [
        ("dispatch", "export.submit"),
        ("job.process", "dispatch"),
        ("dataset.open", "job.process"),
        ("encode", "job.process"),
        ("segment.put", "encode"),
        ("outcome.settle", "job.process"),
        ("event.publish", "outcome.settle"),
        ("event.deliver", "event.publish"),
        ("file.deliver", "export.submit"),
        ("grant", "file.deliver"),
    ] {
        assert_parent(&spans, child, parent);
    }
    let top = top_spans(&spans);
    assert!(top.len() == 1 && top[0].name == "export.submit" && top[0].parent.is_empty(), "{top:#?}");
    let services: BTreeSet<&str> = spans.iter().map(|span| span.service.as_str()).collect();
    assert_eq!(services, BTreeSet::from(["sluice-exporter", "sluice-gateway", "sluice-notifier"]));
    let kinds = ["export.submit", "dispatch", "job.process", "grant"].map(|name| named(&spans, name).kind);
    assert_eq!(kinds, [2, 4, 5, 2], "server, producer, consumer, server");

    // Attributes name the tenant and the size, but never a user.
    let file = named(&spans, "file.deliver");
    assert_eq!(file.attributes["file.bytes"], size.to_string());
    assert_eq!(named(&spans, "job.process").attributes["export.tenant"], "acme");
    for span in collector.spans() {
        assert!(span.time.0 <= span.time.1, "{span:?}");
        assert!(!span.attributes.values().any(|value| value.contains("alice")), "a user in {span:?}");
    }

    // Log lines have the same trace id and export id, in one flat JSON object per line.
    for (process, message) in [
        (&fleet.gateways[0], "export accepted"),
        (&fleet.exporters[0], "completed an export"),
        (&fleet.notifiers[0], "outcome settled"),
    ] {
        let line = eventually(&format!("`{message}` in the logs"), async || {
            log_lines(process, &submit.trace).into_iter().find(|line| line["message"] == message)
        })
        .await;
        assert_eq!(line["export.id"], json!(export.id));
    }
}

#[tokio::test]
async fn slow_an_export_continues_the_trace_of_its_request() {
    let collector = Collector::start().await;
    let fleet = fleet(collector.url(), &[]).await;
    let rest = fleet.rest();
    // The header says "not sampled", which a gateway ignores.
    let submit = |dataset: &str| {
        let body = ExportRequest { dataset: dataset.into(), ..Default::default() };
        let request = rest.request(Method::POST, "/v1/exports").header("traceparent", format!("00-{TRACE}-{SPAN}-00"));
        rest.send(request.json(&body))
    };
    let refused = submit("nothing").await;
    assert_eq!(refused.problem().trace_id.as_deref(), Some(TRACE));
    let answer = submit("flights").await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text());
    let export = rest.ended(answer.json::<protocol::export::Export>().id).await;
    assert_eq!(export.status, Status::Completed);

    let names = ["POST /v1/exports", "export.submit", "dispatch", "job.process", "outcome.settle", "event.publish"];
    let spans = eventually("the spans of both requests and of the export", async || {
        let spans = await_spans(&collector, TRACE, &names).await;
        (spans.iter().filter(|span| span.name == names[0]).count() == 2).then_some(spans)
    })
    .await;
    let top = top_spans(&spans);
    assert!(top.iter().all(|span| span.name == names[0] && span.parent == SPAN), "{top:#?}");
    let services: BTreeSet<&str> = spans.iter().map(|span| span.service.as_str()).collect();
    assert_eq!(services.len(), 3, "{services:?}");
    assert_parent(&spans, "export.submit", names[0]);
    let requests = || spans.iter().filter(|span| span.name == names[0]);
    let attribute = |name: &str| requests().map(|span| span.attributes[name].as_str()).collect::<BTreeSet<_>>();
    assert_eq!(attribute("http.request.method"), BTreeSet::from(["POST"]));
    assert_eq!(attribute("http.route"), BTreeSet::from(["/v1/exports"]));
    assert_eq!(attribute("http.response.status_code"), BTreeSet::from([refused.status.as_str(), "202"]));

    // A download starts a new trace with a link to the trace of the export.
    let file = rest.get(&export.links.file).await;
    assert_eq!(file.status, StatusCode::OK);
    let download = eventually("the download's span", async || {
        collector.spans().into_iter().find(|span| span.name == "file.deliver")
    })
    .await;
    assert_ne!(download.trace, TRACE);
    assert_eq!(download.links, [TRACE]);
    assert_eq!(download.attributes["file.bytes"], file.body.len().to_string());
}

#[tokio::test]
async fn slow_all_exports_of_a_session_continue_the_trace_of_its_handshake() {
    let collector = Collector::start().await;
    let fleet = fleet(collector.url(), &[]).await;
    let token = fleet.token("alice", "acme");
    let head = [("traceparent", &*format!("00-{TRACE}-{SPAN}-00"))];
    let client = Client::connect_with(fleet.url(), Credential::Bearer(&token), &head).await;
    let mut client = client.unwrap_or_else(|e| panic!("session refused: {e:?}"));
    let create =
        ExportCreate { dataset: "flights".into(), deliver: Deliver::Stream, window: Some(MIB), ..Default::default() };
    let export = client.create(create).await;
    let opened = client.opened(export.id, MIB).await;
    assert!(client.collect(opened, false).await.seal().rows > 0);
    assert_eq!(client.ended(export.id).await.status, Status::Completed);
    // A second export of the same session.
    let other = client.create(ExportCreate { dataset: "menus".into(), ..Default::default() }).await;
    assert_eq!(client.ended(other.id).await.status, Status::Completed);

    let names = [
        "export.submit",
        "dispatch",
        "job.process",
        "encode",
        "segment.put",
        "outcome.settle",
        "event.publish",
        "event.deliver",
        "grant",
        "file.deliver",
    ];
    let ids = BTreeSet::from([export.id.to_string(), other.id.to_string()]);
    let spans = eventually("the spans of both exports are descendants of the client's span", async || {
        let spans = await_spans(&collector, TRACE, &names).await;
        let submitted = spans.iter().filter(|span| span.name == "export.submit");
        let submitted: BTreeSet<_> = submitted.filter_map(|span| span.attributes.get("export.id").cloned()).collect();
        let descend = top_spans(&spans).iter().all(|span| span.parent == SPAN);
        (submitted == ids && descend).then_some(spans)
    })
    .await;
    let services: BTreeSet<&str> = spans.iter().map(|span| span.service.as_str()).collect();
    assert_eq!(services, BTreeSet::from(["sluice-exporter", "sluice-gateway", "sluice-notifier"]));

    // Without a trace of the client, each export starts its own trace.
    let mut untraced = fleet.client().await;
    let own = untraced.create(ExportCreate { dataset: "menus".into(), ..Default::default() }).await;
    let found = eventually("the span of its submission", async || {
        let spans = collector.spans().into_iter().filter(|span| span.name == "export.submit");
        spans.into_iter().find(|span| span.attributes.get("export.id") == Some(&own.id.to_string()))
    })
    .await;
    assert!(found.trace != TRACE && found.parent.is_empty(), "{found:#?}");
}

#[tokio::test]
async fn slow_a_collector_that_never_answers_does_not_affect_exports() {
    // This listener accepts connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", silent.local_addr().expect("bound"));
    let limits = [
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "200"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "4"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4"),
    ];
    let mut fleet = fleet(&url, &limits).await;
    let rest = fleet.rest();
    for _ in 0..3 {
        let export = rest.create(&ExportRequest { dataset: "flights".into(), ..Default::default() }).await;
        assert_eq!(rest.ended(export.id).await.status, Status::Completed, "{}", fleet.logs());
    }
    let warnings = |process: &Process| process.stderr().matches("failed to send spans").count();
    eventually("the gateway warns that it failed to send spans", async || {
        (warnings(&fleet.gateways[0]) > 0).then_some(())
    })
    .await;
    for process in fleet.gateways.iter_mut().chain(&mut fleet.exporters).chain(&mut fleet.notifiers) {
        process.terminate();
        let status = process.ended().await;
        assert!(status.success(), "{status}: {}", process.stderr());
        assert!(warnings(process) <= 1, "one warning, not one for each batch: {}", process.stderr());
    }
}

#[tokio::test]
async fn all_services_log_the_same_ids_without_a_collector() {
    let fleet = fleet("", &[("SLUICE_LOG__FILTER", "info")]).await;
    let rest = fleet.rest();
    let request = rest.request(Method::POST, "/v1/exports").header("traceparent", format!("00-{TRACE}-{SPAN}-01"));
    let body = ExportRequest { dataset: "flights".into(), ..Default::default() };
    let answer = rest.send(request.json(&body)).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text());
    for process in [&fleet.gateways[0], &fleet.exporters[0], &fleet.notifiers[0]] {
        eventually("a line with both ids", async || {
            log_lines(process, TRACE).iter().any(|line| line["export.id"].is_string()).then_some(())
        })
        .await;
    }
}
