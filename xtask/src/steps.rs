//! The steps of a long check. Each has a name, a duration and an outcome; a failed step doesn't stop the others.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;

/// The exit code when a check of `cargo xtask test` failed.
const EXIT_FAILED: u8 = 1;

#[derive(Debug)]
struct Step {
    name: String,
    took: Duration,
    outcome: Outcome,
}

#[derive(Debug, PartialEq)]
enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

#[derive(Debug, Default)]
pub(crate) struct Steps {
    done: Vec<Step>,
}

impl Steps {
    /// Prints a heading and runs a step, whose output follows. Returns `None` when the step failed.
    pub(crate) fn run<T>(&mut self, name: &str, work: impl FnOnce() -> Result<T>) -> Option<T> {
        println!("\n── {name}");
        self.time(name, work)
    }

    /// Runs a step in parallel with others, and prints one line when it ends. Returns `None` when the step failed.
    pub(crate) fn run_parallel<T>(&mut self, name: &str, work: impl FnOnce() -> Result<T>) -> Option<T> {
        self.time(name, work)
    }

    fn time<T>(&mut self, name: &str, work: impl FnOnce() -> Result<T>) -> Option<T> {
        let started = Instant::now();
        let result = work();
        let took = started.elapsed();
        let (value, outcome) = match result {
            Ok(value) => (Some(value), Outcome::Passed),
            Err(problem) => (None, Outcome::Failed(format!("{problem:#}"))),
        };
        println!("   {}", line(name, took, &outcome));
        self.done.push(Step { name: name.to_owned(), took, outcome });
        value
    }

    /// Records a step that can't run because an earlier step failed.
    pub(crate) fn skip(&mut self, name: &str, why: &str) {
        let outcome = Outcome::Skipped(why.to_owned());
        println!("\n── {name}\n   {}", line(name, Duration::ZERO, &outcome));
        self.done.push(Step { name: name.to_owned(), took: Duration::ZERO, outcome });
    }

    /// Adds the steps that ran in parallel.
    pub(crate) fn append(&mut self, mut others: Self) {
        self.done.append(&mut others.done);
    }

    /// Prints the table of all steps and then the counts. The exit code is 0 only when every step passed.
    pub(crate) fn summary(&self, took: Duration) -> ExitCode {
        println!("\n{}", self.table(took));
        println!("{}", self.counts());
        let whole = self.done.iter().all(|step| step.outcome == Outcome::Passed);
        if whole { ExitCode::SUCCESS } else { ExitCode::from(EXIT_FAILED) }
    }

    fn table(&self, took: Duration) -> String {
        let width = self.done.iter().map(|step| step.name.chars().count()).max().unwrap_or(0).max("total".len());
        let rows = self.done.iter().map(|step| {
            let verdict = match &step.outcome {
                Outcome::Passed => "ok".to_owned(),
                Outcome::Failed(problem) => format!("FAILED: {problem}"),
                Outcome::Skipped(why) => format!("skipped: {why}"),
            };
            format!("{:<width$} {:>8} s  {verdict}\n", step.name, seconds(step.took))
        });
        let total = format!("{:<width$} {:>8} s\n", "total", seconds(took));
        rows.chain([total]).collect()
    }

    fn counts(&self) -> String {
        let count = |wanted: fn(&Outcome) -> bool| self.done.iter().filter(|step| wanted(&step.outcome)).count();
        let passed = count(|outcome| matches!(outcome, Outcome::Passed));
        let failed = count(|outcome| matches!(outcome, Outcome::Failed(_)));
        match count(|outcome| matches!(outcome, Outcome::Skipped(_))) {
            0 => format!("{passed} passed, {failed} failed"),
            skipped => format!("{passed} passed, {failed} failed, {skipped} skipped"),
        }
    }
}

fn line(name: &str, took: Duration, outcome: &Outcome) -> String {
    match outcome {
        Outcome::Passed => format!("{name}: ok, {} s", seconds(took)),
        Outcome::Failed(problem) => format!("{name}: FAILED after {} s: {problem}", seconds(took)),
        Outcome::Skipped(why) => format!("{name}: skipped, {why}"),
    }
}

fn seconds(took: Duration) -> String {
    format!("{:.1}", took.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    #[test]
    fn a_failed_step_does_not_stop_the_others() {
        let mut steps = Steps::default();
        assert_eq!(steps.run("one", || Ok(1)), Some(1));
        assert_eq!(steps.counts(), "1 passed, 0 failed");
        assert_eq!(steps.run("two", || -> Result<()> { bail!("it broke") }), None);
        steps.skip("three", "two failed");

        let mut parallel = Steps::default();
        parallel.run_parallel("four", || Ok(()));
        steps.append(parallel);
        assert_eq!(steps.counts(), "2 passed, 1 failed, 1 skipped");
        assert!(steps.table(Duration::ZERO).contains("FAILED: it broke"));
        assert_eq!(steps.summary(Duration::ZERO), ExitCode::from(EXIT_FAILED));
    }

    #[test]
    fn the_exit_code_is_0_only_when_every_step_passed() {
        let mut steps = Steps::default();
        steps.run("one", || Ok(()));
        assert_eq!(steps.summary(Duration::from_secs(1)), ExitCode::SUCCESS);
        steps.skip("two", "no reason");
        assert_eq!(steps.summary(Duration::from_secs(1)), ExitCode::from(EXIT_FAILED));
    }
}
