//! Shows the progress of an export on a terminal.

use std::time::Duration;

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use protocol::export::{Progress as ExportProgress, WaitingFor};

use crate::output::grouped;

/// The interval at which the spinner on the terminal moves.
const TICK: Duration = Duration::from_millis(120);

pub(super) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    pub(super) fn new(dataset: &str) -> Self {
        // the bar hides itself when standard error is not a terminal
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let bar = bar.with_style(spinner()).with_prefix(dataset.to_owned());
        bar.enable_steady_tick(TICK);
        Self { bar }
    }

    /// Shows the progress of the export and the number of received bytes.
    pub(super) fn show(&self, export: &ExportProgress, received: u64) {
        if let Some(total) = export.rows_total.filter(|total| *total > 0) {
            if self.bar.length() != Some(total) {
                self.bar.set_length(total);
                self.bar.set_style(bar());
            }
            self.bar.set_position(export.rows.min(total));
        }
        self.bar.set_message(describe(export, received));
    }

    /// Shows the reason for a retry.
    pub(super) fn show_retry(&self, reason: &str) {
        self.bar.set_message(format!("{reason}; retrying"));
    }

    pub(super) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

fn describe(export: &ExportProgress, received: u64) -> String {
    match export.queue_position {
        Some(0) if received == 0 => "next in the queue".into(),
        Some(ahead) if received == 0 => format!("{} ahead in the queue", grouped(ahead)),
        _ => {
            let waits = match export.waiting_for {
                Some(WaitingFor::Storage) => "waiting for storage; ",
                Some(WaitingFor::Database) => "waiting for the database; ",
                Some(WaitingFor::Messaging) => "waiting for NATS; ",
                Some(WaitingFor::Source) => "waiting for the data source; ",
                Some(WaitingFor::Operator) => "paused by an operator; ",
                None => "",
            };
            let left =
                export.eta_ms.filter(|left| *left >= 1_000).map(|left| format!(", {} s left", left.div_ceil(1_000)));
            format!(
                "{waits}{} rows, {} received{}",
                grouped(export.rows),
                HumanBytes(received),
                left.unwrap_or_default()
            )
        }
    }
}

fn spinner() -> ProgressStyle {
    style("{spinner} {prefix}  {msg}")
}

fn bar() -> ProgressStyle {
    style("{spinner} {prefix}  {wide_bar} {percent:>3} %  {msg}")
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_shows_the_queue_or_the_received_bytes() {
        let progress =
            |queue_position, rows, eta_ms| ExportProgress { queue_position, rows, eta_ms, ..ExportProgress::default() };
        assert_eq!(describe(&progress(Some(0), 0, None), 0), "next in the queue");
        assert_eq!(describe(&progress(Some(3), 0, None), 0), "3 ahead in the queue");
        assert_eq!(describe(&progress(None, 1_500, Some(4_100)), 2_048), "1,500 rows, 2.00 KiB received, 5 s left");
        assert_eq!(describe(&progress(None, 1_500, None), 2_048), "1,500 rows, 2.00 KiB received");
        let waiting = ExportProgress { waiting_for: Some(WaitingFor::Storage), ..progress(None, 1_500, None) };
        assert_eq!(describe(&waiting, 2_048), "waiting for storage; 1,500 rows, 2.00 KiB received");
    }

    #[test]
    fn both_styles_are_valid_templates() {
        for template in ["{spinner} {prefix}  {msg}", "{spinner} {prefix}  {wide_bar} {percent:>3} %  {msg}"] {
            ProgressStyle::with_template(template).unwrap();
        }
    }
}
