//! For whom a backup is encrypted, and what opens it.
//!
//! Recipients are public keys of age: who makes backups need not be able to read them. With a passphrase instead, the
//! destination gets a key of its own that the passphrase opens, as stretching a passphrase takes a second, and there are
//! many objects.

use std::{
    io::{Read, Write},
    path::{Path, PathBuf},
    str::FromStr,
};

use age::{
    secrecy::{ExposeSecret, SecretString},
    x25519::{Identity, Recipient},
};
use futures::TryStreamExt;
use platform::store::FileStore;

use super::{config::BackupConfig, error::BackupError, manifest::Manifest, seal};

/// Where the keys are that passphrases open.
const KEYS: &str = "keys";
/// A file of identities or a passphrase is small.
const KEY_FILE_BYTES: u64 = 64 * 1024;

/// For whom to encrypt.
#[derive(Clone, Debug, Default)]
pub(super) struct Lock {
    /// Nobody: plain.
    pub(super) recipients: Vec<Recipient>,
    /// The object of the key that the passphrase opens.
    pub(super) key: Option<String>,
}

impl Lock {
    /// That of the settings. With a passphrase the destination's key is found, or made.
    pub(super) async fn of(config: &BackupConfig, destination: &FileStore) -> Result<Self, BackupError> {
        if config.passphrase_file.is_empty() {
            let parsed = config.recipients.iter().map(|text| Recipient::from_str(text)).collect::<Result<_, _>>();
            let recipients = parsed.map_err(|e| BackupError::setting("recipients", e))?;
            return Ok(Self { recipients, key: None });
        }
        let passphrase = passphrase(Path::new(&config.passphrase_file)).await?;
        let keys: Vec<_> = destination.listed(KEYS).try_collect().await?;
        for listed in keys {
            let sealed = destination.get(&listed.path).await?;
            if let Some(identity) = open_key(sealed.to_vec(), passphrase.clone()).await? {
                return Ok(Self { recipients: vec![identity.to_public()], key: Some(listed.path) });
            }
        }
        let identity = Identity::generate();
        let recipient = identity.to_public();
        let sealed = blocking(move || seal_key(&identity, passphrase)).await??;
        let path = format!("{KEYS}/{}.age", &seal::sha256_hex(recipient.to_string().as_bytes())[..16]);
        destination.put(&path, sealed).await?;
        Ok(Self { recipients: vec![recipient], key: Some(path) })
    }

    /// Names the set of keys that open it; empty for none.
    pub(super) fn name(&self) -> String {
        if self.recipients.is_empty() {
            return String::new();
        }
        let mut names: Vec<_> = self.recipients.iter().map(ToString::to_string).collect();
        names.sort();
        seal::sha256_hex(names.join("\n").as_bytes())
    }
}

/// What may open a backup.
#[derive(Clone, Debug, Default)]
pub struct Unlock {
    /// Files of age identities (`AGE-SECRET-KEY-1…`, one a line; other lines begin with `#`).
    pub identities: Vec<PathBuf>,
    /// A file with a passphrase on its first line.
    pub passphrase: Option<PathBuf>,
}

impl Unlock {
    /// The identities for a backup; none for one that isn't encrypted.
    pub(super) async fn identities(
        &self,
        manifest: &Manifest,
        destination: &FileStore,
    ) -> Result<Vec<Identity>, BackupError> {
        if !manifest.encrypted {
            return Ok(vec![]);
        }
        if let Some(key) = &manifest.key {
            let Some(file) = &self.passphrase else {
                return Err(BackupError::Locked("name the file of its passphrase with --passphrase-file".into()));
            };
            let sealed = destination.get(key).await?;
            let opened = open_key(sealed.to_vec(), passphrase(file).await?).await?;
            return opened.map(|identity| vec![identity]).ok_or_else(|| BackupError::Locked("wrong passphrase".into()));
        }
        let mut all = vec![];
        for file in &self.identities {
            for line in read_small(file).await?.lines().map(str::trim) {
                if !line.is_empty() && !line.starts_with('#') {
                    let identity = Identity::from_str(line).map_err(|e| {
                        BackupError::Locked(format!("{} holds no identity of age: {e}", file.display()))
                    })?;
                    all.push(identity);
                }
            }
        }
        if all.is_empty() {
            return Err(BackupError::Locked("name a file with an identity that opens it with --identity".into()));
        }
        Ok(all)
    }
}

async fn passphrase(file: &Path) -> Result<SecretString, BackupError> {
    let text = read_small(file).await?;
    match text.lines().next().map(str::trim_end) {
        Some(line) if !line.is_empty() => Ok(SecretString::from(line.to_owned())),
        _ => Err(BackupError::Locked(format!("the first line of {} is empty", file.display()))),
    }
}

async fn read_small(file: &Path) -> Result<String, BackupError> {
    let read = async {
        if tokio::fs::metadata(file).await?.len() > KEY_FILE_BYTES {
            return Err(std::io::Error::other("too large for a file of keys"));
        }
        tokio::fs::read_to_string(file).await
    };
    read.await.map_err(BackupError::local(file.display()))
}

fn seal_key(identity: &Identity, passphrase: SecretString) -> Result<Vec<u8>, BackupError> {
    let sealing = || -> std::io::Result<Vec<u8>> {
        let mut writer = age::Encryptor::with_user_passphrase(passphrase).wrap_output(vec![])?;
        writer.write_all(identity.to_string().expose_secret().as_bytes())?;
        writer.finish()
    };
    sealing().map_err(BackupError::local("a key for the passphrase"))
}

/// None: another passphrase opens it.
async fn open_key(sealed: Vec<u8>, passphrase: SecretString) -> Result<Option<Identity>, BackupError> {
    blocking(move || {
        let identity = age::scrypt::Identity::new(passphrase);
        let decryptor = age::Decryptor::new(&sealed[..]).ok()?;
        let mut opened = decryptor.decrypt(std::iter::once(&identity as &dyn age::Identity)).ok()?;
        let mut text = String::new();
        opened.read_to_string(&mut text).ok()?;
        Identity::from_str(text.trim()).ok()
    })
    .await
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, BackupError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| BackupError::Panicked("opening a key"))
}
