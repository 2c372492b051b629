//! The definitions of all metrics.

use super::{
    Kind::{Counter, Gauge, Histogram},
    Label, Metric,
    Scope::{All, Credits, Exporter, Files, Gateway, Notifier},
    Unit::{Bytes, Count, Ratio, Seconds},
    Values::{Bounded, Known},
};

/// Histogram buckets for requests, in seconds.
const REQUEST_BUCKETS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Histogram buckets for exports, in seconds, up to one hour.
const EXPORT_BUCKETS: &[f64] = &[0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0];
/// Histogram buckets for file sizes, in bytes, from 1 KiB to 16 GiB; each is eight times the one before.
const SIZE_BUCKETS: &[f64] =
    &[1024.0, 8192.0, 65_536.0, 524_288.0, 4_194_304.0, 33_554_432.0, 268_435_456.0, 2_147_483_648.0, 17_179_869_184.0];

const LANE: Label = Label("lane", Known(&["interactive", "bulk"]));
const POOL: Label = Label("pool", Bounded("the pools in the settings of exporters"));
const FORMAT: Label = Label("format", Bounded("the formats of the exporter"));
const CLASS: Label = Label("class", Known(&["paused", "tenant_limit", "user_limit", "capacity"]));
const SCHEDULED_JOB: Label = Label("scheduled_job", Bounded("the scheduled jobs of the notifier"));
const CLIENT: Label = Label("client", Bounded("one for each service in the process"));
const DATABASE: Label = Label("pool", Bounded("`shared`"));
const STREAM: Label = Label("stream", Known(&["SLUICE_JOBS", "SLUICE_OUTCOMES", "SLUICE_EVENTS", "SLUICE_DEAD"]));
const CONSUMER: Label = Label("consumer", Bounded("durable consumers: one for notifiers, two for each pool"));
const FAILURE: Label = Label("reason", Bounded("the failure labels of the exporter"));
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

/// All metrics of all services.
#[rustfmt::skip]
pub const TABLE: &[Metric] = &[
    // every process
    Metric { name: "sluice_build_info", kind: Gauge, unit: Count, scope: All, labels: &[Label("version", Bounded("one for each build"))], help: "Always 1; the label gives the version of the build." },
    Metric { name: "process_resident_memory_bytes", kind: Gauge, unit: Bytes, scope: All, labels: &[], help: "Resident memory of the process, in bytes." },
    Metric { name: "process_virtual_memory_bytes", kind: Gauge, unit: Bytes, scope: All, labels: &[], help: "Virtual memory of the process, in bytes." },
    Metric { name: "process_virtual_memory_max_bytes", kind: Gauge, unit: Bytes, scope: All, labels: &[], help: "Maximum virtual memory of the process, in bytes." },
    Metric { name: "process_open_fds", kind: Gauge, unit: Count, scope: All, labels: &[], help: "Number of open file descriptors." },
    Metric { name: "process_max_fds", kind: Gauge, unit: Count, scope: All, labels: &[], help: "Maximum number of open file descriptors." },
    Metric { name: "process_threads", kind: Gauge, unit: Count, scope: All, labels: &[], help: "Number of threads of the process." },
    Metric { name: "process_cpu_seconds_total", kind: Counter, unit: Seconds, scope: All, labels: &[], help: "User and system CPU time of the process, in whole seconds." },
    Metric { name: "process_start_time_seconds", kind: Gauge, unit: Seconds, scope: All, labels: &[], help: "Start time of the process, in seconds since 1970." },
    Metric { name: "sluice_clock_ahead_of_database_seconds", kind: Gauge, unit: Seconds, scope: All, labels: &[], help: "How far the clock of the machine is ahead of the database's, in seconds; negative if it is behind." },
    Metric { name: "sluice_database_connections", kind: Gauge, unit: Count, scope: All, labels: &[DATABASE, Label("state", Known(&["idle", "used"]))], help: "Number of connections in a database pool." },
    Metric { name: "sluice_database_connections_max", kind: Gauge, unit: Count, scope: All, labels: &[DATABASE], help: "Maximum number of connections in a database pool." },
    Metric { name: "sluice_database_probe_acquire_seconds", kind: Histogram(REQUEST_BUCKETS), unit: Seconds, scope: All, labels: &[DATABASE], help: "Time that a probe every 5 seconds waits for a connection from a database pool, in seconds." },
    Metric { name: "sluice_database_probe_failures_total", kind: Counter, unit: Count, scope: All, labels: &[DATABASE], help: "Number of probes that got no connection from a database pool in time." },
    Metric { name: "sluice_nats_connected", kind: Gauge, unit: Count, scope: All, labels: &[CLIENT], help: "Whether the connection to NATS is up (1) or down (0)." },
    Metric { name: "sluice_nats_connects_total", kind: Counter, unit: Count, scope: All, labels: &[CLIENT], help: "Number of connections to NATS; every connection after the first is a reconnect." },
    Metric { name: "sluice_nats_slow_consumers_total", kind: Counter, unit: Count, scope: All, labels: &[CLIENT], help: "Number of times that NATS dropped messages because a subscription was too slow." },
    Metric { name: "sluice_nats_messages_total", kind: Counter, unit: Count, scope: All, labels: &[CLIENT, Label("direction", Known(&["in", "out"]))], help: "Number of messages over the connection to NATS." },
    Metric { name: "sluice_nats_bytes_total", kind: Counter, unit: Bytes, scope: All, labels: &[CLIENT, Label("direction", Known(&["in", "out"]))], help: "Payload over the connection to NATS, in bytes." },
    Metric { name: "sluice_jetstream_write_failed", kind: Gauge, unit: Count, scope: All, labels: &[Label("stream", Known(&["SLUICE_JOBS", "SLUICE_OUTCOMES", "SLUICE_EVENTS", "SLUICE_DEAD", "KV_SLUICE_CATALOG"]))], help: "Whether a stream failed to store the last message of this process (1) or stored it (0); without a message there is no value." },
    Metric { name: "sluice_otlp_spans_total", kind: Counter, unit: Count, scope: All, labels: &[Label("result", Known(&["sent", "failed"]))], help: "Number of spans handed to the trace collector, by result." },

    // services with a file store
    Metric { name: "sluice_store_response_seconds", kind: Histogram(REQUEST_BUCKETS), unit: Seconds, scope: Files, labels: &[Label("operation", Known(&["put", "get", "list", "delete", "copy"])), Label("result", Known(&["ok", "not_found", "error"]))], help: "Time until the file store responds, in seconds: `get` until the first byte, `list` until the first item (an empty list does not count), `delete` for each object, `put` and `copy` until the end." },
    Metric { name: "sluice_store_disk_size_bytes", kind: Gauge, unit: Bytes, scope: Files, labels: &[], help: "Size of the disk under the file store, in bytes; 0 for a bucket." },
    Metric { name: "sluice_store_disk_free_bytes", kind: Gauge, unit: Bytes, scope: Files, labels: &[], help: "Free space on the disk under the file store, in bytes; 0 for a bucket." },

    // gateways
    Metric { name: "sluice_gateway_sessions", kind: Gauge, unit: Count, scope: Gateway, labels: &[Label("transport", Known(&["websocket", "sse"]))], help: "Number of open sessions: WebSockets, and Server-Sent Events over HTTP." },
    Metric { name: "sluice_gateway_http_downloads", kind: Gauge, unit: Count, scope: Gateway, labels: &[], help: "Number of files that are being sent over HTTP." },
    Metric { name: "sluice_gateway_sse_streams_ended_total", kind: Counter, unit: Count, scope: Gateway, labels: &[Label("reason", Bounded("the reasons of the gateway"))], help: "Number of event streams over HTTP that ended." },
    Metric { name: "sluice_gateway_resumes_total", kind: Counter, unit: Count, scope: Gateway, labels: &[Label("recovered", Known(&["true", "false"]))], help: "Number of resumed sessions over WebSocket and SSE, by whether the client got all missed events." },
    Metric { name: "sluice_gateway_unauthorized_total", kind: Counter, unit: Count, scope: Gateway, labels: &[], help: "Number of requests that were refused with 401, because the token or ticket is missing or not valid." },
    Metric { name: "sluice_gateway_responses_total", kind: Counter, unit: Count, scope: Gateway, labels: &[Label("status", Bounded("the HTTP statuses of the gateway"))], help: "Number of HTTP responses." },
    Metric { name: "sluice_gateway_http_response_header_seconds", kind: Histogram(REQUEST_BUCKETS), unit: Seconds, scope: Gateway, labels: &[Label("route", Bounded("the routes of the gateway; unknown paths share one value")), Label("status", Known(&["1xx", "2xx", "3xx", "4xx", "5xx"]))], help: "Duration of HTTP requests until the response header, in seconds." },
    Metric { name: "sluice_gateway_problems_total", kind: Counter, unit: Count, scope: Gateway, labels: &[SLUG], help: "Number of problems sent to clients over HTTP and WebSockets." },
    Metric { name: "sluice_gateway_exports_accepted_total", kind: Counter, unit: Count, scope: Gateway, labels: &[LANE], help: "Number of accepted exports." },
    Metric { name: "sluice_gateway_exports_joined_total", kind: Counter, unit: Count, scope: Gateway, labels: &[], help: "Number of requests that joined a running export." },
    Metric { name: "sluice_gateway_file_bytes_total", kind: Counter, unit: Bytes, scope: Gateway, labels: &[Label("over", Known(&["socket", "http"]))], help: "File bytes delivered to clients, in bytes." },
    Metric { name: "sluice_gateway_file_read_retries_total", kind: Counter, unit: Count, scope: Gateway, labels: &[], help: "Number of retries while the gateway reads file bytes." },

    // credits
    Metric { name: "sluice_credit_events_total", kind: Counter, unit: Count, scope: Credits, labels: &[Label("kind", Known(&["hold", "capture", "release", "grant"]))], help: "Number of ledger entries that the services committed: holds, captures, releases, and the grants that `sluice_credits_granted_total` counts." },
    Metric { name: "sluice_credits_granted_total", kind: Counter, unit: Count, scope: Credits, labels: &[], help: "Number of credits that the services granted: the initial balance of a new account, and daily grants at midnight or at the next use of an account." },
    Metric { name: "sluice_credits_audit_mismatches", kind: Gauge, unit: Count, scope: Notifier, labels: &[], help: "Number of accounts that differed from the ledger at the last audit." },

    // exporters
    Metric { name: "sluice_exporter_running", kind: Gauge, unit: Count, scope: Exporter, labels: &[LANE], help: "Number of running jobs." },
    Metric { name: "sluice_exporter_slots", kind: Gauge, unit: Count, scope: Exporter, labels: &[], help: "Number of exports that this exporter runs at the same time (`exporter.slots`)." },
    Metric { name: "sluice_exporter_bulk_slots", kind: Gauge, unit: Count, scope: Exporter, labels: &[], help: "Number of slots, of those in `sluice_exporter_slots`, that exports of the bulk lane may use." },
    Metric { name: "sluice_exporter_operator_drain", kind: Gauge, unit: Count, scope: Exporter, labels: &[], help: "Whether an operator drains this exporter with `sluice ops drain` (1) or not (0); a stop of the process does not count." },
    Metric { name: "sluice_exporter_jobs_stalled_by_outage", kind: Gauge, unit: Count, scope: Exporter, labels: &[Label("part", Known(&["storage", "database", "messaging", "source"]))], help: "Number of running jobs that wait because a part of the installation is unavailable or full." },
    Metric { name: "sluice_exporter_attempts_total", kind: Counter, unit: Count, scope: Exporter, labels: &[Label("result", Bounded("`completed` or a failure label of the exporter"))], help: "Number of attempts at an export that ended." },
    Metric { name: "sluice_exporter_attempt_seconds", kind: Histogram(EXPORT_BUCKETS), unit: Seconds, scope: Exporter, labels: &[Label("result", Bounded("as of sluice_exporter_attempts_total"))], help: "Duration of attempts, in seconds." },
    Metric { name: "sluice_exporter_isolated_attempts_total", kind: Counter, unit: Count, scope: Exporter, labels: &[Label("result", Known(&["ended", "crashed", "killed", "not_started"]))], help: "Number of attempts at exports in a process of their own, because an earlier attempt ended with the death of its process; with `not_started` the attempt ran in the exporter." },
    Metric { name: "sluice_exporter_bytes_total", kind: Counter, unit: Bytes, scope: Exporter, labels: &[], help: "File bytes written, in bytes." },
    Metric { name: "sluice_exporter_rows_total", kind: Counter, unit: Count, scope: Exporter, labels: &[], help: "Number of rows written." },
    Metric { name: "sluice_exporter_pull_failures_total", kind: Counter, unit: Count, scope: Exporter, labels: &[LANE], help: "Number of failed pulls of jobs." },
    Metric { name: "sluice_exporter_dead_letters_total", kind: Counter, unit: Count, scope: Exporter, labels: &[FAILURE], help: "Number of jobs that failed permanently." },
    Metric { name: "sluice_exporter_catalog_reloads_total", kind: Counter, unit: Count, scope: Exporter, labels: &[Label("result", Known(&["accepted", "rejected"]))], help: "Number of changes of the catalog file." },
    Metric { name: "sluice_exporter_catalog_reload_failed", kind: Gauge, unit: Count, scope: Exporter, labels: &[], help: "Whether the catalog file is invalid (1), so that the previous one stays in use, or valid (0)." },
    Metric { name: "sluice_exporter_advertisement_incomplete", kind: Gauge, unit: Count, scope: Exporter, labels: &[], help: "1 if the last round of advertising did not fully succeed: a dataset, the heartbeat or NATS failed, so that gateways may not offer every dataset; otherwise 0." },
    Metric { name: "sluice_exporter_datasets_unavailable", kind: Gauge, unit: Count, scope: Exporter, labels: &[], help: "Number of datasets of the catalog file whose source is unavailable." },

    // notifiers: the queue
    Metric { name: "sluice_unfinished_exports", kind: Gauge, unit: Count, scope: Notifier, labels: &[POOL, LANE, Label("state", Known(&["waiting", "dispatched", "running"]))], help: "Number of unfinished exports." },
    Metric { name: "sluice_queue_undispatched_exports", kind: Gauge, unit: Count, scope: Notifier, labels: &[LANE, CLASS], help: "Number of exports that wait for dispatch: paused by an operator (`paused`), at the limit of their tenant (`tenant_limit`), at the limit of their user only (`user_limit`), or for an exporter (`capacity`)." },
    Metric { name: "sluice_queue_undispatched_oldest_age_seconds", kind: Gauge, unit: Seconds, scope: Notifier, labels: &[LANE, CLASS], help: "Age of the oldest export that waits for dispatch, in seconds." },
    Metric { name: "sluice_queue_dispatch_wait_seconds", kind: Histogram(EXPORT_BUCKETS), unit: Seconds, scope: Notifier, labels: &[LANE], help: "Time from the request of an export to its dispatch, in seconds." },
    Metric { name: "sluice_catalog_datasets", kind: Gauge, unit: Count, scope: Notifier, labels: &[], help: "Number of datasets that running exporters offer." },
    Metric { name: "sluice_catalog_exporters", kind: Gauge, unit: Count, scope: Notifier, labels: &[Label("state", Known(&["active", "draining"]))], help: "Number of exporters that advertise themselves." },
    Metric { name: "sluice_notifier_replacement_jobs_total", kind: Counter, unit: Count, scope: Notifier, labels: &[Label("reason", Known(&["lease", "lost"]))], help: "Number of replacement jobs that the leader published, because the exporter no longer renewed its lease (`lease`), or because the job was lost (`lost`)." },
    Metric { name: "sluice_notifier_dispatched_exports_total", kind: Counter, unit: Count, scope: Notifier, labels: &[], help: "Number of dispatched exports." },

    // notifiers: ended exports
    Metric { name: "sluice_export_turnaround_seconds", kind: Histogram(EXPORT_BUCKETS), unit: Seconds, scope: Notifier, labels: &[FORMAT, LANE, Label("result", Known(&["completed", "unchanged", "failed", "canceled"]))], help: "Time from the request of an export to its end, in seconds." },
    Metric { name: "sluice_export_bytes", kind: Histogram(SIZE_BUCKETS), unit: Bytes, scope: Notifier, labels: &[FORMAT, LANE], help: "Size of finished files, in bytes." },
    Metric { name: "sluice_exports_succeeded_total", kind: Counter, unit: Count, scope: Notifier, labels: &[], help: "Number of exports that ended with a file." },
    Metric { name: "sluice_exports_failed_total", kind: Counter, unit: Count, scope: Notifier, labels: &[SLUG], help: "Number of failed exports, by the problem that the owner received." },
    Metric { name: "sluice_notifier_settled_messages_total", kind: Counter, unit: Count, scope: Notifier, labels: &[Label("result", Known(&["completed", "failed", "cancel_requested", "delete_requested"])), Label("applied", Known(&["true", "false"]))], help: "Number of messages of the outcomes stream that this notifier settled: outcomes, and commands to cancel or delete. A message about an ended export is not applied." },
    Metric { name: "sluice_notifier_outcome_dead_letters_total", kind: Counter, unit: Count, scope: Notifier, labels: &[], help: "Number of outcomes that became dead letters because they could not be settled." },
    Metric { name: "sluice_notifier_credit_notifications_without_outcome_total", kind: Counter, unit: Count, scope: Notifier, labels: &[], help: "Number of users notified of a credit change that no outcome reports." },
    Metric { name: "sluice_notifier_gateway_requested_segment_bytes_total", kind: Counter, unit: Bytes, scope: Notifier, labels: &[], help: "Number of segment bytes that gateways requested." },
    Metric { name: "sluice_notifier_segment_read_failures_total", kind: Counter, unit: Count, scope: Notifier, labels: &[], help: "Number of requests of gateways for a segment that the notifier refused or aborted, because opening or reading the object failed, timed out or showed a wrong size; a deleted object does not count." },
    Metric { name: "sluice_ops_export_requests_total", kind: Counter, unit: Count, scope: Notifier, labels: &[Label("endpoint", Known(&["exports", "export", "story", "overview", "cancel", "dead", "requeue", "pause", "resume", "pauses"])), Label("result", Known(&["done", "refused"]))], help: "Number of requests of operators about exports, owners and dead letters, over NATS." },

    // notifiers: JetStream
    Metric { name: "sluice_jetstream_messages", kind: Gauge, unit: Count, scope: Notifier, labels: &[STREAM], help: "Number of messages in a stream." },
    Metric { name: "sluice_jetstream_bytes", kind: Gauge, unit: Bytes, scope: Notifier, labels: &[STREAM], help: "Size of a stream, in bytes." },
    Metric { name: "sluice_jetstream_oldest_age_seconds", kind: Gauge, unit: Seconds, scope: Notifier, labels: &[STREAM], help: "Age of the oldest message in a stream, in seconds; 0 for an empty stream." },
    Metric { name: "sluice_jetstream_consumer_pending", kind: Gauge, unit: Count, scope: Notifier, labels: &[STREAM, CONSUMER], help: "Number of messages that a consumer has not delivered." },
    Metric { name: "sluice_jetstream_consumer_ack_pending", kind: Gauge, unit: Count, scope: Notifier, labels: &[STREAM, CONSUMER], help: "Number of delivered messages that are not acknowledged." },
    Metric { name: "sluice_jetstream_consumer_redelivered", kind: Gauge, unit: Count, scope: Notifier, labels: &[STREAM, CONSUMER], help: "Number of messages, not acknowledged, that were delivered more than once." },
    Metric { name: "sluice_jetstream_account_storage_bytes", kind: Gauge, unit: Bytes, scope: Notifier, labels: &[], help: "Disk space that JetStream uses for this account, in bytes." },
    Metric { name: "sluice_jetstream_account_storage_ratio", kind: Gauge, unit: Ratio, scope: Notifier, labels: &[], help: "Used part of the disk space that JetStream allows this account, from 0 to 1; 0 without a limit." },
    Metric { name: "sluice_notifier_metrics_polls_total", kind: Counter, unit: Count, scope: Notifier, labels: &[Label("result", Known(&["ok", "failed"]))], help: "Number of polls in which this notifier updated the metrics of the queue, the catalog and JetStream." },

    // notifiers: schedules of users
    Metric { name: "sluice_notifier_scheduled_runs_total", kind: Counter, unit: Count, scope: Notifier, labels: &[Label("result", Known(&["started", "failed", "missed", "paused"]))], help: "Number of moments of users' schedules whose export started, failed at once, was missed during an outage, or for which the schedule paused." },

    // notifiers: scheduled jobs
    Metric { name: "sluice_scheduled_job_runs_total", kind: Counter, unit: Count, scope: Notifier, labels: &[SCHEDULED_JOB, Label("result", Known(&["ok", "failed"]))], help: "Number of runs of a scheduled job on this notifier." },
    Metric { name: "sluice_notifier_schedule_last_duration_seconds", kind: Gauge, unit: Seconds, scope: Notifier, labels: &[SCHEDULED_JOB], help: "Duration of the last run of a scheduled job on this notifier, in seconds." },
    Metric { name: "sluice_scheduled_job_next_due_timestamp_seconds", kind: Gauge, unit: Seconds, scope: Notifier, labels: &[SCHEDULED_JOB], help: "Due time of a scheduled job, in seconds since 1970; in the past while the run is missing." },
    Metric { name: "sluice_scheduled_job_last_completion_timestamp_seconds", kind: Gauge, unit: Seconds, scope: Notifier, labels: &[SCHEDULED_JOB], help: "End of the last run of a scheduled job on any notifier, successful or not, in seconds since 1970." },
    Metric { name: "sluice_scheduled_job_last_success_timestamp_seconds", kind: Gauge, unit: Seconds, scope: Notifier, labels: &[SCHEDULED_JOB], help: "End of the last successful run of a scheduled job, in seconds since 1970." },
    Metric { name: "sluice_notifier_maintenance_items_total", kind: Counter, unit: Count, scope: Notifier, labels: &[Label("step", Bounded("the cleanup steps of the notifier"))], help: "Number of rows, objects and messages that a step of the sweep or of the reconciler changed." },
];
