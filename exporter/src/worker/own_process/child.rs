//! The child process that runs one export alone, because a process died during an earlier attempt at this export. The
//! child reads its job from the parent process, which is an exporter. The child stops when the parent dies or closes
//! the child's standard input.

use std::{
    env,
    io::{self, BufRead, Read},
    thread,
    time::Duration,
};

use async_nats::{
    Message,
    jetstream::{self, Context},
};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::{PassedJob, VARIABLE};

/// The maximum size of the job that a parent passes to its child, in bytes.
const MAX_JOB: u64 = 16 << 20;
/// The time within which a child must hand over its export after its parent process has ended. After this time, the
/// child exits.
const EXIT_TIMEOUT: Duration = Duration::from_secs(30);

/// Whether this process runs one export for a parent process.
#[must_use]
pub fn is_own_process() -> bool {
    env::var_os(VARIABLE).is_some()
}

/// The connection of a child to its parent process. It has the job that the parent passed, and a token that is canceled
/// when the parent is gone.
pub(crate) struct Parent {
    /// The name under which this process holds the lease of its export.
    pub(crate) instance: String,
    /// A token that is canceled when the parent closes the standard input of this process, or dies.
    pub(crate) gone: CancellationToken,
    job: PassedJob,
}

impl Parent {
    /// Reads the job from the standard input, which the parent writes. A thread then waits for the end of the input,
    /// which means that the parent has closed it or died, and cancels `gone`.
    ///
    /// # Errors
    /// When the input contains no valid job.
    pub(crate) async fn connect() -> io::Result<Self> {
        let (sender, passed) = oneshot::channel();
        let gone = CancellationToken::new();
        let token = gone.clone();
        // a plain thread, because a blocked read must not prevent the runtime from ending
        thread::Builder::new().name("parent".into()).spawn(move || {
            let mut input = io::stdin().lock();
            // an error means that the process is already stopping
            let _ = sender.send(read(&mut input));
            // the end of the input and an error both mean that the parent is gone
            let _ = io::copy(&mut input, &mut io::sink());
            token.cancel();
            thread::sleep(EXIT_TIMEOUT);
            tracing::error!("the export of this process did not stop in time");
            std::process::exit(1);
        })?;
        let job = passed.await.map_err(io::Error::other)??;
        Ok(Self { instance: job.instance.clone(), gone, job })
    }

    /// Returns the passed job as a NATS message, as the parent received it.
    pub(crate) fn message(&self, context: Context) -> jetstream::Message {
        let PassedJob { subject, reply, payload, .. } = &self.job;
        let message = Message {
            subject: subject.as_str().into(),
            reply: Some(reply.as_str().into()),
            payload: payload.clone().into(),
            headers: None,
            status: None,
            description: None,
            length: payload.len(),
        };
        jetstream::Message { message, context }
    }
}

fn read(input: &mut impl BufRead) -> io::Result<PassedJob> {
    let mut line = String::new();
    input.take(MAX_JOB).read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_without_a_job_does_not_start() {
        for input in ["", "\n", "{}\n"] {
            assert!(read(&mut input.as_bytes()).is_err(), "{input:?}");
        }
        let line = r#"{"instance":"exporter-1","subject":"s","reply":"r","payload":"{}"}"#;
        assert_eq!(read(&mut format!("{line}\nmore").as_bytes()).unwrap().instance, "exporter-1");
    }
}
