//! The nats-server of a data folder without the services: for commands that need what it stores.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
};

use super::{UpError, data_dir::DataDir, leftover, nats, nats::NatsChild, runtime, secrets::Secrets};

/// The port that the settings name until the next `sluice up` writes its own.
const PORT: u16 = 8080;

/// A claimed data folder with its nats-server, and none of the services.
pub struct Alone {
    nats: NatsChild,
    _dir: DataDir,
}

impl Alone {
    /// Claims the folder, which is made if it isn't there, and starts the server.
    ///
    /// # Errors
    /// When the folder is in use or foreign, or the server does not start.
    pub async fn start(data_dir: &Path) -> Result<Self, UpError> {
        let dir = DataDir::claim(data_dir)?;
        let program = nats::find()?;
        let secrets = Secrets::of(&dir)?;
        leftover::end(&dir.nats_pid(), &dir.nats_config()).await?;
        let nats = NatsChild::start(&program, &dir, &secrets).await?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
        if let Err(e) = runtime::write(&dir, address, nats.url(), &secrets) {
            nats.stop().await;
            return Err(e);
        }
        Ok(Self { nats, _dir: dir })
    }

    /// The same; None when `sluice up` runs on the folder, and so does its server.
    ///
    /// # Errors
    /// As [`Alone::start`].
    pub async fn unless_running(data_dir: &Path) -> Result<Option<Self>, UpError> {
        match Self::start(data_dir).await {
            Ok(alone) => Ok(Some(alone)),
            Err(UpError::Locked(_)) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Lets the server finish, and frees the folder.
    pub async fn stop(self) {
        self.nats.stop().await;
    }
}
