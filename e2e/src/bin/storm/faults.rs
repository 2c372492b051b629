//! The faults and their schedule.
//!
//! One task runs each kind of fault, with a separate random generator. So faults of several kinds happen at the same time, and
//! the seed decides the choices of each task.

use std::{fmt, ops::Range, str::FromStr, sync::Arc, time::Duration};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{
    sync::{OwnedMutexGuard, watch},
    task::JoinSet,
    time::sleep,
};

use crate::{
    args::Options,
    clocks,
    disks::Disk,
    journal::Journal,
    unit::Unit,
    world::{Line, Target, World},
};

/// The pause before a killed process starts again, in milliseconds.
const RESTART_PAUSE: Range<u64> = 0..3_000;
/// How long a process is frozen, in milliseconds.
const FROZEN_FOR: Range<u64> = 1_000..20_000;
/// How long a disk is full, in milliseconds.
const FULL_FOR: Range<u64> = 2_000..30_000;
/// How long a line refuses or stalls, in milliseconds.
const CUT_FOR: Range<u64> = 500..8_000;
/// The pauses between two faults of a lane, in milliseconds. With the length of the faults, they give about 28 kills, 2 to 3
/// frozen processes, 2 full disks, 3 wrong clocks and 5 cut lines a minute.
const KILL_PAUSE: Range<u64> = 600..3_200;
const FREEZE_PAUSE: Range<u64> = 5_000..15_000;
const DISK_PAUSE: Range<u64> = 5_000..25_000;
const CLOCK_PAUSE: Range<u64> = 3_000..10_000;
const CUT_PAUSE: Range<u64> = 3_000..10_000;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    Kill,
    Freeze,
    FullDisk,
    WrongClock,
    CutLine,
}

impl Fault {
    const NAMES: [(Self, &'static str); 5] = [
        (Self::Kill, "kill"),
        (Self::Freeze, "freeze"),
        (Self::FullDisk, "full-disk"),
        (Self::WrongClock, "wrong-clock"),
        (Self::CutLine, "cut-line"),
    ];
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::NAMES.iter().find(|(fault, _)| fault == self).map_or("", |(_, name)| name);
        f.pad(name)
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::NAMES.iter().find(|(_, known)| *known == name);
        found.map(|(fault, _)| *fault).ok_or_else(|| format!("`{name}` isn't a kind of fault"))
    }
}

/// The tasks that inject faults until [`Faults::end`].
pub(crate) struct Faults {
    stop: watch::Sender<bool>,
    lanes: JoinSet<()>,
}

impl Faults {
    /// Ends the faults, and waits until killed processes have started again.
    pub(crate) async fn end(self) {
        self.stop.send_replace(true);
        self.lanes.join_all().await;
    }
}

/// What each lane has.
struct Lane {
    targets: Vec<Target>,
    journal: Arc<Journal>,
    rng: StdRng,
    stop: watch::Receiver<bool>,
}

/// Starts the tasks that inject faults, each with its own random numbers.
pub(crate) fn start(world: &World, options: &Options, journal: &Arc<Journal>) -> Faults {
    let (stop, stopping) = watch::channel(false);
    let mut lanes = JoinSet::new();
    let wanted = |fault: Fault| !options.without.contains(&fault);
    let lane = |number: u64| Lane {
        targets: world.targets.clone(),
        journal: Arc::clone(journal),
        rng: StdRng::seed_from_u64(options.seed.wrapping_add(number)),
        stop: stopping.clone(),
    };
    if wanted(Fault::Kill) {
        lanes.spawn(lane(1).kill());
    }
    if wanted(Fault::Freeze) {
        lanes.spawn(lane(2).freeze());
    }
    if wanted(Fault::FullDisk) && !world.disks.is_empty() {
        lanes.spawn(lane(3).fill(world.disks.clone()));
    }
    if wanted(Fault::WrongClock) && world.targets.iter().any(|target| target.clock.is_some()) {
        lanes.spawn(lane(4).set_clocks());
    }
    if wanted(Fault::CutLine) {
        lanes.spawn(lane(5).cut(world.lines.clone()));
    }
    Faults { stop, lanes }
}

impl Lane {
    fn millis(&mut self, range: Range<u64>) -> Duration {
        Duration::from_millis(self.rng.random_range(range))
    }

    /// Waits for this time. Returns false as soon as the storm ends.
    async fn wait(&mut self, time: Duration) -> bool {
        tokio::time::timeout(time, self.stop.wait_for(|stop| *stop)).await.is_err()
    }

    /// Waits for a random time, as [`Lane::wait`] does.
    async fn pause(&mut self, range: Range<u64>) -> bool {
        let time = self.millis(range);
        self.wait(time).await
    }

    /// A random target without a fault; None if the chosen one has one. Services are chosen twice as often as servers.
    fn free_target(&mut self) -> Option<(Target, OwnedMutexGuard<Unit>)> {
        let is_service = |target: &&Target| matches!(target.kind, "gateway" | "exporter" | "notifier");
        let services = self.targets.iter().filter(is_service);
        let weighted: Vec<_> = self.targets.iter().chain(services).collect();
        let target = weighted[self.rng.random_range(0..weighted.len())].clone();
        let unit = Arc::clone(&target.unit).try_lock_owned().ok()?;
        Some((target, unit))
    }

    async fn kill(mut self) {
        let mut restarts = JoinSet::new();
        while self.pause(KILL_PAUSE).await {
            while restarts.try_join_next().is_some() {}
            let Some((target, mut unit)) = self.free_target() else { continue };
            let pause = self.millis(RESTART_PAUSE);
            if !unit.is_running() {
                continue;
            }
            unit.kill();
            self.journal.fault(Fault::Kill, target.kind, &format!("{} for {} ms", target.name, pause.as_millis()));
            restarts.spawn(async move {
                sleep(pause).await;
                unit.start().await;
            });
        }
        restarts.join_all().await;
    }

    async fn freeze(mut self) {
        while self.pause(FREEZE_PAUSE).await {
            let Some((target, mut unit)) = self.free_target() else { continue };
            let time = self.millis(FROZEN_FOR);
            if !unit.is_running() {
                continue;
            }
            unit.pause();
            self.journal.fault(Fault::Freeze, target.kind, &format!("{} for {} ms", target.name, time.as_millis()));
            self.wait(time).await;
            unit.resume();
        }
    }

    async fn fill(mut self, disks: Vec<Disk>) {
        while self.pause(DISK_PAUSE).await {
            let disk = disks[self.rng.random_range(0..disks.len())].clone();
            let time = self.millis(FULL_FOR);
            let is_nats = disk.name == "nats";
            self.journal.fault(Fault::FullDisk, disk.name, &format!("for {} ms", time.as_millis()));
            // writing to the disk blocks a thread
            let stop = self.stop.clone();
            let filling = tokio::task::spawn_blocking(move || disk.fill(time, || *stop.borrow()));
            filling.await.expect("a disk can be filled");
            self.journal.note("the disk is free");
            if is_nats {
                self.restart_nats().await;
            }
        }
    }

    /// Restarts NATS after its disk was full, as a liveness probe does: a stream whose write failed stays shut until then.
    async fn restart_nats(&self) {
        for target in self.targets.iter().filter(|target| target.kind == "nats") {
            let mut unit = target.unit.lock().await;
            unit.kill();
            self.journal.note("restarting nats");
            unit.start().await;
        }
    }

    async fn set_clocks(mut self) {
        let targets: Vec<_> =
            self.targets.iter().filter_map(|target| Some((target.clone(), target.clock.clone()?))).collect();
        while self.pause(CLOCK_PAUSE).await {
            let (target, clock) = targets[self.rng.random_range(0..targets.len())].clone();
            let offset = clocks::OFFSETS[self.rng.random_range(0..clocks::OFFSETS.len())];
            let time = self.millis(clocks::WRONG_FOR);
            clock.set(offset);
            let detail = format!("{} by {offset} s for {} ms", target.name, time.as_millis());
            self.journal.fault(Fault::WrongClock, target.kind, &detail);
            self.wait(time).await;
            clock.set(0);
        }
    }

    async fn cut(mut self, lines: Vec<Line>) {
        while self.pause(CUT_PAUSE).await {
            let line = lines[self.rng.random_range(0..lines.len())].clone();
            let time = self.millis(CUT_FOR);
            let how = ["cut", "refused", "stalled"][self.rng.random_range(0..3)];
            let server = line.name.rsplit(' ').next().unwrap_or_default();
            self.journal.fault(Fault::CutLine, server, &format!("{}: {how} for {} ms", line.name, time.as_millis()));
            match how {
                "cut" => line.proxy.cut(),
                "refused" => line.proxy.refuse(),
                _ => line.proxy.stall(),
            }
            if how != "cut" {
                self.wait(time).await;
            }
            line.proxy.restore();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_fault_has_a_name_that_the_command_line_takes() {
        for (fault, name) in Fault::NAMES {
            assert_eq!((fault.to_string().as_str(), name.parse::<Fault>()), (name, Ok(fault)));
        }
        assert!("rain".parse::<Fault>().unwrap_err().contains("rain"));
    }
}
