//! The state that request handlers and sessions share.

use platform::{bus::Bus, catalog::Catalog, clock::SharedClock, lifecycle::Lifecycle};
use sea_orm::DatabaseConnection;

use crate::{
    auth::{Tickets, Verifier},
    config::GatewayConfig,
    credits::Credits,
    delivery::Source,
    drain::Drain,
    events::Events,
    exports::{Exports, Presenter, Submit},
    sessions::Registry,
};

/// The services and connections that request handlers and sessions use. Clones share the state.
#[derive(Clone, Debug)]
pub(crate) struct AppState {
    pub(crate) config: GatewayConfig,
    pub(crate) life: Lifecycle,
    pub(crate) clock: SharedClock,
    pub(crate) bus: Bus,
    pub(crate) db: DatabaseConnection,
    pub(crate) verifier: Verifier,
    pub(crate) tickets: Tickets,
    pub(crate) catalog: Catalog,
    pub(crate) credits: Credits,
    pub(crate) sessions: Registry,
    pub(crate) events: Events,
    pub(crate) submit: Submit,
    pub(crate) exports: Exports,
    pub(crate) presenter: Presenter,
    pub(crate) source: Source,
    pub(crate) drain: Drain,
}
