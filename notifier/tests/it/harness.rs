//! One running notifier with everything it stands on.

use std::{sync::Arc, time::Duration};

use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use chrono::{DateTime, TimeDelta, Utc};
use entity::{
    export, scheduled_job, ledger, segment,
    credit_policy::{CreditsConfig, CreditPolicy},
    transition,
};
use futures::StreamExt;
use notifier::{App, Deps, NotifierConfig};
use platform::{
    bus::Bus,
    clock::{Clock, ManualClock},
    lifecycle::Lifecycle,
    store::FileStore,
};
use protocol::{
    catalog::CatalogEntry,
    delivery::{self, GrantReply, GrantRequest, Segment},
    envelope::{Envelope, EventBody, Job, Outcome, OutcomeResult, UserEvent},
    export::{FileInfo, Status},
    id::{ExportId, Owner},
    subject,
};
use sea_orm::{DatabaseConnection, TransactionTrait};
use testkit::{db::TestDatabase, eventually, nats::NatsServer, store::Folder};
use tokio::net::TcpListener;

/// For all that a notifier finishes when it is told to stop: more than it needs.
pub(crate) const GRACE: Duration = Duration::from_secs(60);
/// How long to watch for something that must not happen.
const QUIET: Duration = Duration::from_millis(700);

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
    /// Everything but the notifier; alice has 5 credits.
    pub(crate) async fn new() -> Self {
        Self::on(testkit::db::sqlite().await).await
    }

    /// The same on another database.
    pub(crate) async fn on(database: TestDatabase) -> Self {
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
                dispatch_poll_ms: 50,
                schedule_poll_ms: 50,
                patrol_s: 1,
                // a machine that stands still for a moment takes no lease from anybody
                lease_ms: 30_000,
                ..NotifierConfig::default()
            },
            nats,
            _database: database,
            folder,
        }
    }

    /// With a notifier that runs.
    pub(crate) async fn running() -> Self {
        let harness = Self::new().await;
        harness.start().await;
        harness
    }

    pub(crate) async fn start(&self) -> App {
        self.start_as(credit_policy(), &self.life).await
    }

    /// One more notifier, with a life of its own and these terms of credits.
    pub(crate) async fn start_as(&self, credit_policy: CreditPolicy, life: &Lifecycle) -> App {
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

    /// As a gateway commits it.
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

    /// Damaged, as no code of ours leaves it: an export whose credit nobody holds.
    pub(crate) async fn submit_unpaid(&self) -> ExportId {
        let id = ExportId::generate();
        export::insert(&self.db, row(id)).await.unwrap();
        id
    }

    /// As an exporter takes it, under the next attempt.
    pub(crate) async fn claim(&self, id: ExportId) -> u32 {
        let claim = transition::claim(&self.db, id, "worker", now(), now()).await.unwrap();
        let transition::Claim::Won(row) = claim else { panic!("{claim:?}") };
        row.attempt.unsigned_abs()
    }

    pub(crate) async fn running_export(&self) -> (ExportId, u32) {
        let id = self.submit().await;
        self.until(id, Status::Dispatched).await;
        self.until_told().await;
        (id, self.claim(id).await)
    }

    /// As an exporter writes them.
    pub(crate) async fn write(&self, id: ExportId, attempt: u32, parts: &[&[u8]]) -> Vec<Segment> {
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

    /// As an exporter or a gateway says it.
    pub(crate) async fn say(&self, id: ExportId, message_id: &str, result: OutcomeResult) {
        let message = Envelope::new(message_id, "", Outcome { export_id: id, result });
        self.bus.publish_durable(subject::outcome(id), message_id, &message).await.unwrap();
    }

    pub(crate) async fn row(&self, id: ExportId) -> export::Model {
        export::find(&self.db, id).await.unwrap().unwrap()
    }

    pub(crate) async fn until(&self, id: ExportId, status: Status) -> export::Model {
        eventually(&format!("the export is {status}"), || async {
            Some(self.row(id).await).filter(|row| row.status == status.as_str())
        })
        .await
    }

    /// Waits until nobody is left to be told of their credits.
    pub(crate) async fn until_told(&self) {
        eventually("everybody knows their credits", || async {
            ledger::pending_notifications(&self.db, None, 1).await.unwrap().is_empty().then_some(())
        })
        .await;
    }

    /// Waits until no outcome is left to be settled.
    pub(crate) async fn until_settled(&self) {
        eventually("every outcome is settled", || async {
            (self.messages(subject::STREAM_OUTCOMES).await == 0).then_some(())
        })
        .await;
    }

    pub(crate) async fn messages(&self, stream: &str) -> u64 {
        let stream = self.bus.jetstream().get_stream(stream).await.unwrap();
        stream.get_info().await.unwrap().state.messages
    }

    /// Every message of a stream so far, unread by anybody else.
    pub(crate) async fn all(&self, stream: &str) -> Vec<async_nats::jetstream::Message> {
        let count = self.messages(stream).await;
        let config = pull::Config {
            deliver_policy: DeliverPolicy::All,
            ack_policy: async_nats::jetstream::consumer::AckPolicy::None,
            ..pull::Config::default()
        };
        let consumer = self.bus.jetstream().create_consumer_on_stream(config, stream).await.unwrap();
        let messages = consumer.stream().messages().await.unwrap().take(usize::try_from(count).unwrap());
        messages.map(Result::unwrap).collect().await
    }

    /// Every user event so far, as text such as `completed` and `credits capture 4+0`.
    pub(crate) async fn events(&self) -> Vec<String> {
        let messages = self.all(subject::STREAM_EVENTS).await;
        let read = messages.iter().map(|message| platform::bus::open::<UserEvent>(&message.payload).unwrap().body);
        read.map(|event| match event.event {
            EventBody::Credits { balance, held, reason } => format!("credits {reason} {balance}+{held}"),
            other => other.token().to_owned(),
        })
        .collect()
    }

    /// Every job that waits, without taking it.
    pub(crate) async fn all_jobs(&self) -> Vec<(String, Job)> {
        let stream = self.bus.jetstream().get_stream(subject::STREAM_JOBS).await.unwrap();
        let state = stream.get_info().await.unwrap().state;
        let mut jobs = Vec::new();
        for sequence in state.first_sequence..=state.last_sequence {
            // those taken out leave gaps
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

    pub(crate) async fn grant(&self, request: GrantRequest) -> GrantReply {
        self.bus.request(subject::DELIVERY_GRANT, &request).await.unwrap()
    }

    /// Moves the clock to this moment.
    pub(crate) fn at(&self, moment: &str) {
        let moment: DateTime<Utc> = moment.parse().unwrap();
        self.clock.advance(moment - self.clock.now());
    }

    pub(crate) async fn job(&self, name: &str) -> scheduled_job::Model {
        scheduled_job::find(&self.db, name).await.unwrap().unwrap()
    }

    /// Waits until a scheduled job has ended so often.
    pub(crate) async fn until_ran(&self, name: &str, runs: i64) -> scheduled_job::Model {
        eventually(&format!("{name} ran {runs} times"), || async {
            scheduled_job::find(&self.db, name).await.unwrap().filter(|row| row.runs >= runs)
        })
        .await
    }

    /// Waits until no scheduled job is due, and so none runs: one that did while the clock is moved would be due only after
    /// the moment it is moved to.
    pub(crate) async fn rest(&self) {
        eventually("the schedule rests", || async {
            let jobs = scheduled_job::all(&self.db).await.unwrap();
            (!jobs.is_empty() && jobs.iter().all(|job| job.due_at > self.clock.now())).then_some(())
        })
        .await;
    }

    pub(crate) fn clock_now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    pub(crate) fn advance(&self, seconds: i64) {
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
    OutcomeResult::Completed { attempt, file, completed_at: now().into() }
}

pub(crate) fn asking(id: ExportId, offset: u64) -> GrantRequest {
    GrantRequest { export_id: id, owner: alice(), attempt: None, offset, max: 10 }
}

/// As an exporter with so many slots offers itself, for ever.
pub(crate) async fn advertise(bus: &Bus, slots: u32, bulk_slots: u32) {
    let (instance, pool) = ("exporter".to_owned(), "default".to_owned());
    let entry = CatalogEntry {
        v: protocol::ENVELOPE_VERSION,
        instance,
        pool,
        at: now().into(),
        ttl_ms: 3_600_000,
        slots,
        bulk_slots,
        draining: false,
        datasets: Vec::new(),
    };
    bus.catalog().await.unwrap().put("exporter", serde_json::to_vec(&entry).unwrap().into()).await.unwrap();
}

/// Gives things that must not happen the time to do so.
pub(crate) async fn quiet() {
    tokio::time::sleep(QUIET).await;
}

fn row(id: ExportId) -> export::Model {
    export::Model {
        dataset: "flights".into(),
        retention_seconds: 3600,
        traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into(),
        ..export::Model::queued(id, &alice(), now())
    }
}
