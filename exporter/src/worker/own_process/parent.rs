//! Implements the parent of a child process that runs one export alone. The parent starts a child for the export, waits
//! until the child ends, and records a death of the child.

use std::{collections::BTreeMap, io, process::Stdio};

use async_nats::jetstream::{AckKind, Message};
use entity::{export::Model, transition};
use platform::{backoff::Schedule, secret::Secret};
use protocol::envelope::{Envelope, Job};
use tokio::{
    io::AsyncWriteExt,
    process::{Child, ChildStdin, Command},
    time::{Duration, timeout},
};
use tracing::{error, info, warn};
use uuid::Uuid;

use super::{
    super::{context::WorkerContext, job},
    OwnProcess, PassedJob, VARIABLE,
};

/// The number of dead child processes after which an export fails. After the first death, another child tries again,
/// because the export may not be the cause of the death.
pub(super) const MAX_CRASHES: u32 = 2;
/// The number of expired leases after which an export fails, unless `exporter.max_attempts` is larger and applies
/// instead. A lease also expires when a whole machine fails, so the export may not be the cause of the first expiries.
const MIN_ABANDONED: u32 = 3;
/// The maximum time for writing a job to the standard input of a child.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// The pauses before the next attempt after the death of a child. The pauses grow with each death, from about 0.5 s to
/// 60 s.
const RETRY: Schedule = Schedule::new(Duration::from_millis(500), Duration::from_secs(60));

/// Handles the job of an export whose earlier attempts died, by running it in a child process. Runs the job in this
/// process only if no child can be started. If too many attempts at the export have ended without an outcome, fails the
/// export instead. Returns the acknowledgement for the job. Returns None if the child has acknowledged the job, or if
/// another attempt now runs the export and acknowledges the job.
pub(in crate::worker) async fn handle(
    context: &WorkerContext,
    message: &Message,
    job: &Envelope<Job>,
    row: &Model,
) -> Option<AckKind> {
    let abandoned = row.abandoned();
    if row.crashed() >= MAX_CRASHES || abandoned >= context.config.max_attempts.max(MIN_ABANDONED) {
        return job::give_up(context, message, job, row.crashed() + abandoned).await;
    }
    let Some(command) = &context.config.tuning.own_process else {
        warn!(export.abandoned = abandoned, "this exporter can't run an export in a process of its own");
        return job::process_here(context, message, job).await;
    };
    let instance = format!("exporter-{}", Uuid::new_v4().simple());
    let secrets = &context.config.tuning.secrets;
    let (mut child, stdin) = match start(command, secrets, message, &instance).await {
        Ok(started) => started,
        Err(e) => {
            error!(error = %e, "failed to start a process for an export; running the export in this process");
            count("not_started");
            return job::process_here(context, message, job).await;
        }
    };
    info!(
        export.dataset = %row.dataset, export.abandoned = abandoned, export.crashed = row.crashed(),
        process.pid = child.id(), exporter.instance = %instance, "running an export in a process of its own"
    );
    let status = match until_end(context, message, &mut child, stdin).await {
        Ok(status) if status.success() => {
            count("ended");
            return None;
        }
        status => status,
    };
    let crashed = transition::attempt_crashed(&context.db, row.export_id(), &instance, context.clock.now()).await;
    let crashed = crashed.unwrap_or_else(|e| {
        warn!(error = %e, "failed to record the death of a process; a notifier ends its lease");
        true
    });
    let ending = status.as_ref().map_or_else(ToString::to_string, ToString::to_string);
    if crashed {
        error!(process.ending = %ending, "a process died during its export");
        count("crashed");
    } else if status.is_ok_and(|status| status.code().is_some()) {
        error!(process.ending = %ending, "a process for an export did not start; running the export in this process");
        count("not_started");
        return job::process_here(context, message, job).await;
    } else {
        warn!(process.ending = %ending, "a process for an export was killed before or after its attempt");
        count("killed");
    }
    Some(AckKind::Nak(Some(RETRY.pause(row.crashed()))))
}

fn count(result: &'static str) {
    metrics::counter!("sluice_exporter_isolated_attempts_total", "result" => result).increment(1);
}

/// Starts a child, and writes the job to its standard input. When this input is closed, the child hands over its
/// export. `secrets` are the values of the environment variables that the catalog file names as secrets. The
/// environment of the child has these variables.
async fn start(
    command: &OwnProcess,
    secrets: &BTreeMap<String, Secret>,
    message: &Message,
    instance: &str,
) -> io::Result<(Child, ChildStdin)> {
    let job = PassedJob {
        instance: instance.to_owned(),
        subject: message.subject.to_string(),
        reply: message.reply.as_ref().map(ToString::to_string).unwrap_or_default(),
        payload: String::from_utf8_lossy(&message.payload).into_owned(),
    };
    let mut line = serde_json::to_vec(&job)?;
    line.push(b'\n');
    let mut child = Command::new(&command.program)
        .args(&command.args)
        .envs(command.env.iter().map(|(name, value)| (name, value)))
        .envs(secrets.iter().map(|(name, value)| (name, value.expose())))
        .env(VARIABLE, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?;
    let mut stdin = child.stdin.take().ok_or_else(|| io::Error::other("the child has no standard input"))?;
    // if a child ends before it reads the job, its exit status reports the failure
    match timeout(WRITE_TIMEOUT, stdin.write_all(&line)).await {
        Ok(Err(e)) if e.kind() != io::ErrorKind::BrokenPipe => Err(e),
        Ok(_) => Ok((child, stdin)),
        Err(_) => Err(io::Error::other("the child does not read its job")),
    }
}

/// Waits until a child ends. Meanwhile sends progress acknowledgements, so that NATS does not redeliver the job. On a
/// hand-over, closes the standard input of the child, which then hands over its export.
async fn until_end(
    context: &WorkerContext,
    message: &Message,
    child: &mut Child,
    stdin: ChildStdin,
) -> io::Result<std::process::ExitStatus> {
    let mut stdin = Some(stdin);
    let mut ack_timer = tokio::time::interval(context.config.ack_wait() / 3);
    loop {
        tokio::select! {
            status = child.wait() => return status,
            () = context.hand_over.cancelled(), if stdin.is_some() => drop(stdin.take()),
            _ = ack_timer.tick() => {
                // the child sends progress acknowledgements too, as soon as it has started
                if let Err(e) = message.ack_with(AckKind::Progress).await {
                    warn!(error = %e, "failed to send a progress acknowledgement to NATS");
                }
            }
        }
    }
}
