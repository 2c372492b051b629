//! Names and phrases that readers had to look up or read twice, and the standard terms that replace them.
//!
//! `docs/glossary.md` defines the terms. A private word in a setting, a metric or a log line costs every operator a
//! search, so this check refuses the words that were once in use.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Result;

use super::{Context, files, none, rust_tokens};

/// Identifiers, compared as whole words with their case, and what to write instead.
const NAMES: [(&str, &str); 76] = [
    ("look_away_ms", "shutdown_delay"),
    ("spread_ms", "session_close_spread"),
    ("requests_ms", "http_drain_timeout"),
    ("queue_ms", "queue_cache_ttl"),
    ("give_up_ms", "read_retry_timeout"),
    ("published_on", "loopback_check_address"),
    ("replays_at_once", "max_concurrent_replays"),
    ("queue_notes_ms", "queue_position_interval"),
    ("queue_notes_max", "max_queue_notifications"),
    ("dispatch_ahead", "prefetch"),
    ("patrol", "reconciler"),
    ("patrol_s", "command_reconcile_interval"),
    ("tidy_window_s", "orphan_scan_window"),
    ("stuck_after_s", "stale_after"),
    ("outage_timeout", "export_outage_timeout"),
    ("extra_parameters", "extra_request_parameters"),
    ("reconcile_interval", "command_reconcile_interval"),
    ("catalog_ms", "advertise_interval"),
    ("seen_on", "last_active_on"),
    ("sluice_schedule_runs_total", "sluice_scheduled_job_runs_total"),
    ("sluice_schedule_next_due_timestamp_seconds", "sluice_scheduled_job_next_due_timestamp_seconds"),
    ("sluice_schedule_last_completion_timestamp_seconds", "sluice_scheduled_job_last_completion_timestamp_seconds"),
    ("sluice_schedule_last_success_timestamp_seconds", "sluice_scheduled_job_last_success_timestamp_seconds"),
    ("sluice_clock_ahead_seconds", "sluice_clock_ahead_of_database_seconds"),
    ("sluice_notifier_dispatched_total", "sluice_notifier_dispatched_exports_total"),
    ("sluice_exporter_catalog_wrong", "sluice_exporter_catalog_reload_failed"),
    ("sluice_exporter_datasets_away", "sluice_exporter_datasets_unavailable"),
    ("sluice_jetstream_looks_total", "sluice_notifier_metrics_polls_total"),
    ("sluice_notifier_credit_news_total", "sluice_notifier_credit_notifications_without_outcome_total"),
    ("sluice_notifier_segments_cut_total", "sluice_notifier_segment_read_failures_total"),
    ("sluice_gateway_exports_taken_total", "sluice_gateway_exports_accepted_total"),
    ("sluice_gateway_delivery_retries_total", "sluice_gateway_file_read_retries_total"),
    ("sluice_gateway_downloads", "sluice_gateway_http_downloads"),
    ("sluice_exporter_waiting", "sluice_exporter_jobs_stalled_by_outage"),
    ("sluice_exporter_advertise_failed", "sluice_exporter_advertisement_incomplete"),
    ("sluice_queue_waiting", "sluice_queue_undispatched_exports"),
    ("sluice_queue_oldest_age_seconds", "sluice_queue_undispatched_oldest_age_seconds"),
    ("sluice_notifier_jobs_republished_total", "sluice_notifier_replacement_jobs_total"),
    ("sluice_jetstream_storage_bytes", "sluice_jetstream_account_storage_bytes"),
    ("sluice_jetstream_storage_ratio", "sluice_jetstream_account_storage_ratio"),
    ("SluiceBlind", "SluiceQueueMetricsStale"),
    ("SluiceCatalogWrong", "SluiceCatalogReloadFailed"),
    ("wish", "command"),
    ("wishes", "commands"),
    ("is_wish", "is_outcome_command"),
    ("Survey", "QueueSnapshot"),
    ("Outlook", "QueuePosition"),
    ("reckon", "accrue"),
    ("reckoned", "accrued"),
    ("Told", "ProgressThrottle"),
    ("Seat", "SessionGuard"),
    ("stumble", "back_off"),
    ("Seen", "AccessView"),
    ("sift", "apply_query"),
    ("Carried", "TypeMapping"),
    ("discreet", "redact"),
    ("Means", "LoadContext"),
    ("looked_at_in_vain", "classify_probe_error"),
    ("Outlet", "SegmentSink"),
    ("speaks_of_no_value", "is_safe_to_log"),
    ("blames_us", "rejects_client_cert"),
    ("bury", "dead_letter"),
    ("buried", "dead-lettered"),
    ("Letters", "DeadLetterStream"),
    ("bell", "cron_trigger"),
    ("pour", "copy_to"),
    ("AtTheDoor", "IngressSampler"),
    ("Terms", "CreditPolicy"),
    ("Begun", "OpenedQuery"),
    ("keeper", "lease renewal"),
    ("patiently", "retry"),
    ("teller", "announcer"),
    ("whoever", "the client, the user, the process"),
    ("Whoever", "the client, the user, the process"),
    ("anew", "again"),
    ("underway", "in progress"),
];

/// Words that are banned as names of Rust code but not in texts, compared with their case, and what to write instead.
const IDENTIFIERS: [(&str, &str); 13] = [
    ("news", "version"),
    ("News", "Version"),
    ("told", "notified_version"),
    ("beat", "renewals"),
    ("Beat", "Renewals"),
    ("nightly", "daily_grant"),
    ("Nightly", "DailyGrant"),
    ("Without", "ColumnMask"),
    ("whose", "a name with a noun"),
    ("Whose", "a name with a noun"),
    ("aside", "run_ad_hoc"),
    ("Until", "ExpiresAt"),
    ("Opening", "InitialBalance"),
];

/// Words that are banned as names of settings and columns but not of variables, and what to write instead.
const STORED_NAMES: [(&str, &str); 2] = [("until", "expires_at"), ("opening", "initial_balance")];

/// Names of files, without their extensions, and what to write instead.
const FILE_NAMES: [(&str, &str); 10] = [
    ("endless", "infinity"),
    ("hold", "spool"),
    ("seen", "access_view"),
    ("reals", "float32"),
    ("look", "style"),
    ("stamp", "file_version"),
    ("ends", "what the file holds"),
    ("ways", "what the file holds"),
    ("passing", "what the file holds"),
    ("stay", "what the file holds"),
];

/// Phrases, compared without case, and what to write instead.
const PHRASES: [(&str, &str); 15] = [
    ("being the one of several", "leader election"),
    ("nobody makes the bucket", "the bucket does not exist; Sluice never creates it"),
    ("one frame after the other becomes", "the projection applied to each frame"),
    ("sign of life", "heartbeat"),
    ("leads no more", "lost dispatcher leadership"),
    ("small answers may be slow", "failed to set TCP_NODELAY"),
    ("outcome.wish", "outcome.command"),
    ("without = \"hidden\"", "mask = \"hidden\""),
    ("without = \"last_four\"", "mask = \"last_four\""),
    ("without = \"redacted\"", "mask = \"redacted\""),
    ("times in a row", "a count with its noun"),
    ("is told of", "receives, is notified of"),
    ("are told of", "receive, are notified of"),
    ("whose it is", "the owner"),
    ("what it is told", "name the message"),
];

/// Text files that people read.
const EXTENSIONS: [&str; 15] =
    ["rs", "ts", "tsx", "md", "toml", "yaml", "yml", "py", "sh", "conf", "cfg", "sql", "css", "json", "html"];

/// Finds banned names and phrases in every text file of the checkout but this one.
pub(super) fn words(context: &Context<'_>) -> Result<()> {
    let names: HashMap<_, _> = NAMES.into();
    let this_file = context.root().join("xtask/src/lint_ops/words.rs");
    let mut findings = Vec::new();
    for path in files::below(context.root(), |path| files::has_extension(path, &EXTENSIONS) && path != this_file)? {
        findings.extend(in_file(&context.short(&path).to_string(), &files::text(&path)?, &names));
    }
    none(&findings)
}

fn in_file(path: &str, text: &str, names: &HashMap<&str, &str>) -> Vec<String> {
    let mut findings = in_path(path, names);
    for (index, line) in text.lines().enumerate() {
        let mut found = |banned: &str, instead: &str| {
            findings.push(format!("{path}:{}: `{banned}`: write {instead}", index + 1));
        };
        for word in line.split(|c: char| !c.is_alphanumeric() && c != '_') {
            if let Some(instead) = names.get(word) {
                found(word, instead);
            }
        }
        let lower = line.to_lowercase();
        for (phrase, instead) in PHRASES {
            if lower.contains(phrase) {
                found(phrase, instead);
            }
        }
    }
    if path.ends_with(".rs") {
        findings.extend(in_code(path, text));
    }
    findings
}

/// The words that are banned as names of Rust code, and those that are banned as settings and columns.
fn in_code(path: &str, text: &str) -> Vec<String> {
    let is_stored = path.ends_with("config.rs") || path.starts_with("entity/src") || path.starts_with("migration/src");
    let stored = STORED_NAMES.iter().filter(|_| is_stored);
    let banned: HashMap<_, _> = IDENTIFIERS.iter().chain(stored).copied().collect();
    let tokens = rust_tokens::tokens(text).into_iter();
    let found = tokens.filter_map(|(line, token)| Some((line, token, banned.get(token)?)));
    found.map(|(line, token, instead)| format!("{path}:{line}: the name `{token}`: write {instead}")).collect()
}

/// A file may not be named after a banned word either.
fn in_path(path: &str, names: &HashMap<&str, &str>) -> Vec<String> {
    let stem = Path::new(path).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let of_files = FILE_NAMES.iter().find(|(name, _)| *name == stem).map(|(_, instead)| instead);
    let finding = names.get(stem).or(of_files);
    finding.map(|instead| format!("{path}: the file is named `{stem}`: write {instead}")).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn banned_words_are_found_with_their_line_and_replacement() {
        let names: HashMap<_, _> = NAMES.into();
        let found = in_file("a/bell.rs", "fine\nlet seen_on = 1; // LEADS NO MORE\nseen_once doorbell", &names);
        assert_eq!(
            found,
            [
                "a/bell.rs: the file is named `bell`: write cron_trigger",
                "a/bell.rs:2: `seen_on`: write last_active_on",
                "a/bell.rs:2: `leads no more`: write lost dispatcher leadership",
            ]
        );
    }

    #[test]
    fn ordinary_words_are_refused_as_names_only() {
        let names: HashMap<_, _> = NAMES.into();
        let text = "// told whose opening\nlet told = \"news\";\nlet until = opening;\n";
        let found = in_file("gateway/src/hold.rs", text, &names);
        let refusal = "the name `told`: write notified_version";
        assert_eq!(
            found,
            [
                "gateway/src/hold.rs: the file is named `hold`: write spool".to_owned(),
                format!("gateway/src/hold.rs:2: {refusal}"),
            ]
        );
        let stored = in_file("notifier/src/config.rs", text, &names);
        assert_eq!(
            stored,
            [
                format!("notifier/src/config.rs:2: {refusal}"),
                "notifier/src/config.rs:3: the name `until`: write expires_at".to_owned(),
                "notifier/src/config.rs:3: the name `opening`: write initial_balance".to_owned(),
            ]
        );
        assert_eq!(in_file("docs/told.md", "Whoever is told, waits until", &names).len(), 1);
    }
}
