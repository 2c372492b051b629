//! What every person and every check needs: the gateways, the requests, and the journal.

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use protocol::{
    export::{Export, Status},
    id::ExportId,
    problem::{Problem, Slug},
};
use rand::RngExt;
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use testkit::token::Issuer;
use tokio::{sync::watch, time::Instant};

use crate::{
    journal::{Journal, Record},
    requests::Variant,
    world::World,
};

/// The tenant of all persons.
pub(crate) const TENANT: &str = "storm";
/// The timeout of one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// The longest pause before a request is repeated, in milliseconds.
const MAX_RETRY_PAUSE: u64 = 1_500;

pub(crate) struct Site {
    urls: Vec<String>,
    http: Client,
    issuer: Issuer,
    pub(crate) variants: Vec<Variant>,
    pub(crate) journal: Arc<Journal>,
    stopping: watch::Receiver<bool>,
}

/// The answer to a request.
pub(crate) enum Answer {
    Export(Box<Export>),
    /// A problem, which may pass.
    Problem(Problem),
    /// No answer, or one that is no answer of the API.
    Lost(String),
}

/// A token that is valid also for a clock that is hours off.
pub(crate) fn token(issuer: &Issuer, person: &str) -> String {
    issuer.token(person, TENANT).without("nbf").without("iat").expires_in(TimeDelta::days(1)).sign()
}

impl Site {
    pub(crate) fn new(
        world: &World,
        variants: Vec<Variant>,
        journal: Arc<Journal>,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        let http = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build();
        let http = http.expect("an HTTP client can be created");
        Self { urls: world.urls.clone(), http, issuer: world.issuer.clone(), variants, journal, stopping }
    }

    /// Whether the storm is over.
    pub(crate) fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    pub(crate) fn token(&self, person: &str) -> String {
        token(&self.issuer, person)
    }

    /// The URL of a random gateway.
    pub(crate) fn gateway(&self) -> &str {
        &self.urls[rand::rng().random_range(0..self.urls.len())]
    }

    /// A request of a person to a random gateway.
    pub(crate) fn request(&self, method: Method, path: &str, person: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.gateway())).bearer_auth(self.token(person))
    }

    /// Waits for a random time, as a client does before it repeats a request.
    pub(crate) async fn pause(&self) {
        let pause = rand::rng().random_range(50..MAX_RETRY_PAUSE);
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }

    /// Sends a request and reads the export or the problem of its answer.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Answer {
        let sent = async {
            let answer = request.timeout(REQUEST_TIMEOUT).send().await?;
            Ok::<_, reqwest::Error>((answer.status(), answer.bytes().await?))
        };
        match sent.await {
            Ok((status, body)) if status.is_success() => match serde_json::from_slice(&body) {
                Ok(export) => Answer::Export(Box::new(export)),
                Err(e) => Answer::Lost(format!("{status} with a damaged body: {e}")),
            },
            Ok((status, body)) => match serde_json::from_slice(&body) {
                Ok(problem) => Answer::Problem(problem),
                Err(_) => Answer::Lost(format!("{status} without a problem")),
            },
            Err(e) if e.is_timeout() => Answer::Lost("timeout".to_owned()),
            Err(e) if e.is_connect() => Answer::Lost("no connection".to_owned()),
            Err(_) => Answer::Lost("the connection broke".to_owned()),
        }
    }

    /// Sends the request of a record, again with the same key until an answer names its export.
    pub(crate) async fn create(&self, number: usize, deadline: Instant) -> Option<Export> {
        let Record { person, key, variant, .. } = self.journal.record(number);
        loop {
            let post = self.request(Method::POST, "/v1/exports", &person).header("Idempotency-Key", &key);
            let answer = self.send(post.json(&self.variants[variant].request)).await;
            if let Answer::Export(export) = answer {
                self.journal.answered(number, export.id);
                return Some(*export);
            }
            self.count("create", &answer);
            if Instant::now() > deadline {
                return None;
            }
            self.pause().await;
        }
    }

    /// Cancels an unfinished export, or deletes the file of a completed one, until the request is acknowledged.
    pub(crate) async fn remove(&self, person: &str, id: ExportId, deadline: Instant) -> bool {
        loop {
            let answer = self.send(self.request(Method::DELETE, &format!("/v1/exports/{id}"), person)).await;
            if let Answer::Export(_) = answer {
                return true;
            }
            self.count("remove", &answer);
            if Instant::now() > deadline {
                return false;
            }
            self.pause().await;
        }
    }

    /// Waits until an export has ended. Returns its last known state, or the last answer without one.
    pub(crate) async fn ended(&self, person: &str, id: ExportId, deadline: Instant) -> Result<Export, String> {
        self.reached(person, id, deadline, |status| !status.is_unfinished()).await
    }

    /// Waits until the status of an export is one of those, as [`Site::ended`] does.
    pub(crate) async fn reached(
        &self,
        person: &str,
        id: ExportId,
        deadline: Instant,
        is_reached: impl Fn(Status) -> bool,
    ) -> Result<Export, String> {
        let mut last = Err("no answer".to_owned());
        loop {
            let get = self.request(Method::GET, &format!("/v1/exports/{id}"), person);
            match self.send(get).await {
                Answer::Export(export) if is_reached(export.status) => return Ok(*export),
                Answer::Export(export) => last = Ok(*export),
                other => {
                    self.count("read", &other);
                    if let Answer::Problem(problem) = &other {
                        last = Err(problem.to_string());
                    }
                }
            }
            if Instant::now() > deadline {
                return last;
            }
            self.pause().await;
        }
    }

    /// Counts an answer other than an export. One that says that the request itself is wrong is a violation.
    fn count(&self, what: &str, answer: &Answer) {
        match answer {
            Answer::Export(_) => {}
            Answer::Lost(reason) => self.journal.refused(what, reason),
            Answer::Problem(problem) => {
                self.journal.refused(what, &format!("{} {}", problem.status, problem.slug().as_str()));
                self.journal.note(&format!("{what}: {problem}"));
                let is_wrong = problem.status == StatusCode::UNPROCESSABLE_ENTITY.as_u16();
                // without exporters there are no datasets
                if is_wrong && problem.slug() != Slug::UnknownDataset {
                    self.journal.violated("valid requests are accepted", None, problem.to_string());
                }
            }
        }
    }
}
