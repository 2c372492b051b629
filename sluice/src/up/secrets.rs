//! The secrets of one installation: made at the first start, and kept.

use std::{
    fs,
    io::{self, ErrorKind},
    path::Path,
};

use aws_lc_rs::rand;

use super::{
    UpError,
    data_dir::{DataDir, write_private},
};

/// Random bytes of a secret; on disk they are hex.
const BYTES: usize = 32;

/// What must stay hidden.
pub(super) struct Secrets {
    /// Signs the tokens of the local identity.
    pub(super) identity: String,
    /// Of our user at our nats-server.
    pub(super) nats_password: String,
}

impl Secrets {
    /// Reads them, or makes them.
    pub(super) fn of(dir: &DataDir) -> Result<Self, UpError> {
        let folder = dir.secrets();
        Ok(Self { identity: kept(&folder.join("identity"))?, nats_password: kept(&folder.join("nats"))? })
    }
}

fn kept(path: &Path) -> Result<String, UpError> {
    match fs::read_to_string(path) {
        Ok(text) if text.len() == 2 * BYTES && text.bytes().all(|b| b.is_ascii_hexdigit()) => Ok(text),
        // a guess at what was meant would lock everybody out, or let somebody in
        Ok(_) => Err(UpError::Damaged(path.to_path_buf())),
        Err(e) if e.kind() == ErrorKind::NotFound => {
            let mut bytes = [0; BYTES];
            let filled = rand::fill(&mut bytes).map_err(|_| io::Error::other("this machine gives no random bytes"));
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
    fn secrets_are_made_once_and_a_damaged_one_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let claimed = DataDir::claim(&dir.path().join("data")).unwrap();
        let first = Secrets::of(&claimed).unwrap();
        let second = Secrets::of(&claimed).unwrap();
        assert_eq!((&first.identity, &first.nats_password), (&second.identity, &second.nats_password));
        assert_ne!(first.identity, first.nats_password);
        fs::write(claimed.secrets().join("nats"), "short").unwrap();
        assert!(matches!(Secrets::of(&claimed), Err(UpError::Damaged(_))));
    }
}
