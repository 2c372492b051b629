//! NATS as it ships (`ops/nats`): each service is a user of its own, can do its work, and nothing else.

mod rights;

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

/// Words that a test looks for behind whatever it tried: nobody may say or hear them.
const SENTINEL: &str = "nobody.may";

/// What somebody tries.
#[derive(Clone, Copy, Debug)]
enum Doing {
    Say,
    Hear,
}

/// Somebody with the password of a service and a client of their own.
struct Guest {
    nats: Nats,
    errors: mpsc::UnboundedReceiver<String>,
}

impl Guest {
    async fn enter(server: &NatsServer, user: &str) -> Self {
        let config = server.config_of(user);
        let (tell, errors) = mpsc::unbounded_channel();
        let options = ConnectOptions::with_user_and_password(user.into(), config.password.expose().into())
            .custom_inbox_prefix(config.inbox())
            .event_callback(move |event| {
                let tell = tell.clone();
                async move {
                    if let Event::ServerError(ServerError::Other(text)) = event {
                        // nobody listens any more when the test is over
                        drop(tell.send(text));
                    }
                }
            });
        Self { nats: options.connect(config.url).await.expect("the user is known"), errors }
    }

    /// Whether the server lets this user do that. What is published is no message of the platform.
    async fn may(&mut self, doing: Doing, subject: &str) -> bool {
        let mut heard = Vec::new();
        for subject in [subject, SENTINEL] {
            let subject = subject.to_owned();
            match doing {
                Doing::Say => {
                    let inbox = self.nats.new_inbox();
                    self.nats.publish_with_reply(subject, inbox, "{}".into()).await.expect("connected");
                }
                Doing::Hear => heard.push(self.nats.subscribe(subject).await.expect("connected")),
            }
        }
        self.answered(doing, subject).await
    }

    /// Reads what the server says until it refuses the sentinel, which came last. True: it refused nothing else.
    async fn answered(&mut self, doing: Doing, subject: &str) -> bool {
        self.nats.flush().await.expect("connected");
        let what = match doing {
            Doing::Say => "publish",
            Doing::Hear => "subscription",
        };
        let refused = |subject: &str| format!("permissions violation for {what} to \"{}\"", subject.to_lowercase());
        let (wanted, last) = (refused(subject), refused(SENTINEL));
        let mut may = true;
        loop {
            let told = tokio::time::timeout(DEADLINE, self.errors.recv()).await;
            let told =
                told.unwrap_or_else(|_| panic!("nothing came of {what} to {subject}")).expect("the client lives");
            let told = told.to_lowercase();
            if told.contains(&last) {
                return may;
            }
            assert!(told.contains(&wanted), "`{told}` instead of `{wanted}`");
            may = false;
        }
    }

    async fn ask(&self, subject: &str) -> Value {
        let answer = self.nats.request(subject.to_owned(), "{}".into()).await;
        let answer = answer.unwrap_or_else(|e| panic!("{subject}: {e}"));
        serde_json::from_slice(&answer.payload).expect("an answer is JSON")
    }
}

async fn fleet(settings: Vec<(&'static str, String)>) -> Fleet {
    Fleet::start(Plan { gateways: 2, nats_users: true, settings, ..Plan::default() }).await
}

/// Every line in which a client or the server says that something was not permitted.
fn violations(fleet: &Fleet) -> Vec<String> {
    let mut found = fleet.nats.violations();
    let logs = fleet.logs();
    found.extend(logs.lines().filter(|line| line.to_lowercase().contains("violation")).map(str::to_owned));
    found
}

#[tokio::test]
async fn the_whole_product_runs_with_each_service_as_its_own_user() {
    let settings = vec![("SLUICE_CREDITS__OPENING", "50".to_owned()), ("SLUICE_EXPORTER__ZSTD_LEVEL", "19".to_owned())];
    let mut fleet = fleet(settings).await;
    let rest = fleet.rest();

    // an estimate asks an exporter
    let estimate = rest.post("/v1/exports/estimate", &json!({"dataset": "menus"})).await;
    assert_eq!(estimate.status, StatusCode::OK, "{}", estimate.text());

    // a ticket, a session, and a file that is streamed while it is made
    let ticket: Value = rest.send(rest.request(Method::POST, "/v1/tickets")).await.json();
    let ticket = ticket["ticket"].as_str().expect("a ticket").to_owned();
    let mut client = Client::connect(fleet.url(), Credential::Ticket(&ticket)).await.expect("the ticket is good");
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

    // the same over HTTP, at the other gateway
    let other = testkit::rest::Rest::new(&fleet.urls[1], Some(&fleet.token("alice", "acme")));
    let file = other.get(&done.links.file).await;
    assert_eq!(testkit::sha256(&file.body), seal.sha256);
    assert_eq!(other.get(&done.links.metadata).await.status, StatusCode::OK);

    // what was missed, over the socket and over SSE
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
    let mut told = String::new();
    while !told.contains("export.completed") {
        let chunk = tokio::time::timeout(DEADLINE, events.chunk()).await.expect("events come").expect("unbroken");
        told.push_str(&String::from_utf8_lossy(&chunk.expect("the stream goes on")));
    }

    // canceled while it runs, as it is packed so well that it takes long, and deleted when it is done
    let slow = Some("zstd".to_owned());
    let create = ExportCreate { dataset: "flights".into(), compression: slow, ..ExportCreate::default() };
    let running = client.create(create).await;
    client.cancel(running.id).await;
    assert_eq!(client.ended(running.id).await.status, Status::Canceled);
    assert_eq!(rest.delete(&done.links.this).await.status, StatusCode::ACCEPTED);
    eventually("the file is gone", async || {
        (rest.get(&done.links.file).await.status == StatusCode::GONE).then_some(())
    })
    .await;

    an_operator_looks(&fleet).await;

    // NATS is away for a moment
    let before = violations(&fleet);
    assert!(before.is_empty(), "{before:#?}");
    fleet.nats.kill();
    fleet.nats.restart().await;
    let export = rest.create(&ExportRequest { dataset: "menus".into(), ..ExportRequest::default() }).await;
    assert_eq!(rest.ended(export.id).await.status, Status::Completed, "{}", fleet.logs());
    eventually("a ticket", async || {
        let answer = rest.send(rest.request(Method::POST, "/v1/tickets")).await;
        (answer.status == StatusCode::CREATED).then_some(())
    })
    .await;

    // and everybody leaves in good order
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

/// What a person with `nats` sees of the running services.
async fn an_operator_looks(fleet: &Fleet) {
    let operator = Guest::enter(&fleet.nats, "operator").await;
    for subject in [subject::OPS_SCHEDULE, subject::OPS_EXPORTS, subject::OPS_DEAD, subject::OPS_EXPORTERS] {
        let answer = operator.ask(subject).await;
        assert_ne!(answer["answer"], json!("refused"), "{subject}: {answer}");
    }
    for service in ["sluice-exporter", "sluice-notifier"] {
        assert_eq!(operator.ask(&format!("$SRV.INFO.{service}")).await["name"], json!(service));
        assert_eq!(operator.ask(&format!("$SRV.STATS.{service}")).await["name"], json!(service));
    }
}

/// Asks a server about each row of a table, for each user.
async fn compare(doing: Doing, table: &[(String, &str)]) {
    let server = NatsServer::start_with_ops_config().await;
    for user in rights::USERS {
        let mut guest = Guest::enter(&server, user).await;
        for (subject, users) in table {
            let may = guest.may(doing, subject).await;
            assert_eq!(may, users.split(' ').any(|one| one == user), "{doing:?} {subject} as {user}");
        }
    }
}

#[tokio::test]
async fn each_user_may_say_what_the_table_gives_to_it_and_nothing_else() {
    compare(Doing::Say, &rights::says()).await;
}

#[tokio::test]
async fn each_user_may_hear_what_the_table_gives_to_it_and_nothing_else() {
    compare(Doing::Hear, &rights::hears()).await;
}

#[tokio::test]
async fn without_a_password_nobody_is_let_in() {
    let server = NatsServer::start_with_ops_config().await;
    let kind = async |options: ConnectOptions| {
        let connected = options.connection_timeout(DEADLINE).connect(server.url()).await;
        connected.map(drop).expect_err("nobody should be let in").kind()
    };
    assert_eq!(kind(ConnectOptions::new()).await, ConnectErrorKind::AuthorizationViolation);
    assert_eq!(kind(ConnectOptions::with_token("x".into())).await, ConnectErrorKind::AuthorizationViolation);
    let password = server.config_of("exporter").password.expose().to_owned();
    for user in ["gateway", "notifier", "sys", "nobody", ""] {
        let options = ConnectOptions::with_user_and_password(user.into(), password.clone());
        assert_eq!(kind(options).await, ConnectErrorKind::AuthorizationViolation, "{user} with another's password");
    }
    eventually("each is in the server's log", async || (server.violations().len() >= 7).then_some(())).await;
}

#[tokio::test]
async fn an_outcome_in_the_clothes_of_a_wish_is_put_aside() {
    let fleet = fleet(vec![]).await;
    let mut client = fleet.client().await;
    let create = ExportCreate { dataset: "flights".into(), ..ExportCreate::default() };
    let export: Export = client.create(create).await;
    let guest = Guest::enter(&fleet.nats, "gateway").await;
    let file =
        FileInfo { name: "x.csv".into(), size: 1, rows: 1, sha256: "00".repeat(32), media_type: "text/csv".into() };
    let result = OutcomeResult::Completed { attempt: 1, file, completed_at: export.requested_at };
    let forged = Outcome { export_id: export.id, result };
    let forged = Envelope::new("forged", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", forged);
    let forged = serde_json::to_vec(&forged).expect("it is JSON");
    let stored = jetstream::new(guest.nats.clone()).publish(subject::outcome_command(export.id), forged.into()).await;
    stored.expect("connected").await.expect("wishes are stored");

    let operator = Guest::enter(&fleet.nats, "operator").await;
    let dead = eventually("a dead letter", async || {
        let info = operator.ask("$JS.API.STREAM.INFO.SLUICE_DEAD").await;
        info["state"]["messages"].as_u64().filter(|messages| *messages > 0)
    })
    .await;
    assert_eq!(dead, 1);
    let done = client.ended(export.id).await;
    assert_eq!(done.status, Status::Completed);
    assert_ne!(done.file.expect("its own file").sha256, "00".repeat(32));
}
