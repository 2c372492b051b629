//! The secrets of one installation. The first start of `sluice up` creates the secrets.

use std::{
    fs,
    io::{self, ErrorKind},
    path::Path,
};

use aws_lc_rs::rand;

use super::{
    data_dir::{DataDir, write_private},
    error::UpError,
};

/// The number of random bytes of a secret. The file contains these bytes in hex.
const BYTES: usize = 32;

/// The secrets of a data folder.
pub(super) struct Secrets {
    /// The key that signs tokens of the local identity.
    pub(super) identity: String,
    /// The password of the user `sluice` at the nats-server.
    pub(super) nats_password: String,
}

impl Secrets {
    /// Reads the secrets, and creates missing ones.
    pub(super) fn load(dir: &DataDir) -> Result<Self, UpError> {
        let folder = dir.secrets();
        Ok(Self {
            identity: read_or_create(&folder.join("identity"))?,
            nats_password: read_or_create(&folder.join("nats"))?,
        })
    }
}

fn read_or_create(path: &Path) -> Result<String, UpError> {
    match fs::read_to_string(path) {
        Ok(text) if text.len() == 2 * BYTES && text.bytes().all(|b| b.is_ascii_hexdigit()) => Ok(text),
        // replacing a damaged secret would silently invalidate every token
        Ok(_) => Err(UpError::Damaged(path.to_path_buf())),
        Err(e) if e.kind() == ErrorKind::NotFound => {
            let mut bytes = [0; BYTES];
            let filled = rand::fill(&mut bytes).map_err(|_| io::Error::other("the system has no random bytes"));
            filled.map_err(UpError::file(path))?;
            let text = hex::encode(bytes);
            write_private(path, &text)?;
            Ok(text)
        }
        Err(e) => Err(UpError::file(path)(e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_created_once_and_a_damaged_one_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let claimed = DataDir::claim(&dir.path().join("data")).unwrap();
        let first = Secrets::load(&claimed).unwrap();
        let second = Secrets::load(&claimed).unwrap();
        assert_eq!((&first.identity, &first.nats_password), (&second.identity, &second.nats_password));
        assert_ne!(first.identity, first.nats_password);
        fs::write(claimed.secrets().join("nats"), "short").unwrap();
        assert!(matches!(Secrets::load(&claimed), Err(UpError::Damaged(_))));
    }
}
