//! The one door for people and CI. `cargo xtask --help` lists what it does.
//!
//! `main` only chooses the command. Each command is one file; `tools/` finds or fetches the programs they need;
//! `run` starts programs; `web` and `datasets` prepare what `up` and `test` share.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool talks through its terminal")]

mod args;
mod bench;
mod browser;
mod containers;
mod data;
mod datasets;
mod layout;
mod lint_ops;
mod run;
mod stamp;
mod steps;
mod test;
mod tools;
mod up;
mod web;

use std::process::ExitCode;

use args::Task;
use layout::Layout;

/// The request can't be carried out as it stands; something has to be installed or changed first.
const EXIT_CANNOT: u8 = 2;

fn main() -> ExitCode {
    let task = match args::parse(std::env::args().skip(1)) {
        Ok(task) => task,
        Err(problem) => return cannot(&problem),
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
        Task::LintOps => lint_ops::lint_ops(&layout),
        Task::Test(options) => test::test(&layout, &options),
    };
    done.unwrap_or_else(|problem| cannot(&format!("{problem:#}")))
}

/// One line that says what to do: never a chain of causes over several lines, never a backtrace.
fn cannot(problem: &str) -> ExitCode {
    eprintln!(
        "error: {}",
        problem.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
    );
    ExitCode::from(EXIT_CANNOT)
}
