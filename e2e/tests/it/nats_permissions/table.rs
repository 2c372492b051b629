//! The NATS permissions of each user, subject by subject. Every user that a row does not name must be refused.

/// The users of the platform in `ops/nats`.
pub(crate) const USERS: [&str; 6] = ["gateway", "exporter", "notifier", "operator", "backup", "restore"];

const STREAMS: [&str; 6] =
    ["SLUICE_JOBS", "SLUICE_OUTCOMES", "SLUICE_EVENTS", "SLUICE_DEAD", "KV_SLUICE_CATALOG", "KV_SLUICE_TICKETS"];

/// A subject, and the permitted users, separated by spaces.
type Row = (&'static str, &'static str);

/// Messages of the platform, and inboxes of replies.
const MESSAGES: [Row; 33] = [
    ("sluice.v1.job.default.bulk.x", "notifier"),
    ("sluice.v1.outcome.x", "exporter notifier restore"),
    ("sluice.v1.outcome.command.x", "gateway notifier restore"),
    ("sluice.v1.user.acme.alice.completed", "notifier"),
    ("sluice.v1.dead.x.x", "exporter notifier restore"),
    ("sluice.v1.progress.acme.alice.x", "exporter notifier"),
    ("sluice.v1.cancel.x", "notifier"),
    ("sluice.v1.delivery.grant", "gateway"),
    ("sluice.v1.delivery.metadata", "gateway"),
    ("sluice.v1.delivery.submitted", "gateway notifier operator"),
    ("sluice.v1.delivery.estimate.default", "gateway"),
    ("sluice.v1.delivery.announce.x", "notifier"),
    ("sluice.v1.delivery.written.x", "exporter"),
    ("sluice.v1.key.deleted", "gateway"),
    ("sluice.v1.ops.run", "operator"),
    ("sluice.v1.ops.export", "operator"),
    ("sluice.v1.ops.exports", "gateway operator"),
    ("sluice.v1.ops.overview", "gateway operator"),
    ("sluice.v1.ops.pause", "gateway operator"),
    ("sluice.v1.ops.requeue", "gateway operator"),
    ("sluice.v1.ops.drain.x", "gateway operator"),
    ("$KV.SLUICE_CATALOG.x", "exporter"),
    ("$KV.SLUICE_CATALOG.x.y", "exporter"),
    ("$KV.SLUICE_TICKETS.x", "gateway"),
    ("$SRV.PING", "operator"),
    ("$SRV.STATS.sluice-exporter", "operator"),
    ("$SYS.REQ.SERVER.PING", ""),
    ("_INBOX.gateway.x", ""),
    ("_INBOX.exporter.x", ""),
    ("_INBOX.notifier.x", ""),
    ("_INBOX.operator.x", ""),
    ("_INBOX.backup.x", ""),
    ("_INBOX.restore.x", ""),
];

/// Requests of the JetStream API about streams.
const JETSTREAM: [Row; 34] = [
    ("$JS.API.INFO", "notifier operator restore"),
    ("$JS.API.STREAM.NAMES", "operator"),
    ("$JS.API.STREAM.LIST", "operator"),
    // A new stream could mirror another one, or republish its messages to another subject.
    ("$JS.API.STREAM.CREATE.COPY", ""),
    ("$JS.API.STREAM.UPDATE.COPY", ""),
    ("$JS.API.ACCOUNT.PURGE.SLUICE", ""),
    ("$JS.API.STREAM.INFO.SLUICE_JOBS", "exporter notifier operator backup restore"),
    ("$JS.API.STREAM.INFO.SLUICE_OUTCOMES", "notifier operator backup restore"),
    ("$JS.API.STREAM.INFO.SLUICE_EVENTS", "gateway notifier operator backup restore"),
    ("$JS.API.STREAM.INFO.SLUICE_DEAD", "notifier operator backup restore"),
    ("$JS.API.STREAM.INFO.KV_SLUICE_CATALOG", "gateway exporter notifier operator backup restore"),
    ("$JS.API.STREAM.INFO.KV_SLUICE_TICKETS", "gateway notifier operator backup restore"),
    ("$JS.API.STREAM.PURGE.SLUICE_JOBS", "restore"),
    ("$JS.API.STREAM.PURGE.SLUICE_OUTCOMES", "restore"),
    ("$JS.API.STREAM.PURGE.SLUICE_EVENTS", "restore"),
    ("$JS.API.STREAM.PURGE.SLUICE_DEAD", "restore"),
    ("$JS.API.STREAM.PURGE.KV_SLUICE_CATALOG", ""),
    ("$JS.API.STREAM.PURGE.KV_SLUICE_TICKETS", "notifier"),
    ("$JS.API.STREAM.MSG.GET.SLUICE_JOBS", "notifier"),
    ("$JS.API.STREAM.MSG.GET.SLUICE_OUTCOMES", "notifier backup"),
    ("$JS.API.STREAM.MSG.GET.SLUICE_EVENTS", ""),
    ("$JS.API.STREAM.MSG.GET.SLUICE_DEAD", "notifier operator backup"),
    ("$JS.API.STREAM.MSG.GET.KV_SLUICE_CATALOG", ""),
    ("$JS.API.STREAM.MSG.GET.KV_SLUICE_TICKETS", "gateway notifier"),
    ("$JS.API.STREAM.MSG.DELETE.SLUICE_JOBS", ""),
    ("$JS.API.STREAM.MSG.DELETE.SLUICE_OUTCOMES", ""),
    ("$JS.API.STREAM.MSG.DELETE.SLUICE_DEAD", "notifier"),
    ("$JS.API.DIRECT.GET.SLUICE_JOBS", ""),
    ("$JS.API.DIRECT.GET.SLUICE_OUTCOMES.sluice.v1.outcome.x", ""),
    ("$JS.API.DIRECT.GET.SLUICE_EVENTS.sluice.v1.user.x", ""),
    ("$JS.API.DIRECT.GET.SLUICE_DEAD.sluice.v1.dead.x.x", ""),
    ("$JS.API.DIRECT.GET.KV_SLUICE_CATALOG.$KV.SLUICE_CATALOG.x", ""),
    ("$JS.API.DIRECT.GET.KV_SLUICE_TICKETS", "notifier"),
    ("$JS.API.DIRECT.GET.KV_SLUICE_TICKETS.$KV.SLUICE_TICKETS.x", ""),
];

/// Requests of the JetStream API about consumers, and acknowledgements.
const CONSUMERS: [Row; 34] = [
    ("$JS.API.CONSUMER.LIST.SLUICE_JOBS", "notifier operator"),
    ("$JS.API.CONSUMER.LIST.SLUICE_OUTCOMES", "notifier operator"),
    ("$JS.API.CONSUMER.LIST.SLUICE_EVENTS", "operator"),
    ("$JS.API.CONSUMER.INFO.SLUICE_JOBS.exporters-default-bulk", "notifier operator"),
    ("$JS.API.CONSUMER.INFO.SLUICE_OUTCOMES.notifier", "notifier operator"),
    ("$JS.API.CONSUMER.INFO.SLUICE_OUTCOMES.other", "operator"),
    ("$JS.API.CONSUMER.INFO.SLUICE_DEAD.x", "operator"),
    ("$JS.API.CONSUMER.CREATE.SLUICE_JOBS.exporters-default-bulk.sluice.v1.job.default.bulk.*", "exporter"),
    ("$JS.API.CONSUMER.CREATE.SLUICE_JOBS.other.sluice.v1.job.>", ""),
    ("$JS.API.CONSUMER.MSG.NEXT.SLUICE_JOBS.exporters-default-bulk", "exporter"),
    ("$JS.ACK.SLUICE_JOBS.exporters-default-bulk.1.1.1.1.0", "exporter"),
    ("$JS.API.CONSUMER.CREATE.SLUICE_OUTCOMES.notifier", "notifier"),
    ("$JS.API.CONSUMER.CREATE.SLUICE_OUTCOMES.other.sluice.v1.outcome.>", ""),
    ("$JS.API.CONSUMER.MSG.NEXT.SLUICE_OUTCOMES.notifier", "notifier"),
    ("$JS.API.CONSUMER.MSG.NEXT.SLUICE_OUTCOMES.other", ""),
    ("$JS.ACK.SLUICE_OUTCOMES.notifier.1.1.1.1.0", "notifier"),
    ("$JS.ACK.SLUICE_OUTCOMES.other.1.1.1.1.0", ""),
    ("$JS.API.CONSUMER.CREATE.SLUICE_EVENTS", "gateway"),
    ("$JS.API.CONSUMER.CREATE.SLUICE_EVENTS.other.sluice.v1.user.>", "gateway"),
    ("$JS.API.CONSUMER.INFO.SLUICE_EVENTS.x", "gateway operator"),
    ("$JS.API.CONSUMER.DELETE.SLUICE_EVENTS.x", "gateway"),
    ("$JS.API.CONSUMER.MSG.NEXT.SLUICE_EVENTS.x", "gateway"),
    ("$JS.API.CONSUMER.CREATE.SLUICE_DEAD.other.sluice.v1.dead.>", ""),
    ("$JS.API.CONSUMER.MSG.NEXT.SLUICE_DEAD.x", ""),
    ("$JS.API.CONSUMER.CREATE.KV_SLUICE_CATALOG", "gateway notifier"),
    ("$JS.API.CONSUMER.CREATE.KV_SLUICE_CATALOG.x.$KV.SLUICE_CATALOG.>", "gateway notifier"),
    ("$JS.API.CONSUMER.INFO.KV_SLUICE_CATALOG.x", "gateway notifier operator"),
    ("$JS.API.CONSUMER.DELETE.KV_SLUICE_CATALOG.x", "gateway notifier"),
    ("$JS.FC.KV_SLUICE_CATALOG.x.y", "gateway notifier"),
    ("$JS.API.CONSUMER.CREATE.KV_SLUICE_TICKETS.x.$KV.SLUICE_TICKETS.>", ""),
    ("$JS.API.CONSUMER.MSG.NEXT.KV_SLUICE_TICKETS.x", ""),
    ("$JS.API.CONSUMER.INFO.KV_SLUICE_TICKETS.x", "operator"),
    ("$JS.API.CONSUMER.DELETE.SLUICE_JOBS.exporters-default-bulk", ""),
    ("$JS.API.CONSUMER.DELETE.SLUICE_OUTCOMES.notifier", ""),
];

/// Requests that no user may send for any stream. `{}` stands for the name of the stream.
const NEVER: [&str; 8] = [
    "$JS.API.STREAM.UPDATE.{}",
    "$JS.API.STREAM.DELETE.{}",
    "$JS.API.STREAM.SNAPSHOT.{}",
    "$JS.API.STREAM.RESTORE.{}",
    "$JS.API.STREAM.LEADER.STEPDOWN.{}",
    "$JS.API.CONSUMER.CREATE.{}.other",
    "$JS.API.CONSUMER.DURABLE.CREATE.{}.other",
    "$JS.API.CONSUMER.PAUSE.{}.x",
];

/// The subjects to which users may publish.
pub(crate) fn publish() -> Vec<(String, &'static str)> {
    let rows = MESSAGES.into_iter().chain(JETSTREAM).chain(CONSUMERS);
    let mut rows: Vec<_> = rows.map(|(subject, users)| (subject.to_owned(), users)).collect();
    for stream in STREAMS {
        rows.push((format!("$JS.API.STREAM.CREATE.{stream}"), "notifier restore"));
        rows.extend(NEVER.map(|subject| (subject.replace("{}", stream), "")));
    }
    rows
}

/// The subjects to which users may subscribe.
pub(crate) fn subscribe() -> Vec<(String, &'static str)> {
    let rows = [
        (">", ""),
        ("sluice.v1.>", ""),
        ("sluice.v1.job.>", ""),
        ("sluice.v1.outcome.>", ""),
        ("sluice.v1.outcome.*", ""),
        ("sluice.v1.user.>", ""),
        ("sluice.v1.dead.>", ""),
        ("sluice.v1.progress.>", ""),
        ("sluice.v1.progress.*.*.*", "gateway"),
        ("sluice.v1.cancel.*", "exporter"),
        ("sluice.v1.delivery.>", ""),
        ("sluice.v1.delivery.announce.*", "gateway"),
        ("sluice.v1.delivery.estimate.*", "exporter"),
        ("sluice.v1.delivery.grant", "notifier"),
        ("sluice.v1.delivery.metadata", "notifier"),
        ("sluice.v1.delivery.submitted", "notifier"),
        ("sluice.v1.delivery.written.*", "notifier"),
        ("sluice.v1.key.>", ""),
        ("sluice.v1.key.deleted", "gateway"),
        ("sluice.v1.ops.>", ""),
        ("sluice.v1.ops.*", ""),
        ("sluice.v1.ops.due", "notifier"),
        ("sluice.v1.ops.requeue", "notifier"),
        ("sluice.v1.ops.pause", "notifier"),
        ("sluice.v1.ops.story", "notifier"),
        ("sluice.v1.ops.drain.*", "exporter"),
        ("sluice.v1.ops.undrain.*", "exporter"),
        ("$SRV.>", ""),
        ("$SRV.*", ""),
        ("$SRV.PING", "exporter notifier"),
        ("$SRV.INFO.sluice-exporter", "exporter"),
        ("$SRV.INFO.sluice-notifier", "notifier"),
        ("$KV.>", ""),
        ("$KV.SLUICE_CATALOG.>", ""),
        ("$KV.SLUICE_TICKETS.>", ""),
        ("$JS.>", ""),
        ("$JS.EVENT.ADVISORY.>", "operator"),
        ("$SYS.>", ""),
        ("_INBOX.>", ""),
        ("_INBOX.*.>", ""),
    ];
    let mut rows: Vec<_> = rows.into_iter().map(|(subject, users)| (subject.to_owned(), users)).collect();
    rows.extend(USERS.map(|user| (format!("_INBOX.{user}.>"), user)));
    rows
}
