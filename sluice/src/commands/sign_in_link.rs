//! `sluice sign-in-link`: prints a one-time link for the page of a running `sluice up`.

use gateway::config::LocalSignIn;

use super::CommandError;
use crate::{output, settings::Settings, sign_in_link};

/// Prints a new link on one line.
///
/// # Errors
/// When the installation does not offer sign-in by a link, or standard output is closed.
pub fn run(settings: &Settings) -> Result<(), CommandError> {
    let gateway = &settings.gateway;
    if gateway.identity.local.sign_in != LocalSignIn::Link {
        return Err(CommandError::NoSignInLink);
    }
    let link = sign_in_link::create(&format!("http://{}", gateway.listen), &gateway.identity.local)?;
    Ok(output::print(&link)?)
}
