//! The settings of `[nats]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{secret::Secret, units::HumanDuration};

/// The connection to NATS and the streams on it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NatsConfig {
    /// The URLs of the servers, separated by commas. A URL must not contain a user or a password.
    pub url: String,
    /// The user name, for servers that require a password.
    pub user: String,
    /// The password of the user.
    pub password: Secret,
    /// The path of a credentials file, which replaces `user` and `password`.
    pub credentials_file: String,
    /// The path of the certificate, in PEM, of the authority that signed the server's certificate. With this setting,
    /// the process refuses unencrypted connections. Empty: a `tls://` URL encrypts the connection, and the process
    /// trusts the authorities of the machine.
    pub tls_ca_file: String,
    /// The path of this process's certificate, in PEM, for servers that require one. Set `tls_key_file` as well.
    pub tls_cert_file: String,
    /// The path of the certificate's private key, in PEM.
    pub tls_key_file: String,
    /// The prefix of the subjects on which replies to this process arrive. No other NATS user should have permission to
    /// read these subjects. Empty: `_INBOX.<user>`.
    pub inbox_prefix: String,
    /// The number of replicas of each stream: 1 for a single server, 3 for a cluster.
    pub replicas: usize,
    /// How long a request over NATS may take.
    pub request_timeout: HumanDuration,
}

impl NatsConfig {
    /// Returns the prefix of the reply subjects, which is `inbox_prefix` or its default.
    #[must_use]
    pub fn inbox(&self) -> String {
        match (self.inbox_prefix.as_str(), self.user.as_str()) {
            ("", "") => "_INBOX".to_owned(),
            ("", user) => format!("_INBOX.{}", protocol::subject::token(user)),
            (prefix, _) => prefix.to_owned(),
        }
    }
}

impl Default for NatsConfig {
    fn default() -> Self {
        Self {
            url: "nats://127.0.0.1:4222".into(),
            user: String::new(),
            password: Secret::default(),
            credentials_file: String::new(),
            tls_ca_file: String::new(),
            tls_cert_file: String::new(),
            tls_key_file: String::new(),
            inbox_prefix: String::new(),
            replicas: 1,
            request_timeout: HumanDuration::from_secs(5),
        }
    }
}
