//! A REST client for tests.

use bytes::Bytes;
use protocol::{
    export::{Export, ExportRequest},
    id::ExportId,
    problem::Problem,
};
use reqwest::{
    Client, Method, RequestBuilder, StatusCode,
    header::{HeaderMap, HeaderName},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{DEADLINE, eventually};

/// A client of one gateway with the token of one user.
#[derive(Clone)]
pub struct Rest {
    base: String,
    token: Option<String>,
    http: Client,
}

/// A response with its whole body.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status of the response.
    pub status: StatusCode,
    /// The headers of the response.
    pub headers: HeaderMap,
    /// The whole body of the response.
    pub body: Bytes,
}

impl Answer {
    /// Parses the body as JSON.
    ///
    /// # Panics
    /// When the body is not JSON of this type.
    #[must_use]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{} with an unexpected body ({e}): {}", self.status, self.text()))
    }

    /// Parses the body as a problem document.
    ///
    /// # Panics
    /// When the body is not a problem with its media type and the status of the response.
    #[must_use]
    pub fn problem(&self) -> Problem {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.text());
        let problem: Problem = self.json();
        assert_eq!(problem.status, self.status.as_u16(), "the problem has the status of the response");
        problem
    }

    /// The whole body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The value of a header as text; None without the header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name.parse::<HeaderName>().ok()?)?.to_str().ok()
    }
}

impl Rest {
    /// Creates a client of a gateway (`http://host:port`), with or without a bearer token.
    ///
    /// # Panics
    /// When the HTTP client can't be created.
    #[must_use]
    pub fn new(gateway: &str, token: Option<&str>) -> Self {
        let http = Client::builder().timeout(DEADLINE).no_proxy().redirect(reqwest::redirect::Policy::none()).build();
        Self {
            base: gateway.trim_end_matches('/').to_owned(),
            token: token.map(str::to_owned),
            http: http.expect("an HTTP client can be created"),
        }
    }

    /// Prepares a request with the client's token, for [`Rest::send`].
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends a request and reads the response.
    ///
    /// # Panics
    /// When the gateway sends no response.
    pub async fn send(&self, request: RequestBuilder) -> Answer {
        let response = request.send().await.expect("the gateway answers");
        let (status, headers) = (response.status(), response.headers().clone());
        Answer { status, headers, body: response.bytes().await.expect("the whole body arrives") }
    }

    /// Sends a GET request.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    /// Sends a DELETE request.
    pub async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path)).await
    }

    /// Sends a POST request with a JSON body.
    pub async fn post(&self, path: &str, body: &impl Serialize) -> Answer {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    /// Creates an export and returns it.
    ///
    /// # Panics
    /// When the gateway refuses the export.
    pub async fn create(&self, request: &ExportRequest) -> Export {
        let answer = self.post("/v1/exports", request).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text());
        answer.json()
    }

    /// Reads the current state of an export.
    ///
    /// # Panics
    /// When the user does not own the export.
    pub async fn export(&self, id: ExportId) -> Export {
        let answer = self.get(&format!("/v1/exports/{id}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        answer.json()
    }

    /// Waits until an export has ended and returns it.
    ///
    /// # Panics
    /// When the export does not end in time.
    pub async fn ended(&self, id: ExportId) -> Export {
        eventually("the export ends", async || {
            let export = self.export(id).await;
            (!export.status.is_unfinished()).then_some(export)
        })
        .await
    }
}
