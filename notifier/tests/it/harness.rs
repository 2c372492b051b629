//! A notifier with its dependencies, and helpers that act as a gateway, an exporter or an operator.

use std::{sync::Arc, time::Duration};

use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use chrono::{DateTime, TimeDelta, Utc};
use entity::{
    credit_policy::{CreditPolicy, CreditsConfig},
    export, ledger, scheduled_job, segment,
    transition::{self, Claimant},
};
use futures::StreamExt;
use notifier::{Deps, NotifierConfig, NotifierTuning, RunningNotifier};
use platform::{
    bus::Bus,
    clock::{Clock, ManualClock},
    lifecycle::Lifecycle,
    store::FileStore,
    units::HumanDuration,
};
use protocol::{
    catalog::ExporterHeartbeat,
    delivery::{self, GrantReply, GrantRequest, Segment},
    envelope::{Envelope, EventBody, Job, Outcome, OutcomeResult, UserEvent},
    export::{FileInfo, Status},
    id::{ExportId, Owner},
    subject,
};
use sea_orm::{DatabaseConnection, TransactionTrait};
use serde::{Serialize, de::DeserializeOwned};
use testkit::{db::TestDatabase, eventually, nats::NatsServer, store::Folder};
use tokio::net::TcpListener;

/// The grace period of a shutdown, longer than any test needs.
pub(crate) const GRACE: Duration = Duration::from_secs(60);
/// The time during which a test observes that an event does not happen.
const OBSERVATION: Duration = Duration::from_millis(700);

pub(crate) struct Harness {
    pub(crate) nats: NatsServer,
    pub(crate) bus: Bus,
    pub(crate) db: DatabaseConnection,
    pub(crate) store: FileStore,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) life: Lifecycle,
    pub(crate) config: NotifierConfig,
    _database: TestDatabase,
    pub(crate) folder: Folder,
}

pub(crate) fn now() -> DateTime<Utc> {
    "2026-11-22T15:26:01.123Z".parse().unwrap()
}

pub(crate) fn credit_policy() -> CreditPolicy {
    CreditPolicy::new(&CreditsConfig::default(), "UTC").unwrap()
}

pub(crate) fn alice() -> Owner {
    Owner::new("acme", "alice@example.com")
}

impl Harness {
    /// Starts all dependencies but no notifier; alice has 5 credits.
    pub(crate) async fn new() -> Self {
        Self::with_database(testkit::db::sqlite().await).await
    }

    /// Starts all dependencies with this database.
    pub(crate) async fn with_database(database: TestDatabase) -> Self {
        let (nats, folder) = (NatsServer::start().await, testkit::store::folder());
        ledger::open_and_accrue(&database.db, &alice(), &credit_policy(), now()).await.unwrap();
        let bus = nats.bus().await;
        advertise(&bus, 100, 100).await;
        Self {
            bus,
            db: database.db.clone(),
            store: folder.store(),
            clock: ManualClock::at(now()),
            life: Lifecycle::new(),
            config: NotifierConfig {
                // a slow machine must not lose a lease
                lease_duration: HumanDuration::from_secs(30),
                command_reconcile_interval: HumanDuration::from_secs(1),
                tuning: NotifierTuning {
                    dispatch_poll_interval: HumanDuration::from_millis(50),
                    schedule_poll_interval: HumanDuration::from_millis(50),
                    ..NotifierTuning::default()
                },
                ..NotifierConfig::default()
            },
            nats,
            _database: database,
            folder,
        }
    }

    /// Starts all dependencies and a notifier.
    pub(crate) async fn running() -> Self {
        let harness = Self::new().await;
        harness.start().await;
        harness
    }

    pub(crate) async fn start(&self) -> RunningNotifier {
        self.start_with(credit_policy(), &self.life).await
    }

    /// Starts a notifier with this credit policy, whose tasks run on `life`.
    pub(crate) async fn start_with(&self, credit_policy: CreditPolicy, life: &Lifecycle) -> RunningNotifier {
        let deps = Deps {
            bus: self.bus.clone(),
            db: self.db.clone(),
            store: self.store.clone(),
            clock: self.clock.clone(),
            credit_policy,
            backup: None,
            metrics: None,
        };
        let listener = TcpListener::bind(&self.config.internal_listen).await.unwrap();
        notifier::start(self.config.clone(), deps, listener, life).await.unwrap()
    }

    /// Submits an export of alice, as a gateway does.
    pub(crate) async fn submit(&self) -> ExportId {
        self.submit_for(alice()).await
    }

    pub(crate) async fn submit_for(&self, owner: Owner) -> ExportId {
        let id = ExportId::generate();
        let tx = self.db.begin().await.unwrap();
        ledger::open_and_accrue(&tx, &owner, &credit_policy(), now()).await.unwrap();
        assert!(ledger::hold(&tx, &owner, id, 1, now()).await.unwrap());
        let row = export::Model { tenant: owner.tenant, user_id: owner.user, ..row(id) };
        export::insert(&tx, row).await.unwrap();
        tx.commit().await.unwrap();
        id
    }

    /// Inserts a damaged export: a row without a hold, which Sluice never writes.
    pub(crate) async fn submit_unpaid(&self) -> ExportId {
        let id = ExportId::generate();
        export::insert(&self.db, row(id)).await.unwrap();
        id
    }

    /// Claims an export for its next attempt, as an exporter does, and returns the number of the attempt. An earlier
    /// attempt releases its lease first.
    pub(crate) async fn claim(&self, id: ExportId) -> u32 {
        self.claim_with_lease(id, Duration::from_secs(3600)).await
    }

    /// Claims an export as [`Self::claim`] does, with a lease of this duration.
    pub(crate) async fn claim_with_lease(&self, id: ExportId, lease: Duration) -> u32 {
        let row = self.row(id).await;
        transition::release_lease(&self.db, id, row.attempt.unsigned_abs(), now()).await.unwrap();
        let claimant = Claimant { worker: "worker", job_number: row.job_number.unsigned_abs(), lease };
        let claim = transition::claim(&self.db, id, claimant, now()).await.unwrap();
        let transition::Claim::Won(row) = claim else { panic!("{claim:?}") };
        row.attempt.unsigned_abs()
    }

    pub(crate) async fn running_export(&self) -> (ExportId, u32) {
        let id = self.submit().await;
        self.wait_for_status(id, Status::Dispatched).await;
        self.wait_until_notified().await;
        (id, self.claim(id).await)
    }

    /// Writes one segment for each part, as an exporter does.
    pub(crate) async fn write_segments(&self, id: ExportId, attempt: u32, parts: &[&[u8]]) -> Vec<Segment> {
        let (mut offset, mut segments) = (0, Vec::new());
        for (index, part) in (0..).zip(parts) {
            let size = part.len() as u64;
            let segment = Segment { index, offset, size, rows: 1, sha256: testkit::sha256(part) };
            self.store.put(&delivery::segment_path(id, attempt, index), part.to_vec()).await.unwrap();
            segment::insert(&self.db, id, attempt, &segment).await.unwrap();
            offset += size;
            segments.push(segment);
        }
        segments
    }

    /// The recorded segments of an attempt.
    pub(crate) async fn segments(&self, id: ExportId, attempt: u32) -> Vec<Segment> {
        segment::from_offset(&self.db, id, attempt, 0, 1000).await.unwrap()
    }

    /// Publishes an outcome, as an exporter or a gateway does.
    pub(crate) async fn publish_outcome(&self, id: ExportId, message_id: &str, result: OutcomeResult) {
        let message = Envelope::new(message_id, "", Outcome { export_id: id, result });
        self.bus.publish_durable(subject::outcome(id), message_id, &message).await.unwrap();
    }

    pub(crate) async fn row(&self, id: ExportId) -> export::Model {
        export::find(&self.db, id).await.unwrap().unwrap()
    }

    pub(crate) async fn wait_for_status(&self, id: ExportId, status: Status) -> export::Model {
        eventually(&format!("the export is {status}"), || async {
            Some(self.row(id).await).filter(|row| row.status == status.as_str())
        })
        .await
    }

    /// Waits until no credit notification is pending.
    pub(crate) async fn wait_until_notified(&self) {
        eventually("no credit notification is pending", || async {
            ledger::pending_notifications(&self.db, None, 1).await.unwrap().is_empty().then_some(())
        })
        .await;
    }

    /// Waits until every outcome is settled.
    pub(crate) async fn wait_until_settled(&self) {
        eventually("every outcome is settled", || async {
            (self.count_messages(subject::STREAM_OUTCOMES).await == 0).then_some(())
        })
        .await;
    }

    pub(crate) async fn count_messages(&self, stream: &str) -> u64 {
        let stream = self.bus.jetstream().get_stream(stream).await.unwrap();
        stream.get_info().await.unwrap().state.messages
    }

    /// Reads all messages of a stream and leaves them in the stream.
    pub(crate) async fn all_messages(&self, stream: &str) -> Vec<async_nats::jetstream::Message> {
        let count = self.count_messages(stream).await;
        let config = pull::Config {
            deliver_policy: DeliverPolicy::All,
            ack_policy: async_nats::jetstream::consumer::AckPolicy::None,
            ..pull::Config::default()
        };
        let consumer = self.bus.jetstream().create_consumer_on_stream(config, stream).await.unwrap();
        let messages = consumer.stream().messages().await.unwrap().take(usize::try_from(count).unwrap());
        messages.map(Result::unwrap).collect().await
    }

    /// Reads all user events as texts: `completed`, or `credits capture 4+0` with the reason, the balance and the held
    /// credits.
    pub(crate) async fn events(&self) -> Vec<String> {
        let messages = self.all_messages(subject::STREAM_EVENTS).await;
        let read = messages.iter().map(|message| platform::bus::open::<UserEvent>(&message.payload).unwrap().body);
        read.map(|event| match event.event {
            EventBody::Credits { balance, held, reason } => format!("credits {reason} {balance}+{held}"),
            other => other.token().to_owned(),
        })
        .collect()
    }

    /// Reads all waiting jobs with their subjects, and leaves them in the stream.
    pub(crate) async fn all_jobs(&self) -> Vec<(String, Job)> {
        let stream = self.bus.jetstream().get_stream(subject::STREAM_JOBS).await.unwrap();
        let state = stream.get_info().await.unwrap().state;
        let mut jobs = Vec::new();
        for sequence in state.first_sequence..=state.last_sequence {
            // acknowledged messages leave gaps
            if let Ok(message) = stream.get_raw_message(sequence).await {
                let job = platform::bus::open::<Job>(&message.payload).unwrap().body;
                jobs.push((message.subject.to_string(), job));
            }
        }
        jobs
    }

    pub(crate) async fn balance(&self) -> (i64, i64) {
        let balance = ledger::read(&self.db, &alice(), &credit_policy(), self.clock.now()).await.unwrap();
        (balance.balance, balance.held)
    }

    pub(crate) async fn request_grants(&self, request: GrantRequest) -> GrantReply {
        self.bus.request(subject::DELIVERY_GRANT, &request).await.unwrap()
    }

    /// Sets the clock to this time.
    pub(crate) fn set_clock(&self, time: &str) {
        let time: DateTime<Utc> = time.parse().unwrap();
        self.clock.advance(time - self.clock.now());
    }

    pub(crate) async fn job(&self, name: &str) -> scheduled_job::Model {
        scheduled_job::find(&self.db, name).await.unwrap().unwrap()
    }

    /// Waits until a scheduled job has run at least this many times.
    pub(crate) async fn wait_for_runs(&self, name: &str, runs: i64) -> scheduled_job::Model {
        eventually(&format!("{name} ran {runs} times"), || async {
            scheduled_job::find(&self.db, name).await.unwrap().filter(|row| row.runs >= runs)
        })
        .await
    }

    /// Waits until no scheduled job is due or running. A test calls it before it moves the clock, so that no run ends
    /// with a due time after the new time.
    pub(crate) async fn wait_until_idle(&self) {
        eventually("no scheduled job is due", || async {
            let jobs = scheduled_job::all(&self.db).await.unwrap();
            (!jobs.is_empty() && jobs.iter().all(|job| job.due_at > self.clock.now())).then_some(())
        })
        .await;
    }

    pub(crate) fn clock_now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    pub(crate) fn advance_clock(&self, seconds: i64) {
        self.clock.advance(TimeDelta::seconds(seconds));
    }
}

pub(crate) fn completed(attempt: u32, segments: &[Segment]) -> OutcomeResult {
    let size = segments.iter().map(|segment| segment.size).sum();
    let file = FileInfo {
        name: "flights.csv".into(),
        size,
        rows: segments.len() as u64,
        sha256: "00".repeat(32),
        media_type: "text/csv".into(),
    };
    OutcomeResult::Completed { attempt, file, completed_at: now().into(), content_sha256: None }
}

pub(crate) fn grant_request(id: ExportId, offset: u64) -> GrantRequest {
    GrantRequest { export_id: id, owner: alice(), attempt: None, offset, max: 10 }
}

/// Advertises an exporter with these slots for an hour.
pub(crate) async fn advertise(bus: &Bus, slots: u32, bulk_slots: u32) {
    testkit::catalog::advertise(bus, ExporterHeartbeat { slots, bulk_slots, ..heartbeat("exporter") }, &[]).await;
}

/// A heartbeat that lives for an hour, of an exporter without slots and datasets.
pub(crate) fn heartbeat(instance: &str) -> ExporterHeartbeat {
    ExporterHeartbeat {
        v: protocol::ENVELOPE_VERSION,
        instance: instance.into(),
        pool: "default".into(),
        at: now().into(),
        ttl_ms: 3_600_000,
        slots: 0,
        bulk_slots: 0,
        draining: false,
        datasets: Vec::new(),
    }
}

/// Waits as long as a test observes that an event does not happen.
pub(crate) async fn observation_time() {
    tokio::time::sleep(OBSERVATION).await;
}

fn row(id: ExportId) -> export::Model {
    export::Model {
        dataset: "flights".into(),
        retention_seconds: 3600,
        traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into(),
        ..export::Model::queued(id, &alice(), now())
    }
}

/// Sends a request as an operator does, and returns the body of the reply.
pub(crate) async fn operator_request<Q: Serialize, A: DeserializeOwned>(h: &Harness, subject: &str, request: &Q) -> A {
    h.bus.request::<_, Envelope<A>>(subject, request).await.unwrap().body
}
