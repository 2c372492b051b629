//! `sluice ops`: what operators ask the running services over NATS, on `sluice.v1.ops.>` alone.

mod dead;
mod exporters;
mod exports;

use platform::bus::{Bus, BusError};
use protocol::{envelope::Envelope, id::ExportId, problem::Problem};
use serde::{Serialize, de::DeserializeOwned};

use super::CommandError;
use crate::{
    cli::ops::{OpsCommand, OpsOptions},
    settings::Settings,
};

/// Why operators did not get what they asked for.
#[derive(Debug, thiserror::Error)]
pub enum OpsError {
    /// NATS can't be reached, or nobody answers.
    #[error("{0}: is a notifier running, and may this user ask?")]
    Bus(#[from] BusError),
    /// The answer is no.
    #[error("{0}")]
    Refused(Box<Problem>),
    /// It had ended before.
    #[error("{id} has ended as {status}: nothing was done")]
    Ended {
        /// Which.
        id: ExportId,
        /// How.
        status: protocol::export::Status,
    },
    /// There is no such exporter.
    #[error("no exporter {0} answers: `sluice ops exporters` lists those that are there")]
    NoExporter(String),
    /// Work went on for too long.
    #[error("{instance} drains, and still has {running} jobs in hand after {waited_s} s")]
    NotEmpty {
        /// Which.
        instance: String,
        /// How many.
        running: u32,
        /// How long that was, seconds.
        waited_s: u64,
    },
}

/// Asks, and prints the answer.
///
/// # Errors
/// When NATS can't be reached, nobody answers, or the answer is no.
pub async fn run(options: &OpsOptions, settings: &Settings) -> Result<(), CommandError> {
    let desk = Desk { bus: Bus::join(&settings.nats, "sluice-ops", &[]).await.map_err(OpsError::from)? };
    let json = options.json;
    match &options.command {
        OpsCommand::Exports(which) => exports::list(&desk, which, json).await,
        OpsCommand::Export(one) => exports::show(&desk, one.id, json).await,
        OpsCommand::Cancel(one) => exports::cancel(&desk, one.id, json).await,
        OpsCommand::Dead(which) => dead::list(&desk, which, json).await,
        OpsCommand::Requeue(one) => dead::requeue(&desk, one.id, json).await,
        OpsCommand::Exporters => exporters::list(&desk, json).await,
        OpsCommand::Drain(which) => exporters::drain(&desk, which, json).await,
        OpsCommand::Undrain(one) => exporters::undrain(&desk, &one.instance, json).await,
    }
}

/// Where operators ask.
struct Desk {
    bus: Bus,
}

impl Desk {
    async fn ask<Q: Serialize, A: DeserializeOwned>(&self, subject: &str, question: &Q) -> Result<A, OpsError> {
        Ok(self.bus.request::<_, Envelope<A>>(subject, question).await?.body)
    }
}

fn refused(problem: Problem) -> CommandError {
    OpsError::Refused(Box::new(problem)).into()
}

/// Columns side by side, the first row being their names.
fn table<const N: usize>(rows: &[[String; N]]) -> String {
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

/// A text of somebody else's in one line of a terminal.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_others_stay_in_their_line() {
        assert_eq!(plain("a\nb\u{1b}[2Jc"), "a b [2Jc");
        let rows = [["A", "B"], ["long", "x"]].map(|row| row.map(str::to_owned));
        assert_eq!(table(&rows), "A     B\nlong  x");
    }
}
