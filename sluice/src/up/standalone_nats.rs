//! Runs the nats-server of a data folder without the services, for commands that use its streams.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
};

use super::{
    data_dir::DataDir,
    error::UpError,
    nats::{self, NatsChild},
    secrets::Secrets,
    settings_file::{self, CatalogChoice},
    stale_nats,
};

/// The gateway port in the settings file. The next `sluice up` replaces this value with the actual port.
const PORT: u16 = 8080;

/// A claimed data folder with its running nats-server. The services of the folder do not run.
pub struct StandaloneNats {
    nats: NatsChild,
    _dir: DataDir,
}

impl StandaloneNats {
    /// Claims the folder, and starts its nats-server. Creates the folder if it does not exist.
    ///
    /// # Errors
    /// When the folder is in use or holds foreign files, or the server does not start.
    pub async fn start(data_dir: &Path) -> Result<Self, UpError> {
        let dir = DataDir::claim(data_dir)?;
        let program = nats::find()?;
        let secrets = Secrets::load(&dir)?;
        stale_nats::stop(&dir.nats_pid(), &dir.nats_config()).await?;
        let nats = NatsChild::start(&program, &dir, &secrets).await?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
        if let Err(e) = settings_file::write(&dir, address, nats.url(), &secrets, &CatalogChoice::Keep) {
            nats.stop().await;
            return Err(e);
        }
        Ok(Self { nats, _dir: dir })
    }

    /// Starts the nats-server of the folder as [`StandaloneNats::start`] does. Returns `None` if another process, such
    /// as `sluice up`, uses the folder.
    ///
    /// # Errors
    /// The errors of [`StandaloneNats::start`], except for a folder in use.
    pub async fn start_unless_running(data_dir: &Path) -> Result<Option<Self>, UpError> {
        match Self::start(data_dir).await {
            Ok(standalone) => Ok(Some(standalone)),
            Err(UpError::Locked(_)) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Stops the server and releases the folder.
    pub async fn stop(self) {
        self.nats.stop().await;
    }
}
