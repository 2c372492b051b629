//! Requests of commands to the REST API of a gateway.

use std::time::Duration;

use protocol::problem::Problem;
use reqwest::{RequestBuilder, Response};
use serde::de::DeserializeOwned;

use crate::export::{Access, AccessError, describe};

/// The time limit of one request.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Why a request to a gateway failed.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The settings can't be used, or name no gateway or no token.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The gateway can't be reached.
    #[error("can't reach {url}: {detail}; is Sluice running there?")]
    Unreachable {
        /// The URL of the gateway.
        url: String,
        /// The error of the connection.
        detail: String,
    },
    /// The gateway refuses the request.
    #[error("{}", describe(.0))]
    Refused(Box<Problem>),
    /// The answer is not one of Sluice.
    #[error("the answer is not one of a gateway: {0}")]
    Answer(String),
}

/// Completes a request by `finish`, and sends it.
///
/// # Errors
/// When the gateway can't be reached or refuses the request.
pub(super) async fn send(
    access: &Access,
    request: Result<RequestBuilder, String>,
    finish: impl FnOnce(RequestBuilder) -> RequestBuilder,
) -> Result<Response, ApiError> {
    let unreachable = |detail: String| ApiError::Unreachable { url: access.url().to_owned(), detail };
    let request = finish(request.map_err(unreachable)?).timeout(TIMEOUT);
    let response = request.send().await.map_err(|e| unreachable(e.without_url().to_string()))?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    match response.json::<Problem>().await {
        Ok(problem) => Err(ApiError::Refused(Box::new(problem))),
        Err(_) => Err(ApiError::Answer(format!("status {status}"))),
    }
}

/// Reads the answer.
///
/// # Errors
/// When the answer is not of this type.
pub(super) async fn read<T: DeserializeOwned>(response: Response) -> Result<T, ApiError> {
    response.json().await.map_err(|e| ApiError::Answer(e.without_url().to_string()))
}
