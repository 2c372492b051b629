//! The keys that encrypt and decrypt backups.
//!
//! With `recipients`, backups are encrypted for public age keys, so the machine that creates backups can't read them.
//! With a passphrase, the destination stores one age key, which is encrypted with the passphrase. All backups use this
//! age key. Deriving a key from the passphrase takes about a second, which is too long to repeat for each object.

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

use crate::{config::BackupConfig, digest::sha256_hex, error::BackupError, manifest::Manifest};

/// The folder of the passphrase-encrypted keys at the destination.
const KEY_FOLDER: &str = "keys";
/// Largest size of a file with identities or a passphrase, in bytes.
const MAX_KEY_FILE_BYTES: u64 = 64 * 1024;

/// The public keys with which a backup is encrypted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Encryption {
    /// The public keys; empty if the backup is not encrypted.
    pub(crate) recipients: Vec<Recipient>,
    /// The path of the passphrase-encrypted key at the destination; `None` without a passphrase.
    pub(crate) key_object: Option<String>,
}

impl Encryption {
    /// Reads the public keys from the settings. With a passphrase, finds or creates the key at the destination.
    pub(crate) async fn load(config: &BackupConfig, destination: &FileStore) -> Result<Self, BackupError> {
        if config.passphrase_file.is_empty() {
            let parsed = config.recipients.iter().map(|text| Recipient::from_str(text)).collect::<Result<_, _>>();
            let recipients = parsed.map_err(|e| BackupError::setting("recipients", e))?;
            return Ok(Self { recipients, key_object: None });
        }
        let passphrase = read_passphrase(Path::new(&config.passphrase_file)).await?;
        let keys: Vec<_> = destination.list_stream(KEY_FOLDER).try_collect().await?;
        for listed in keys {
            let encrypted = destination.get(&listed.path).await?;
            if let Some(identity) = decrypt_key(encrypted.to_vec(), passphrase.clone()).await? {
                return Ok(Self { recipients: vec![identity.to_public()], key_object: Some(listed.path) });
            }
        }
        let identity = Identity::generate();
        let recipient = identity.to_public();
        let encrypted = run_blocking(move || encrypt_key(&identity, passphrase)).await??;
        let path = format!("{KEY_FOLDER}/{}.age", &sha256_hex(recipient.to_string().as_bytes())[..16]);
        destination.put(&path, encrypted).await?;
        Ok(Self { recipients: vec![recipient], key_object: Some(path) })
    }

    /// Returns an identifier of the set of keys that decrypt the backup; empty without encryption.
    pub(crate) fn key_set(&self) -> String {
        if self.recipients.is_empty() {
            return String::new();
        }
        let mut names: Vec<_> = self.recipients.iter().map(ToString::to_string).collect();
        names.sort();
        sha256_hex(names.join("\n").as_bytes())
    }
}

/// The files with the keys that decrypt a backup.
#[derive(Clone, Debug, Default)]
pub struct KeyFiles {
    /// Files with age identities. Each line contains one `AGE-SECRET-KEY-1…`, or a comment that begins with `#`.
    pub identities: Vec<PathBuf>,
    /// A file whose first line is the passphrase.
    pub passphrase: Option<PathBuf>,
}

impl KeyFiles {
    /// Reads the identities (private age keys) that decrypt a backup. Returns an empty list for an unencrypted backup.
    pub(crate) async fn identities(
        &self,
        manifest: &Manifest,
        destination: &FileStore,
    ) -> Result<Vec<Identity>, BackupError> {
        if !manifest.encrypted {
            return Ok(vec![]);
        }
        if let Some(key) = &manifest.key_object {
            let Some(file) = &self.passphrase else {
                return Err(BackupError::Locked("give the file with the passphrase as --passphrase-file".into()));
            };
            let encrypted = destination.get(key).await?;
            let decrypted = decrypt_key(encrypted.to_vec(), read_passphrase(file).await?).await?;
            let identity = decrypted.ok_or_else(|| BackupError::Locked("wrong passphrase".into()))?;
            return Ok(vec![identity]);
        }
        let mut all = vec![];
        for file in &self.identities {
            for line in read_key_file(file).await?.lines().map(str::trim) {
                if !line.is_empty() && !line.starts_with('#') {
                    let identity = Identity::from_str(line).map_err(|e| {
                        BackupError::Locked(format!("{} holds an invalid age identity: {e}", file.display()))
                    })?;
                    all.push(identity);
                }
            }
        }
        if all.is_empty() {
            return Err(BackupError::Locked("give a file with an age identity as --identity".into()));
        }
        Ok(all)
    }
}

async fn read_passphrase(file: &Path) -> Result<SecretString, BackupError> {
    let text = read_key_file(file).await?;
    match text.lines().next().map(str::trim_end) {
        Some(line) if !line.is_empty() => Ok(SecretString::from(line.to_owned())),
        _ => Err(BackupError::Locked(format!("the first line of {} is empty", file.display()))),
    }
}

async fn read_key_file(file: &Path) -> Result<String, BackupError> {
    let read = async {
        if tokio::fs::metadata(file).await?.len() > MAX_KEY_FILE_BYTES {
            return Err(std::io::Error::other("too large for a key file"));
        }
        tokio::fs::read_to_string(file).await
    };
    read.await.map_err(BackupError::local(file.display()))
}

fn encrypt_key(identity: &Identity, passphrase: SecretString) -> Result<Vec<u8>, BackupError> {
    let encrypt = || -> std::io::Result<Vec<u8>> {
        let mut writer = age::Encryptor::with_user_passphrase(passphrase).wrap_output(vec![])?;
        writer.write_all(identity.to_string().expose_secret().as_bytes())?;
        writer.finish()
    };
    encrypt().map_err(BackupError::local("the key for the passphrase"))
}

/// Decrypts a passphrase-encrypted key; returns `None` when the passphrase is wrong.
async fn decrypt_key(encrypted: Vec<u8>, passphrase: SecretString) -> Result<Option<Identity>, BackupError> {
    run_blocking(move || {
        let identity = age::scrypt::Identity::new(passphrase);
        let decryptor = age::Decryptor::new(&encrypted[..]).ok()?;
        let mut decrypted = decryptor.decrypt(std::iter::once(&identity as &dyn age::Identity)).ok()?;
        let mut text = String::new();
        decrypted.read_to_string(&mut text).ok()?;
        Identity::from_str(text.trim()).ok()
    })
    .await
}

async fn run_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, BackupError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| BackupError::Panicked("the key derivation"))
}
