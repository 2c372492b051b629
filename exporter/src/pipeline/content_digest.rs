//! The digest of a file's rows, without the timestamps of its export. Two exports with equal digests have the same rows
//! in the same order, in every format.

use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{Context, SHA256};
use chrono::DateTime;
use futures::{StreamExt, TryStreamExt};
use protocol::time::Timestamp;
use tokio::task::spawn_blocking;

use super::stage::Rows;
use crate::{
    error::JobError,
    format::{Encoder, Head},
    layout::{ColumnStyle, Layout, LayoutColumn, Style, Timestamps},
};

/// The number of columns with the times of the export, if the rows have them.
const TIME_COLUMNS: usize = 2;

/// Computes the digest of rows that pass through the pipeline. Clones share the state.
#[derive(Clone)]
pub struct ContentDigest {
    encoder: Arc<dyn Encoder>,
    state: Arc<Mutex<Context>>,
}

impl ContentDigest {
    /// Begins a digest. `encoder` writes the rows as text, in a form that has all digits of each value and does not
    /// depend on how the rows are split into data frames: the encoder of TSV for [`Self::layout`].
    #[must_use]
    pub fn new(encoder: Arc<dyn Encoder>) -> Self {
        let mut context = Context::new(&SHA256);
        let mut titles = Vec::new();
        encoder.begin(&Head { requested_at: Timestamp::from(DateTime::UNIX_EPOCH), completed_at: None }, &mut titles);
        context.update(&titles);
        Self { encoder, state: Arc::new(Mutex::new(context)) }
    }

    /// Returns the layout whose rows the digest covers: the columns of a file, with their values as they are and without
    /// timestamps.
    #[must_use]
    pub fn layout(layout: &Layout) -> Layout {
        let plain = |column: &LayoutColumn| LayoutColumn { style: ColumnStyle::default(), ..column.clone() };
        // the times of the export are the last two columns
        let times = if layout.timestamps == Timestamps::Columns { TIME_COLUMNS } else { 0 };
        let rows = layout.columns.len().saturating_sub(times);
        Layout {
            columns: layout.columns.iter().take(rows).map(plain).collect(),
            timestamps: Timestamps::Sidecar,
            style: Style::machine(),
            ..layout.clone()
        }
    }

    /// Adds each row to the digest, and passes it on.
    pub(super) fn observed(&self, rows: Rows) -> Rows {
        let digest = self.clone();
        let observed = rows.and_then(move |frame| {
            let digest = digest.clone();
            async move {
                let observed = spawn_blocking(move || -> Result<_, JobError> {
                    let mut text = Vec::new();
                    digest.encoder.encode(&frame, &mut text)?;
                    digest.state.lock().unwrap_or_else(PoisonError::into_inner).update(&text);
                    Ok(frame)
                });
                observed.await?
            }
        });
        observed.boxed()
    }

    /// Returns the digest of the rows so far, in lower-case hex.
    #[must_use]
    pub fn finish(&self) -> String {
        hex::encode(self.state.lock().unwrap_or_else(PoisonError::into_inner).clone().finish())
    }
}
