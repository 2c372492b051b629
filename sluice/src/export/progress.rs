//! What a person sees while the file comes: one line that moves, on a terminal only.

use std::time::Duration;

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use protocol::export::Progress as Made;

use crate::output::grouped;

const TICK: Duration = Duration::from_millis(120);

pub(super) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    pub(super) fn new(dataset: &str) -> Self {
        // hidden by itself where standard error is no terminal
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let bar = bar.with_style(spinner()).with_prefix(dataset.to_owned());
        bar.enable_steady_tick(TICK);
        Self { bar }
    }

    /// Shows how far the exporter is and how much came.
    pub(super) fn show(&self, made: &Made, came: u64) {
        if let Some(total) = made.rows_total.filter(|total| *total > 0) {
            if self.bar.length() != Some(total) {
                self.bar.set_length(total);
                self.bar.set_style(bar());
            }
            self.bar.set_position(made.rows.min(total));
        }
        self.bar.set_message(describe(made, came));
    }

    /// Shows why nothing moves.
    pub(super) fn wait(&self, why: &str) {
        self.bar.set_message(format!("{why}; trying again"));
    }

    /// Takes the line away.
    pub(super) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

fn describe(made: &Made, came: u64) -> String {
    match made.queue_position {
        Some(0) if came == 0 => "next in the queue".into(),
        Some(ahead) if came == 0 => format!("{} in the queue before it", grouped(ahead)),
        _ => {
            let left =
                made.eta_ms.filter(|left| *left >= 1_000).map(|left| format!(", {} s left", left.div_ceil(1_000)));
            format!("{} rows, {} here{}", grouped(made.rows), HumanBytes(came), left.unwrap_or_default())
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
    fn the_line_tells_what_matters_now() {
        let made = |queue_position, rows, eta_ms| Made { queue_position, rows, eta_ms, ..Made::default() };
        assert_eq!(describe(&made(Some(0), 0, None), 0), "next in the queue");
        assert_eq!(describe(&made(Some(3), 0, None), 0), "3 in the queue before it");
        assert_eq!(describe(&made(None, 1_500, Some(4_100)), 2_048), "1,500 rows, 2.00 KiB here, 5 s left");
        assert_eq!(describe(&made(None, 1_500, None), 2_048), "1,500 rows, 2.00 KiB here");
    }

    #[test]
    fn both_styles_are_valid() {
        for template in ["{spinner} {prefix}  {msg}", "{spinner} {prefix}  {wide_bar} {percent:>3} %  {msg}"] {
            ProgressStyle::with_template(template).unwrap();
        }
    }
}
