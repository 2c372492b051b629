//! The storm: the whole platform under load while processes are killed and frozen, disks fill, clocks jump and lines break.
//! Afterwards it checks every promise of Sluice. `cargo xtask storm` builds and starts it.
//!
//! `world` holds the servers and services, `faults` breaks them by a seeded schedule, `load` is many persons who export,
//! `promises` checks the result, and `journal` collects what happened for `report`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool prints its results")]

mod args;
mod clocks;
mod disks;
mod download;
mod faults;
mod journal;
mod load;
mod promises;
mod reference;
mod report;
mod requests;
mod site;
mod store_check;
mod stream;
mod unit;
mod world;

use std::{process::ExitCode, sync::Arc, time::Duration};

use args::Options;
use journal::Journal;
use report::Verdict;
use site::Site;
use tokio::sync::watch;
use world::World;

/// The exit code when a promise is broken.
const EXIT_BROKEN: u8 = 1;
/// The exit code for an unknown option.
const EXIT_UNUSABLE: u8 = 2;
/// The exit code when the machine can't make a kind of fault.
const EXIT_INCOMPLETE: u8 = 3;
/// The time between two lines of progress.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(15);

fn main() -> ExitCode {
    let options = match args::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("error: {problem}");
            return ExitCode::from(EXIT_UNUSABLE);
        }
    };
    // replaces this process when the machine permits mounts
    let mounts = disks::enter_namespace(options.backend);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime can be created").block_on(storm(&options, mounts))
}

async fn storm(options: &Options, mounts: bool) -> ExitCode {
    let journal = Arc::new(Journal::new(options));
    eprintln!("storm over {}, {} s, seed {}", options.backend.title(), options.duration.as_secs(), options.seed);
    let world = World::start(options, mounts, &journal).await;
    let variants = requests::with_references(&world).await;
    let (stop, stopping) = watch::channel(false);
    let site = Arc::new(Site::new(&world, variants, Arc::clone(&journal), stopping));

    let supervisor = world.supervise();
    let progress = tokio::spawn(print_progress(Arc::clone(&journal)));
    let load = load::start(&site, options.seed);
    let faults = faults::start(&world, options, &journal);
    tokio::time::sleep(options.duration).await;
    faults.end().await;
    stop.send_replace(true);
    world.calm().await;
    journal.note("the faults have ended");
    load.join_all().await;
    promises::check(&world, &site).await;
    progress.abort();
    supervisor.abort();

    world.save_logs().await;
    world.disks.iter().for_each(disks::Disk::unmount);
    match report::print(&journal, options) {
        Verdict::Kept => ExitCode::SUCCESS,
        Verdict::Broken => ExitCode::from(EXIT_BROKEN),
        Verdict::Incomplete => ExitCode::from(EXIT_INCOMPLETE),
    }
}

async fn print_progress(journal: Arc<Journal>) {
    let mut ticks = tokio::time::interval(PROGRESS_INTERVAL);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        eprintln!("{}", report::progress(&journal));
    }
}
