//! Every metric there is: one line each.

use super::{
    Kind::{Counter, Gauge, Histogram},
    Label, Metric,
    Of::{All, Credits, Exporter, Files, Gateway, Notifier},
    Unit::{Bytes, Count, Ratio, Seconds},
    Values::{Bounded, Known},
};

/// Up to what a request may take before somebody gives up.
const QUICK: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// From the smallest export to one that takes an hour.
const LONG: &[f64] = &[0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0];
/// From 1 KiB to 16 GiB, in steps of 8.
const SIZES: &[f64] =
    &[1024.0, 8192.0, 65_536.0, 524_288.0, 4_194_304.0, 33_554_432.0, 268_435_456.0, 2_147_483_648.0, 17_179_869_184.0];

const LANE: Label = Label("lane", Known(&["interactive", "bulk"]));
const POOL: Label = Label("pool", Bounded("pools are named in the exporters' settings"));
const FORMAT: Label = Label("format", Bounded("formats are registered in the exporter"));
const CLASS: Label = Label("class", Known(&["busy", "other"]));
const TASK: Label = Label("task", Bounded("scheduled jobs are a list in the notifier"));
const CLIENT: Label = Label("client", Bounded("one for each service in the process"));
const DATABASE: Label = Label("pool", Bounded("`shared`, and `reads` of an exporter"));
const STREAM: Label = Label("stream", Known(&["SLUICE_JOBS", "SLUICE_OUTCOMES", "SLUICE_EVENTS", "SLUICE_DEAD"]));
const CONSUMER: Label = Label("consumer", Bounded("durable ones alone: one of notifiers, two for each pool"));
const DEAD: Label = Label("reason", Bounded("the labels of an exporter's failures, a list in its code"));
const SLUG: Label = Label(
    "slug",
    Known(&[
        "unauthorized",
        "forbidden",
        "not-found",
        "invalid-request",
        "unknown-dataset",
        "unknown-template",
        "invalid-filter",
        "credits-exhausted",
        "too-many-exports",
        "idempotency-conflict",
        "restarted",
        "not-ready",
        "expired",
        "canceled",
        "export-failed",
        "too-large",
        "rate-limited",
        "unavailable",
        "internal",
    ]),
);

/// All metrics, by who has them.
#[rustfmt::skip]
pub const TABLE: &[Metric] = &[
    // every process
    Metric { name: "sluice_build_info", kind: Gauge, unit: Count, of: All, labels: &[Label("version", Bounded("one for each build"))], help: "1, with the version of this build." },
    Metric { name: "process_resident_memory_bytes", kind: Gauge, unit: Bytes, of: All, labels: &[], help: "Memory in RAM." },
    Metric { name: "process_open_fds", kind: Gauge, unit: Count, of: All, labels: &[], help: "Open file descriptors." },
    Metric { name: "process_max_fds", kind: Gauge, unit: Count, of: All, labels: &[], help: "File descriptors that may be open." },
    Metric { name: "process_threads", kind: Gauge, unit: Count, of: All, labels: &[], help: "Threads." },
    Metric { name: "process_cpu_seconds_total", kind: Counter, unit: Seconds, of: All, labels: &[], help: "Time on a processor, user and system, in whole seconds." },
    Metric { name: "process_start_time_seconds", kind: Gauge, unit: Seconds, of: All, labels: &[], help: "When the process began, since 1970." },
    Metric { name: "sluice_database_connections", kind: Gauge, unit: Count, of: All, labels: &[DATABASE, Label("state", Known(&["idle", "used"]))], help: "Connections of a database pool." },
    Metric { name: "sluice_database_connections_max", kind: Gauge, unit: Count, of: All, labels: &[DATABASE], help: "The most connections that a database pool may have." },
    Metric { name: "sluice_database_acquire_seconds", kind: Histogram(QUICK), unit: Seconds, of: All, labels: &[DATABASE], help: "How long a probe every few seconds waits for a connection of a database pool." },
    Metric { name: "sluice_database_acquire_failures_total", kind: Counter, unit: Count, of: All, labels: &[DATABASE], help: "Probes that got no connection of a database pool in time." },
    Metric { name: "sluice_nats_connected", kind: Gauge, unit: Count, of: All, labels: &[CLIENT], help: "Whether the connection to NATS is up: 1 or 0." },
    Metric { name: "sluice_nats_connects_total", kind: Counter, unit: Count, of: All, labels: &[CLIENT], help: "Connections made to NATS; all after the first are reconnects." },
    Metric { name: "sluice_nats_slow_consumers_total", kind: Counter, unit: Count, of: All, labels: &[CLIENT], help: "Times a subscription was too slow and NATS dropped a message of it." },
    Metric { name: "sluice_nats_messages_total", kind: Counter, unit: Count, of: All, labels: &[CLIENT, Label("direction", Known(&["in", "out"]))], help: "Messages over the connection to NATS." },
    Metric { name: "sluice_nats_bytes_total", kind: Counter, unit: Bytes, of: All, labels: &[CLIENT, Label("direction", Known(&["in", "out"]))], help: "Payload over the connection to NATS." },
    Metric { name: "sluice_otlp_spans_total", kind: Counter, unit: Count, of: All, labels: &[Label("result", Known(&["sent", "failed"]))], help: "Spans for the collector of traces." },

    // whoever has a file store
    Metric { name: "sluice_store_operation_seconds", kind: Histogram(QUICK), unit: Seconds, of: Files, labels: &[Label("operation", Known(&["put", "get", "list", "delete", "copy"])), Label("result", Known(&["ok", "not_found", "error"]))], help: "Operations of the file store; of a read until its first byte can be had." },
    Metric { name: "sluice_store_disk_bytes", kind: Gauge, unit: Bytes, of: Files, labels: &[], help: "The size of the disk under the file store; 0 for a bucket." },
    Metric { name: "sluice_store_disk_free_bytes", kind: Gauge, unit: Bytes, of: Files, labels: &[], help: "What is free on the disk under the file store; 0 for a bucket." },

    // gateways
    Metric { name: "sluice_gateway_sessions", kind: Gauge, unit: Count, of: Gateway, labels: &[], help: "Open sessions: sockets, and streams of events over HTTP." },
    Metric { name: "sluice_gateway_event_streams", kind: Gauge, unit: Count, of: Gateway, labels: &[], help: "Open streams of events over HTTP." },
    Metric { name: "sluice_gateway_event_streams_ended_total", kind: Counter, unit: Count, of: Gateway, labels: &[Label("why", Bounded("reasons are a list in the gateway"))], help: "Streams of events over HTTP that ended." },
    Metric { name: "sluice_gateway_resumes_total", kind: Counter, unit: Count, of: Gateway, labels: &[Label("recovered", Known(&["true", "false"]))], help: "Sessions that came back, and whether they got all that they had missed." },
    Metric { name: "sluice_gateway_unauthorized_total", kind: Counter, unit: Count, of: Gateway, labels: &[], help: "Requests with a token or ticket that is not good." },
    Metric { name: "sluice_gateway_responses_total", kind: Counter, unit: Count, of: Gateway, labels: &[Label("status", Bounded("the HTTP statuses that the gateway answers with"))], help: "Answers over HTTP." },
    Metric { name: "sluice_gateway_http_seconds", kind: Histogram(QUICK), unit: Seconds, of: Gateway, labels: &[Label("route", Bounded("routes are a list in the gateway; all unknown paths are one")), Label("status", Known(&["1xx", "2xx", "3xx", "4xx", "5xx"]))], help: "Requests over HTTP, until the head of the answer." },
    Metric { name: "sluice_gateway_problems_total", kind: Counter, unit: Count, of: Gateway, labels: &[SLUG], help: "Problems told to clients, over HTTP and sockets." },
    Metric { name: "sluice_gateway_exports_taken_total", kind: Counter, unit: Count, of: Gateway, labels: &[LANE], help: "Exports taken." },
    Metric { name: "sluice_gateway_exports_joined_total", kind: Counter, unit: Count, of: Gateway, labels: &[], help: "Requests that joined an export under way." },
    Metric { name: "sluice_gateway_file_bytes_total", kind: Counter, unit: Bytes, of: Gateway, labels: &[Label("over", Known(&["socket", "http"]))], help: "File bytes delivered to clients." },
    Metric { name: "sluice_gateway_delivery_retries_total", kind: Counter, unit: Count, of: Gateway, labels: &[], help: "Times file bytes had to be asked for again." },

    // what moves credits
    Metric { name: "sluice_credit_events_total", kind: Counter, unit: Count, of: Credits, labels: &[Label("kind", Known(&["hold", "capture", "release", "grant"]))], help: "What happened to accounts: holds at the gateway, captures and releases at the notifier, and accounts that a midnight run gave to." },
    Metric { name: "sluice_credits_granted_total", kind: Counter, unit: Count, of: Notifier, labels: &[], help: "Credits that midnight runs gave." },
    Metric { name: "sluice_credits_audit_mismatches", kind: Gauge, unit: Count, of: Notifier, labels: &[], help: "Accounts that were not what the ledger says at the last audit." },

    // exporters
    Metric { name: "sluice_exporter_running", kind: Gauge, unit: Count, of: Exporter, labels: &[LANE], help: "Jobs in hand." },
    Metric { name: "sluice_exporter_slots", kind: Gauge, unit: Count, of: Exporter, labels: &[LANE], help: "Jobs of a lane that can be in hand at once; interactive ones may take the others too." },
    Metric { name: "sluice_exporter_draining", kind: Gauge, unit: Count, of: Exporter, labels: &[], help: "Whether an operator has this exporter take no new jobs: 1 or 0." },
    Metric { name: "sluice_exporter_attempts_total", kind: Counter, unit: Count, of: Exporter, labels: &[Label("result", Bounded("`completed` and the labels of an exporter's failures, a list in its code"))], help: "Attempts at an export that ended." },
    Metric { name: "sluice_exporter_attempt_seconds", kind: Histogram(LONG), unit: Seconds, of: Exporter, labels: &[Label("result", Bounded("as of sluice_exporter_attempts_total"))], help: "How long an attempt took." },
    Metric { name: "sluice_exporter_bytes_total", kind: Counter, unit: Bytes, of: Exporter, labels: &[], help: "File bytes written." },
    Metric { name: "sluice_exporter_rows_total", kind: Counter, unit: Count, of: Exporter, labels: &[], help: "Rows written." },
    Metric { name: "sluice_exporter_pull_failures_total", kind: Counter, unit: Count, of: Exporter, labels: &[LANE], help: "Times that jobs could not be pulled." },
    Metric { name: "sluice_exporter_dead_letters_total", kind: Counter, unit: Count, of: Exporter, labels: &[DEAD], help: "Jobs that failed for good." },
    Metric { name: "sluice_exporter_catalog_reloads_total", kind: Counter, unit: Count, of: Exporter, labels: &[Label("result", Known(&["taken", "refused"]))], help: "Times the catalog file had changed." },
    Metric { name: "sluice_exporter_catalog_wrong", kind: Gauge, unit: Count, of: Exporter, labels: &[], help: "Whether the catalog file is wrong, so that the one before it holds: 1 or 0." },
    Metric { name: "sluice_exporter_datasets_away", kind: Gauge, unit: Count, of: Exporter, labels: &[], help: "Datasets of the catalog file whose source can't be reached." },

    // notifiers: the queue
    Metric { name: "sluice_queue_exports", kind: Gauge, unit: Count, of: Notifier, labels: &[POOL, LANE, Label("state", Known(&["waiting", "dispatched", "running"]))], help: "Unfinished exports." },
    Metric { name: "sluice_queue_waiting", kind: Gauge, unit: Count, of: Notifier, labels: &[LANE, CLASS], help: "Exports that wait for their turn: `busy` ones behind others of a tenant that has as many in flight as it may, `other` ones for an exporter." },
    Metric { name: "sluice_queue_oldest_age_seconds", kind: Gauge, unit: Seconds, of: Notifier, labels: &[LANE, CLASS], help: "How long the oldest of them has waited." },
    Metric { name: "sluice_queue_wait_seconds", kind: Histogram(LONG), unit: Seconds, of: Notifier, labels: &[LANE], help: "How long an export waited until it was handed to the exporters." },
    Metric { name: "sluice_catalog_exporters", kind: Gauge, unit: Count, of: Notifier, labels: &[Label("state", Known(&["taking", "draining"]))], help: "Exporters that advertise themselves." },
    Metric { name: "sluice_notifier_dispatched_total", kind: Counter, unit: Count, of: Notifier, labels: &[], help: "Exports handed to the exporters." },

    // notifiers: ends
    Metric { name: "sluice_export_seconds", kind: Histogram(LONG), unit: Seconds, of: Notifier, labels: &[FORMAT, LANE, Label("result", Known(&["completed", "failed", "canceled"]))], help: "From the request of an export to its end." },
    Metric { name: "sluice_export_bytes", kind: Histogram(SIZES), unit: Bytes, of: Notifier, labels: &[FORMAT, LANE], help: "Sizes of finished files." },
    Metric { name: "sluice_exports_completed_total", kind: Counter, unit: Count, of: Notifier, labels: &[], help: "Exports that ended with a file." },
    Metric { name: "sluice_exports_failed_total", kind: Counter, unit: Count, of: Notifier, labels: &[SLUG], help: "Exports that failed, by the problem that their owners were told." },
    Metric { name: "sluice_notifier_outcomes_total", kind: Counter, unit: Count, of: Notifier, labels: &[Label("result", Known(&["completed", "failed", "cancel_requested", "delete_requested"])), Label("counted", Known(&["true", "false"]))], help: "Outcomes settled; those that came too late count for nothing." },
    Metric { name: "sluice_notifier_dead_letters_total", kind: Counter, unit: Count, of: Notifier, labels: &[], help: "Outcomes that could never be settled." },
    Metric { name: "sluice_notifier_credit_news_total", kind: Counter, unit: Count, of: Notifier, labels: &[], help: "People told of a change of their credits that no outcome tells of." },
    Metric { name: "sluice_notifier_segment_bytes_total", kind: Counter, unit: Bytes, of: Notifier, labels: &[], help: "Bytes of segments that gateways asked for." },
    Metric { name: "sluice_notifier_segments_cut_total", kind: Counter, unit: Count, of: Notifier, labels: &[], help: "Segments whose bytes ended too early." },
    Metric { name: "sluice_ops_requests_total", kind: Counter, unit: Count, of: Notifier, labels: &[Label("endpoint", Known(&["exports", "export", "cancel", "dead", "requeue"])), Label("result", Known(&["done", "refused"]))], help: "What operators asked over NATS." },

    // notifiers: JetStream
    Metric { name: "sluice_jetstream_messages", kind: Gauge, unit: Count, of: Notifier, labels: &[STREAM], help: "Messages in a stream." },
    Metric { name: "sluice_jetstream_bytes", kind: Gauge, unit: Bytes, of: Notifier, labels: &[STREAM], help: "Bytes of a stream." },
    Metric { name: "sluice_jetstream_oldest_age_seconds", kind: Gauge, unit: Seconds, of: Notifier, labels: &[STREAM], help: "The age of the oldest message in a stream; 0 for an empty one." },
    Metric { name: "sluice_jetstream_consumer_pending", kind: Gauge, unit: Count, of: Notifier, labels: &[STREAM, CONSUMER], help: "Messages that a consumer has not been given." },
    Metric { name: "sluice_jetstream_consumer_ack_pending", kind: Gauge, unit: Count, of: Notifier, labels: &[STREAM, CONSUMER], help: "Messages that are being worked on." },
    Metric { name: "sluice_jetstream_consumer_redelivered", kind: Gauge, unit: Count, of: Notifier, labels: &[STREAM, CONSUMER], help: "Messages being worked on that were given more than once." },
    Metric { name: "sluice_jetstream_storage_bytes", kind: Gauge, unit: Bytes, of: Notifier, labels: &[], help: "What JetStream keeps on disk for this account." },
    Metric { name: "sluice_jetstream_storage_ratio", kind: Gauge, unit: Ratio, of: Notifier, labels: &[], help: "That in proportion to what the account may have; 0 without a limit." },
    Metric { name: "sluice_jetstream_looks_total", kind: Counter, unit: Count, of: Notifier, labels: &[Label("result", Known(&["ok", "failed"]))], help: "Looks at the queue and at JetStream for these numbers." },

    // notifiers: the clock
    Metric { name: "sluice_schedule_runs_total", kind: Counter, unit: Count, of: Notifier, labels: &[TASK, Label("result", Known(&["ok", "failed"]))], help: "Runs of scheduled jobs on this notifier." },
    Metric { name: "sluice_schedule_last_duration_seconds", kind: Gauge, unit: Seconds, of: Notifier, labels: &[TASK], help: "How long the last run on this notifier took." },
    Metric { name: "sluice_schedule_next_due_timestamp_seconds", kind: Gauge, unit: Seconds, of: Notifier, labels: &[TASK], help: "When a scheduled job is due, since 1970; in the past while it has not run." },
    Metric { name: "sluice_schedule_last_run_timestamp_seconds", kind: Gauge, unit: Seconds, of: Notifier, labels: &[TASK], help: "When the last run of a scheduled job ended, since 1970, whoever ran it." },
    Metric { name: "sluice_schedule_last_success_timestamp_seconds", kind: Gauge, unit: Seconds, of: Notifier, labels: &[TASK], help: "When the last run that went well ended, since 1970." },
    Metric { name: "sluice_notifier_swept_total", kind: Counter, unit: Count, of: Notifier, labels: &[Label("step", Bounded("steps are a list in the notifier"))], help: "What scheduled jobs tidied." },
];
