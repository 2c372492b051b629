//! The one-time link with which a browser may sign in at a local installation.

use gateway::{
    auth::{local::SignError, sign_in_link},
    config::LocalIdentityConfig,
};
use platform::clock::{Clock, SystemClock};

/// Returns a new link for the gateway that runs at `url`. The code stands in the fragment, which browsers send to no
/// server.
///
/// # Errors
/// When the settings have no local identity.
pub fn create(url: &str, identity: &LocalIdentityConfig) -> Result<String, SignError> {
    Ok(format!("{url}/#sign-in={}", sign_in_link::create_code(identity, SystemClock.now())?))
}
