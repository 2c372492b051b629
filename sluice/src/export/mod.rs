//! `sluice export`: a client of the gateway that uses only the public protocol, over a WebSocket and REST.
//!
//! - `request` converts the command line to an `export.create` message.
//! - `access` selects the gateway and the token.
//! - `socket` handles one WebSocket connection.
//! - [`transfer`] implements the protocol as a state machine without a socket, which returns the next steps for each
//!   message.
//! - `sink` writes the file, which has the suffix `.part` until it is complete.
//! - `driver` connects and reconnects, and executes the steps of the state machine.
//! - `progress` shows the progress on a terminal.
//! - `error` lists the causes of a failure.

mod access;
mod driver;
mod error;
mod progress;
mod request;
mod sink;
mod socket;
pub mod transfer;

use std::{path::PathBuf, time::Duration};

use platform::lifecycle::Lifecycle;
use protocol::{client::ClientMessage, export::Export};

pub(crate) use self::{access::Access, error::describe, request::request};
pub use self::{access::AccessError, error::ExportError};
use self::{driver::Driver, progress::Progress, sink::Sink, transfer::Transfer};
use crate::{
    cli::{ExportOptions, SettingsFiles},
    output::{self, grouped},
};

/// The time limit for requesting the completed export from the gateway.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

/// Exports a dataset to a file.
///
/// # Errors
/// When the command receives no complete file. The received bytes stay in a file with the suffix `.part`, except after
/// Ctrl-C.
pub async fn run(options: ExportOptions, files: &SettingsFiles) -> Result<(), ExportError> {
    let access = Access::new(&options.access, "export:*", files)?;
    let create = request::create(&options);
    let target = request::target(&options)?;
    let request = ClientMessage::ExportCreate(Box::new(create));
    receive(&access, Reception { request, target, window: options.window, title: &options.dataset, json: options.json })
        .await
}

/// A new export whose file the command receives.
pub(crate) struct Reception<'a> {
    /// An `export.create` or a `saved.run` with an idempotency key and the delivery `stream`.
    pub(crate) request: ClientMessage,
    /// The file to write; `None` for standard output.
    pub(crate) target: Option<PathBuf>,
    /// The maximum number of bytes in flight.
    pub(crate) window: u64,
    /// The name of the export in the progress bar.
    pub(crate) title: &'a str,
    /// Whether to print the finished export as JSON.
    pub(crate) json: bool,
}

/// Requests an export and receives its file.
///
/// # Errors
/// The errors of [`run`].
pub(crate) async fn receive(access: &Access, reception: Reception<'_>) -> Result<(), ExportError> {
    let Reception { request, target, window, title, json } = reception;
    let to_stdout = target.is_none();
    let mut sink = Sink::open(target).await?;
    let mut transfer = Transfer::new(request, window);
    let life = Lifecycle::new();
    life.stop_at_signals();
    let progress = Progress::new(title);

    let mut driver = Driver::new(access, &mut transfer, &mut sink, &progress, life.soft().clone());
    let seal = match driver.run().await {
        Ok(seal) => seal,
        Err(e) => {
            if e.leaves_export_running() {
                driver.cancel_export().await;
            }
            progress.clear();
            sink.abandon(matches!(e, ExportError::Interrupted)).await;
            return Err(e);
        }
    };
    progress.clear();
    let location = sink.finish().await?;
    if json {
        let export = finished(access, &transfer).await?;
        // the file went to standard output, so print the JSON to standard error
        if to_stdout {
            let text = serde_json::to_string_pretty(&export).map_err(|e| ExportError::Show(e.to_string()))?;
            output::note(&text);
        } else {
            output::print_json(&export).map_err(ExportError::Print)?;
        }
    } else {
        output::note(&format!(
            "{location}: {} rows, {} bytes, sha256 {}",
            grouped(seal.rows),
            grouped(seal.size),
            seal.sha256
        ));
    }
    Ok(())
}

/// Returns the completed export, from its last event or from the gateway.
async fn finished(access: &Access, transfer: &Transfer) -> Result<Export, ExportError> {
    if let Some(export) = transfer.completed() {
        return Ok(export.clone());
    }
    let id = transfer.export_id().ok_or_else(|| ExportError::Show("it has no id".into()))?;
    let request = async {
        let answer = access
            .get(&format!("/v1/exports/{id}"))?
            .timeout(REQUEST_TIMEOUT)
            .send()
            .await
            .map_err(|e| e.to_string())?;
        let answer = answer.error_for_status().map_err(|e| e.to_string())?;
        answer.json().await.map_err(|e| e.to_string())
    };
    request.await.map_err(ExportError::Show)
}
