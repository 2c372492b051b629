//! The command line for development and CI. `cargo xtask --help` lists the commands.
//!
//! `main` selects the command. Each command is one file; `tools/` finds or fetches programs; `run` starts them; `web` and
//! `datasets` prepare the page and the data for `up` and `test`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool prints its results")]

mod args;
mod bench;
mod browser;
mod build_stamp;
mod containers;
mod corpora;
mod data;
mod datasets;
mod layout;
mod lint_ops;
mod loaders;
mod python_client;
mod run;
mod schemathesis;
mod steps;
mod storm;
mod test;
mod tools;
mod up;
mod web;

use std::process::ExitCode;

use args::Task;
use layout::Layout;

/// The exit code when something must be installed or changed first.
const EXIT_UNUSABLE: u8 = 2;

fn main() -> ExitCode {
    let task = match args::parse(std::env::args().skip(1)) {
        Ok(task) => task,
        Err(problem) => return fail(&problem),
    };
    let layout = Layout::of_checkout();
    let done = match task {
        Task::Help => {
            println!("{}", args::HELP);
            Ok(ExitCode::SUCCESS)
        }
        Task::Up(options) => up::up(&layout, &options),
        Task::Data(options) => data::data(&layout, &options).map(|()| ExitCode::SUCCESS),
        Task::Bench(options) => bench::bench(&layout, &options).map(|()| ExitCode::SUCCESS),
        Task::Containers => containers::containers(&layout),
        Task::Corpora(folder) => corpora::corpora(&layout, &folder).map(|()| ExitCode::SUCCESS),
        Task::Schemathesis => schemathesis::schemathesis(&layout).map(|()| ExitCode::SUCCESS),
        Task::Loaders => loaders::loaders(&layout).map(|()| ExitCode::SUCCESS),
        Task::Storm(options) => storm::storm(&layout, &options),
        Task::LintOps => lint_ops::lint_ops(&layout),
        Task::Test(options) => test::test(&layout, &options),
    };
    done.unwrap_or_else(|problem| fail(&format!("{problem:#}")))
}

/// Prints one line that says what to do, without a chain of causes and without a backtrace.
fn fail(problem: &str) -> ExitCode {
    eprintln!(
        "error: {}",
        problem.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
    );
    ExitCode::from(EXIT_UNUSABLE)
}
