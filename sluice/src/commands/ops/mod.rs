//! `sluice ops`: sends requests of operators to the running services over NATS. The command uses only subjects below
//! `sluice.v1.ops`.

mod dead_letters;
mod exporters;
mod exports;
mod pauses;
mod story;

use platform::bus::{Bus, BusError};
use protocol::{envelope::Envelope, id::ExportId, problem::Problem};
use serde::{Serialize, de::DeserializeOwned};

use super::CommandError;
use crate::{
    cli::ops::{OpsCommand, OpsOptions},
    settings::Settings,
};

/// The reason why a request of an operator failed.
#[derive(Debug, thiserror::Error)]
pub enum OpsError {
    /// NATS can't be reached, or no service answers.
    #[error("{0}: is a notifier running, and has this NATS user the permission?")]
    Bus(#[from] BusError),
    /// The service refuses the request.
    #[error("{0}")]
    Refused(Box<Problem>),
    /// The export ended before the request.
    #[error("{id} has ended as {status}: nothing was changed")]
    Ended {
        /// The id of the export.
        id: ExportId,
        /// The final status of the export.
        status: protocol::export::Status,
    },
    /// No exporter of this name answers.
    #[error("no exporter {0} answers: `sluice ops exporters` lists the running exporters")]
    NoExporter(String),
    /// A draining exporter still runs jobs after the timeout.
    #[error("{instance} is draining and still runs {running} jobs after {waited_s} s")]
    NotDrained {
        /// The name of the exporter.
        instance: String,
        /// The number of running jobs.
        running: u32,
        /// The timeout in seconds.
        waited_s: u64,
    },
}

/// Sends the request, and prints the reply.
///
/// # Errors
/// When NATS can't be reached, no service answers, or the service refuses the request.
pub async fn run(options: &OpsOptions, settings: &Settings) -> Result<(), CommandError> {
    let client = OpsClient { bus: Bus::join(&settings.nats, "sluice-ops", &[]).await.map_err(OpsError::from)? };
    let json = options.json;
    match &options.command {
        OpsCommand::Exports(filter) => exports::list(&client, filter, json).await,
        OpsCommand::Export(one) => exports::show(&client, one.id, json).await,
        OpsCommand::Story(one) => story::show(&client, one.id, json).await,
        OpsCommand::Cancel(act) => exports::cancel(&client, act, json).await,
        OpsCommand::DeadLetters(page) => dead_letters::list(&client, page, json).await,
        OpsCommand::Requeue(act) => dead_letters::requeue(&client, act, json).await,
        OpsCommand::Pause(pause) => pauses::pause(&client, pause, json).await,
        OpsCommand::Resume(resume) => pauses::resume(&client, resume, json).await,
        OpsCommand::Pauses => pauses::list(&client, json).await,
        OpsCommand::Exporters => exporters::list(&client, json).await,
        OpsCommand::Drain(drain) => exporters::drain(&client, drain, json).await,
        OpsCommand::Undrain(one) => exporters::undrain(&client, &one.instance, json).await,
    }
}

/// A NATS client that sends requests to the services.
struct OpsClient {
    bus: Bus,
}

impl OpsClient {
    async fn request<Q: Serialize, A: DeserializeOwned>(&self, subject: &str, request: &Q) -> Result<A, OpsError> {
        Ok(self.bus.request::<_, Envelope<A>>(subject, request).await?.body)
    }
}

fn refused(problem: Problem) -> CommandError {
    OpsError::Refused(Box::new(problem)).into()
}

/// Returns the name under which the acts of this operator are recorded: the user of the operating system.
fn operator_name() -> String {
    std::env::var("USER").ok().filter(|user| !user.is_empty()).unwrap_or_else(|| "sluice ops".into())
}

/// Formats rows as aligned columns. The first row holds the headings.
pub(super) fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let lines = rows.iter().map(|row| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Replaces control characters in text from users, so that the text cannot control the terminal.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_removed_and_columns_are_aligned() {
        assert_eq!(plain("a\nb\u{1b}[2Jc"), "a b [2Jc");
        let rows = [["A", "B"], ["long", "x"]].map(|row| row.map(str::to_owned));
        assert_eq!(table(&rows), "A     B\nlong  x");
    }
}
