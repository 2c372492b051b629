//! NATS with the files of `ops/nats`: each service has its own user, which has the permissions for its work and no others.

mod table;

use async_nats::{Client as Nats, ConnectErrorKind, ConnectOptions, Event, ServerError, jetstream};
use e2e::{Fleet, Plan};
use protocol::{
    client::{ClientMessage, Deliver, ExportCreate, SessionResume},
    envelope::{Envelope, Outcome, OutcomeResult},
    export::{Export, ExportRequest, FileInfo, Status},
    server::ServerMessage,
    subject,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::{
    DEADLINE,
    client::{Client, Credential},
    eventually,
    nats::NatsServer,
};
use tokio::sync::mpsc;

const MIB: u64 = 1 << 20;

/// A subject that no user may use. Its refusal marks the end of the server's answers to an attempt.
const SENTINEL: &str = "not.permitted";

/// An operation that needs a permission.
#[derive(Clone, Copy, Debug)]
enum Operation {
    Publish,
    Subscribe,
}

/// A NATS client with the password of a user.
struct UserClient {
    nats: Nats,
    errors: mpsc::UnboundedReceiver<String>,
}

impl UserClient {
    async fn connect(server: &NatsServer, user: &str) -> Self {
        let config = server.config_of(user);
        let (sender, errors) = mpsc::unbounded_channel();
        let options = ConnectOptions::with_user_and_password(user.into(), config.password.expose().into())
            .custom_inbox_prefix(config.inbox())
            .event_callback(move |event| {
                let sender = sender.clone();
                async move {
                    if let Event::ServerError(ServerError::Other(text)) = event {
                        // The receiver is dropped when the test ends.
                        drop(sender.send(text));
                    }
                }
            });
        Self { nats: options.connect(config.url).await.expect("a known user"), errors }
    }

    /// Returns whether the server permits the operation. A published message has an invalid body.
    async fn is_permitted(&mut self, operation: Operation, subject: &str) -> bool {
        let mut subscriptions = Vec::new();
        for subject in [subject, SENTINEL] {
            let subject = subject.to_owned();
            match operation {
                Operation::Publish => {
                    let inbox = self.nats.new_inbox();
                    self.nats.publish_with_reply(subject, inbox, "{}".into()).await.expect("connected");
                }
                Operation::Subscribe => subscriptions.push(self.nats.subscribe(subject).await.expect("connected")),
            }
        }
        self.await_sentinel(operation, subject).await
    }

    /// Reads the server's errors until it refuses the sentinel, which was sent last. Returns whether it refused nothing else.
    async fn await_sentinel(&mut self, operation: Operation, subject: &str) -> bool {
        self.nats.flush().await.expect("connected");
        let kind = match operation {
            Operation::Publish => "publish",
            Operation::Subscribe => "subscription",
        };
        let refused = |subject: &str| format!("permissions violation for {kind} to \"{}\"", subject.to_lowercase());
        let (wanted, last) = (refused(subject), refused(SENTINEL));
        let mut permitted = true;
        loop {
            let error = tokio::time::timeout(DEADLINE, self.errors.recv()).await;
            let error = error.unwrap_or_else(|_| panic!("no answer to the {kind} to {subject}"));
            let error = error.expect("the client is connected").to_lowercase();
            if error.contains(&last) {
                return permitted;
            }
            assert!(error.contains(&wanted), "`{error}` instead of `{wanted}`");
            permitted = false;
        }
    }

    async fn request(&self, subject: &str) -> Value {
        let answer = self.nats.request(subject.to_owned(), "{}".into()).await;
        let answer = answer.unwrap_or_else(|e| panic!("{subject}: {e}"));
        serde_json::from_slice(&answer.payload).expect("an answer is JSON")
    }
}

async fn fleet(settings: Vec<(&'static str, String)>) -> Fleet {
    Fleet::start(Plan { gateways: 2, nats_users: true, settings, ..Plan::default() }).await
}

/// All lines of the server's and the services' logs that report a permission violation.
fn violations(fleet: &Fleet) -> Vec<String> {
    let mut found = fleet.nats.violations();
    let logs = fleet.logs();
    found.extend(logs.lines().filter(|line| line.to_lowercase().contains("violation")).map(str::to_owned));
    found
}

#[tokio::test]
async fn the_platform_runs_without_a_violation_with_each_service_as_its_own_user() {
    let settings =
        vec![("SLUICE_CREDITS__INITIAL_BALANCE", "50".to_owned()), ("SLUICE_EXPORTER__ZSTD_LEVEL", "19".to_owned())];
    let mut fleet = fleet(settings).await;
    let rest = fleet.rest();

    // An estimate, which an exporter answers.
    let estimate = rest.post("/v1/exports/estimate", &json!({"dataset": "menus"})).await;
    assert_eq!(estimate.status, StatusCode::OK, "{}", estimate.text());

    // A ticket, a session, and a file stream during an export.
    let ticket: Value = rest.send(rest.request(Method::POST, "/v1/tickets")).await.json();
    let ticket = ticket["ticket"].as_str().expect("a ticket").to_owned();
    let mut client = Client::connect(fleet.url(), Credential::Ticket(&ticket)).await.expect("the ticket is valid");
    let again = Client::connect(fleet.url(), Credential::Ticket(&ticket)).await.err().expect("a ticket works once");
    assert_eq!(again.status, StatusCode::UNAUTHORIZED);
    let create = ExportCreate {
        dataset: "flights".into(),
        filter: Some(json!({"origin": {"eq": "SEA"}})),
        deliver: Deliver::Stream,
        window: Some(MIB),
        ..ExportCreate::default()
    };
    let export = client.create(create).await;
    let opened = client.opened(export.id, MIB).await;
    let seal = client.collect(opened, false).await.seal().clone();
    let done = client.ended(export.id).await;
    assert_eq!(done.file.as_ref().expect("a file").sha256, seal.sha256);

    // The same file over HTTP, at the other gateway.
    let other = testkit::rest::Rest::new(&fleet.urls[1], Some(&fleet.token("alice", "acme")));
    let file = other.get(&done.links.file).await;
    assert_eq!(testkit::sha256(&file.body), seal.sha256);
    assert_eq!(other.get(&done.links.metadata).await.status, StatusCode::OK);

    // An API key that one gateway deletes, which the other one hears of.
    let manager = fleet.issuer.token("alice", "acme").scope("export:* keys:manage").sign();
    let manager = testkit::rest::Rest::new(fleet.url(), Some(&manager));
    let key: Value = manager.post("/v1/keys", &json!({"name": "ci", "scopes": ["export:*"]})).await.json();
    let secret = key["key"].as_str().expect("a key");
    let mut session = Client::connect(&fleet.urls[1], Credential::Bearer(secret)).await.expect("a session");
    let deleted = manager.delete(&format!("/v1/keys/{}", key["id"].as_str().expect("an id"))).await;
    assert_eq!((deleted.status, session.expect_close().await), (StatusCode::NO_CONTENT, Some(4401)));

    // A replay of missed events, over the WebSocket and over SSE.
    let ServerMessage::SessionReady { epoch, .. } = client.ready.clone() else { panic!("no session.ready") };
    let mut late = fleet.client_at(&fleet.urls[1]).await;
    late.send(&ClientMessage::SessionResume(SessionResume { epoch: epoch.clone(), seq: 0 }), None).await;
    let resumed = late
        .expect_text("session.resumed", |message| match message {
            ServerMessage::SessionResumed { recovered, .. } => Some(*recovered),
            _ => None,
        })
        .await;
    assert!(resumed, "missed events are read from the stream");
    let events = rest.request(Method::GET, "/v1/events").header("last-event-id", format!("{epoch}:0")).send();
    let mut events = events.await.expect("the gateway answers");
    let mut text = String::new();
    while !text.contains("export.completed") {
        let chunk =
            tokio::time::timeout(DEADLINE, events.chunk()).await.expect("events arrive").expect("an unbroken stream");
        text.push_str(&String::from_utf8_lossy(&chunk.expect("the stream continues")));
    }

    // A cancellation of a running export, which the compression level keeps busy, and the deletion of a completed one.
    let compression = Some("zstd".to_owned());
    let create = ExportCreate { dataset: "flights".into(), compression, ..ExportCreate::default() };
    let running = client.create(create).await;
    client.cancel(running.id).await;
    assert_eq!(client.ended(running.id).await.status, Status::Canceled);
    assert_eq!(rest.delete(&done.links.this).await.status, StatusCode::ACCEPTED);
    eventually("the file is deleted", async || {
        (rest.get(&done.links.file).await.status == StatusCode::GONE).then_some(())
    })
    .await;

    operator_reads(&fleet).await;

    // NATS restarts.
    let before = violations(&fleet);
    assert!(before.is_empty(), "{before:#?}");
    fleet.nats.kill();
    fleet.nats.restart().await;
    let export = rest.create(&ExportRequest { dataset: "menus".into(), ..ExportRequest::default() }).await;
    assert_eq!(rest.ended(export.id).await.status, Status::Completed, "{}", fleet.logs());
    eventually("a ticket is created", async || {
        let answer = rest.send(rest.request(Method::POST, "/v1/tickets")).await;
        (answer.status == StatusCode::CREATED).then_some(())
    })
    .await;

    // Every service stops gracefully.
    for process in fleet.gateways.iter().chain(&fleet.exporters).chain(&fleet.notifiers) {
        process.terminate();
    }
    let all = fleet.gateways.iter_mut().chain(&mut fleet.exporters).chain(&mut fleet.notifiers);
    for process in all {
        let status = process.ended().await;
        assert!(status.success(), "{status}: {}", process.stderr());
    }
    let after = violations(&fleet);
    assert!(after.is_empty(), "{after:#?}");
}

/// Sends the requests by which an operator inspects running services.
async fn operator_reads(fleet: &Fleet) {
    let operator = UserClient::connect(&fleet.nats, "operator").await;
    for subject in [subject::OPS_SCHEDULE, subject::OPS_EXPORTS, subject::OPS_DEAD, subject::OPS_EXPORTERS] {
        let answer = operator.request(subject).await;
        assert_ne!(answer["answer"], json!("refused"), "{subject}: {answer}");
    }
    for service in ["sluice-exporter", "sluice-notifier"] {
        assert_eq!(operator.request(&format!("$SRV.INFO.{service}")).await["name"], json!(service));
        assert_eq!(operator.request(&format!("$SRV.STATS.{service}")).await["name"], json!(service));
    }
}

/// Compares the permissions of each user with each row of a table.
async fn assert_permissions(operation: Operation, table: &[(String, &str)]) {
    let server = NatsServer::start_with_ops_config().await;
    for user in table::USERS {
        let mut client = UserClient::connect(&server, user).await;
        for (subject, users) in table {
            let permitted = client.is_permitted(operation, subject).await;
            let expected = users.split(' ').any(|one| one == user);
            assert_eq!(permitted, expected, "{operation:?} {subject} as {user}");
        }
    }
}

#[tokio::test]
async fn each_user_may_publish_exactly_to_the_subjects_of_the_table() {
    assert_permissions(Operation::Publish, &table::publish()).await;
}

#[tokio::test]
async fn each_user_may_subscribe_exactly_to_the_subjects_of_the_table() {
    assert_permissions(Operation::Subscribe, &table::subscribe()).await;
}

#[tokio::test]
async fn a_connection_without_a_valid_password_is_refused() {
    let server = NatsServer::start_with_ops_config().await;
    let kind = async |options: ConnectOptions| {
        let connected = options.connection_timeout(DEADLINE).connect(server.url()).await;
        connected.map(drop).expect_err("the connection must be refused").kind()
    };
    assert_eq!(kind(ConnectOptions::new()).await, ConnectErrorKind::AuthorizationViolation);
    assert_eq!(kind(ConnectOptions::with_token("x".into())).await, ConnectErrorKind::AuthorizationViolation);
    let password = server.config_of("exporter").password.expose().to_owned();
    for user in ["gateway", "notifier", "sys", "unknown", ""] {
        let options = ConnectOptions::with_user_and_password(user.into(), password.clone());
        assert_eq!(
            kind(options).await,
            ConnectErrorKind::AuthorizationViolation,
            "{user} with the password of the exporter"
        );
    }
    eventually("the server logs each refusal", async || (server.violations().len() >= 7).then_some(())).await;
}

#[tokio::test]
async fn an_outcome_on_the_command_subject_becomes_a_dead_letter() {
    let fleet = fleet(vec![]).await;
    let mut client = fleet.client().await;
    let create = ExportCreate { dataset: "flights".into(), ..ExportCreate::default() };
    let export: Export = client.create(create).await;
    let gateway = UserClient::connect(&fleet.nats, "gateway").await;
    let file =
        FileInfo { name: "x.csv".into(), size: 1, rows: 1, sha256: "00".repeat(32), media_type: "text/csv".into() };
    let result = OutcomeResult::Completed { attempt: 1, file, completed_at: export.requested_at, content_sha256: None };
    let forged = Outcome { export_id: export.id, result };
    let forged = Envelope::new("forged", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", forged);
    let forged = serde_json::to_vec(&forged).expect("an envelope is JSON");
    let stored = jetstream::new(gateway.nats.clone()).publish(subject::outcome_command(export.id), forged.into()).await;
    stored.expect("connected").await.expect("JetStream stores commands");

    let operator = UserClient::connect(&fleet.nats, "operator").await;
    let dead_letters = eventually("a dead letter", async || {
        let info = operator.request("$JS.API.STREAM.INFO.SLUICE_DEAD").await;
        info["state"]["messages"].as_u64().filter(|messages| *messages > 0)
    })
    .await;
    assert_eq!(dead_letters, 1);
    let done = client.ended(export.id).await;
    assert_eq!(done.status, Status::Completed);
    assert_ne!(done.file.expect("a file").sha256, "00".repeat(32));
}
