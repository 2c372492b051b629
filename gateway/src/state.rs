//! The state that request handlers and sessions share.

use std::{ops::Deref, sync::Arc};

use platform::{bus::Bus, catalog::Catalog, clock::SharedClock, lifecycle::Lifecycle};
use sea_orm::DatabaseConnection;

use crate::{
    auth::{ApiKeys, Authenticator, SignInLinks, Tickets},
    config::GatewayConfig,
    credits::Credits,
    delivery::{Downloads, Source},
    drain::Drain,
    embed::EmbedScript,
    events::Events,
    exports::{Exports, Presenter, Submit},
    operate::Operate,
    saved_exports::SavedExports,
    sessions::Registry,
};

/// The state that request handlers and sessions share. A clone has only the size of a pointer, because each request and
/// each session holds several clones.
#[derive(Clone, Debug)]
pub(crate) struct AppState(Arc<Shared>);

impl AppState {
    #[must_use]
    pub(crate) fn new(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }
}

impl Deref for AppState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// The fields of [`AppState`], which all clones share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: GatewayConfig,
    pub(crate) life: Lifecycle,
    pub(crate) clock: SharedClock,
    pub(crate) bus: Bus,
    pub(crate) db: DatabaseConnection,
    pub(crate) authenticator: Authenticator,
    pub(crate) api_keys: ApiKeys,
    pub(crate) sign_in_links: SignInLinks,
    pub(crate) tickets: Tickets,
    pub(crate) catalog: Catalog,
    pub(crate) credits: Credits,
    pub(crate) sessions: Registry,
    pub(crate) events: Events,
    pub(crate) submit: Submit,
    pub(crate) exports: Exports,
    pub(crate) saved_exports: SavedExports,
    pub(crate) presenter: Presenter,
    pub(crate) operate: Operate,
    pub(crate) source: Source,
    pub(crate) downloads: Downloads,
    pub(crate) drain: Drain,
    /// The script of the export button, for web pages of other products; None if the web page was built without the
    /// script.
    pub(crate) embed: Option<EmbedScript>,
}
