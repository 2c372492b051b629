//! Creates a certificate authority for one test, and certificates that it signs.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use uuid::Uuid;

/// A certificate authority and two certificates that it signed, as PEM files in a folder.
#[derive(Clone, Debug)]
pub struct Certificates {
    dir: PathBuf,
}

impl Certificates {
    /// Creates the files `ca.pem` for the authority, `cert.pem` and `key.pem` for servers on loopback, and `client.pem`
    /// and `client-key.pem` for clients. Servers of a cluster are clients of each other, so their certificate allows
    /// both.
    ///
    /// # Panics
    /// When the folder can't be written.
    #[must_use]
    pub fn create(dir: &Path) -> Self {
        fs::create_dir_all(dir).expect("a new folder can be created");
        let mut params = CertificateParams::default();
        // TLS libraries confuse two authorities of the same name
        params.distinguished_name.push(DnType::CommonName, format!("authority {}", Uuid::now_v7()));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, key()).expect("an authority signs itself");
        let signed = |name: &str, key_name: &str, hosts: &[&str], usages: &[ExtendedKeyUsagePurpose]| {
            let hosts: Vec<_> = hosts.iter().map(|host| (*host).to_owned()).collect();
            let mut params = CertificateParams::new(hosts).expect("hosts are names or addresses");
            params.extended_key_usages = usages.to_vec();
            let key = key();
            let cert = params.signed_by(&key, &authority).expect("the authority signs");
            write(dir, name, &cert.pem());
            write(dir, key_name, &key.serialize_pem());
        };
        write(dir, "ca.pem", &authority.pem());
        let both = [ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        signed("cert.pem", "key.pem", &["127.0.0.1", "localhost"], &both);
        signed("client.pem", "client-key.pem", &["sluice"], &both[1..]);
        Self { dir: dir.to_owned() }
    }

    /// The path of one of the files, such as `ca.pem`.
    #[must_use]
    pub fn file(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }
}

fn key() -> KeyPair {
    KeyPair::generate().expect("the system has random numbers")
}

fn write(dir: &Path, name: &str, text: &str) {
    fs::write(dir.join(name), text).expect("a new folder is writable");
}
