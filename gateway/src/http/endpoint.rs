//! The declarations of endpoints. Each endpoint is declared once, beside its handler. The router and the OpenAPI
//! document are both built from the declarations.

use axum::{
    handler::Handler,
    http::Method,
    routing::{MethodFilter, MethodRouter, on},
};

use crate::{
    contract::{Describe, OperationInfo},
    state::AppState,
};

/// One endpoint: an HTTP method of a path, its handler and its documentation.
pub(crate) struct Endpoint {
    method: Method,
    path: &'static str,
    route: MethodRouter<AppState>,
    /// The `operationId`, the summary, and the function that adds the parameters, body and responses to the OpenAPI
    /// document. None for an endpoint outside the public API.
    operation: Option<(&'static str, &'static str, Describe)>,
}

impl Endpoint {
    pub(crate) fn get<H: Handler<T, AppState>, T: 'static>(path: &'static str, handler: H) -> Self {
        Self::new(Method::GET, MethodFilter::GET, path, handler)
    }

    pub(super) fn head<H: Handler<T, AppState>, T: 'static>(path: &'static str, handler: H) -> Self {
        Self::new(Method::HEAD, MethodFilter::HEAD, path, handler)
    }

    pub(super) fn post<H: Handler<T, AppState>, T: 'static>(path: &'static str, handler: H) -> Self {
        Self::new(Method::POST, MethodFilter::POST, path, handler)
    }

    pub(super) fn patch<H: Handler<T, AppState>, T: 'static>(path: &'static str, handler: H) -> Self {
        Self::new(Method::PATCH, MethodFilter::PATCH, path, handler)
    }

    pub(super) fn delete<H: Handler<T, AppState>, T: 'static>(path: &'static str, handler: H) -> Self {
        Self::new(Method::DELETE, MethodFilter::DELETE, path, handler)
    }

    fn new<H, T>(method: Method, filter: MethodFilter, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, AppState>,
        T: 'static,
    {
        Self { method, path, route: on(filter, handler), operation: None }
    }

    /// Adds the endpoint to the OpenAPI document. `id` is the `operationId`, and `describe` adds the parameters, body
    /// and responses.
    pub(super) fn operation(self, id: &'static str, summary: &'static str, describe: Describe) -> Self {
        Self { operation: Some((id, summary, describe)), ..self }
    }

    /// Returns the path and the handler for the router.
    pub(crate) fn into_route(self) -> (&'static str, MethodRouter<AppState>) {
        (self.path, self.route)
    }

    /// Returns the operation for the OpenAPI document. Returns None for an endpoint outside the public API.
    pub(crate) fn operation_info(&self) -> Option<OperationInfo> {
        let (id, summary, describe) = self.operation?;
        let method = self.method.as_str().to_ascii_lowercase();
        Some(OperationInfo { method, path: self.path, id, summary, describe })
    }
}
