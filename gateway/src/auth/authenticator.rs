//! Authenticates callers by a JSON Web Token, an API key or a ticket.

use super::{
    api_keys::ApiKeys,
    caller::{AuthError, Caller},
    rights::Rights,
    tickets::Tickets,
    verify::Verifier,
};

/// Authenticates callers by a JSON Web Token, an API key or a ticket (a single-use secret of a browser). Clones share
/// the state.
#[derive(Clone, Debug)]
pub(crate) struct Authenticator {
    verifier: Verifier,
    keys: ApiKeys,
    tickets: Tickets,
    rights: Rights,
}

impl Authenticator {
    #[must_use]
    pub(crate) fn new(verifier: Verifier, keys: ApiKeys, tickets: Tickets, rights: Rights) -> Self {
        Self { verifier, keys, tickets, rights }
    }

    /// Verifies a bearer token: a JSON Web Token or an API key.
    ///
    /// # Errors
    /// The [`AuthError`] of the first check that fails.
    pub(crate) async fn verify(&self, token: &str) -> Result<Caller, AuthError> {
        if ApiKeys::is_key(token) {
            return self.keys.verify(token).await;
        }
        let caller = self.verifier.verify(token).await?;
        self.rights.note(&caller);
        Ok(caller)
    }

    /// Uses a ticket, and returns the caller to whom it was issued.
    ///
    /// # Errors
    /// The errors of [`Tickets::redeem`]. [`AuthError::Ticket`] also when the caller requested the ticket with an API
    /// key that was deleted or has expired since then.
    pub(crate) async fn redeem(&self, ticket: &str) -> Result<Caller, AuthError> {
        let caller = self.tickets.redeem(ticket).await?;
        match caller.key {
            Some(id) if !self.keys.is_live(id).await? => Err(AuthError::Ticket),
            _ => Ok(caller),
        }
    }
}
