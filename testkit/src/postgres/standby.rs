//! Starts a hot standby of a PostgreSQL server.

use std::{env, sync::Arc};

use super::{Postgres, Server, as_user, cluster, folder_of, programs, unprivileged};

/// The settings of a standby. It cancels a query at once when a change of the primary conflicts with the query.
const STANDBY: [&str; 4] =
    ["fsync=off", "full_page_writes=off", "max_standby_streaming_delay=0", "hot_standby_feedback=off"];

impl Postgres {
    /// Starts a hot standby of this server: a server that has the databases of this server, replays its changes, and
    /// accepts only reads.
    ///
    /// # Panics
    /// When the data of this server can't be copied, or the standby does not start.
    pub async fn standby(&self) -> Self {
        let primary = Arc::clone(&self.server);
        match tokio::task::spawn_blocking(move || Server::standby_of(&primary)).await {
            Ok(server) => Self { server: Arc::new(server) },
            Err(e) => std::panic::resume_unwind(e.into_panic()),
        }
    }
}

impl Server {
    fn standby_of(primary: &Self) -> Self {
        let user = unprivileged();
        let dir = folder_of(user.as_ref(), &env::temp_dir());
        let data = dir.path().join("data");
        let mut copy = as_user(&programs().join("pg_basebackup"), user.as_ref());
        copy.args(["-h", "127.0.0.1", "-U", "postgres", "-p"]).arg(primary.port.to_string());
        copy.args(["--checkpoint=fast", "--wal-method=stream", "--write-recovery-conf", "--no-sync", "-D"]).arg(&data);
        cluster::run(&mut copy);
        Self::launched(data, Some(dir), None, &STANDBY, None)
    }
}
