//! Errors of the NATS connection.

use async_nats::ConnectErrorKind;

/// An error of the connection to NATS, its streams or its messages.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// The credentials file can't be read or parsed.
    #[error("nats.credentials_file: {0}")]
    Credentials(#[source] std::io::Error),
    /// A certificate or key file can't be read.
    #[error("nats.{setting}: {file}: {source}")]
    File {
        /// The setting that names the file.
        setting: &'static str,
        /// The path of the file.
        file: String,
        /// The reason why the file can't be read.
        source: std::io::Error,
    },
    /// An entry of the comma-separated list `nats.url` is not the URL of a NATS server. The error does not show the
    /// entry, which may hold a password.
    #[error("nats.url: entry {entry}: {detail}; expected nats://host:4222, or several separated by commas")]
    Url {
        /// The number of the entry, from 1.
        entry: usize,
        /// The syntax error in the URL.
        detail: String,
    },
    /// An entry of the comma-separated list `nats.url` holds a user, a password or a token. Logs and `sluice config`
    /// would show it. The value is the number of the entry, from 1.
    #[error("nats.url: entry {0} names a user: set nats.user and nats.password, or nats.credentials_file, instead")]
    UserInUrl(usize),
    /// Only one of `nats.tls_cert_file` and `nats.tls_key_file` is set.
    #[error("nats.tls_cert_file and nats.tls_key_file belong together: set both, or neither")]
    IncompleteClientCert,
    /// This process does not trust the server's certificate.
    #[error(
        "NATS at {url} can't be trusted: {detail}; nats.tls_ca_file must have signed its certificate, and the certificate must contain the host of the URL"
    )]
    UntrustedServer {
        /// The URLs of the servers.
        url: String,
        /// The reason why the certificate is not trusted.
        detail: String,
    },
    /// The server rejects this process's certificate, or requires a certificate and received none.
    #[error("NATS at {url} rejects the certificate of this process (nats.tls_cert_file): {detail}")]
    ClientCertRejected {
        /// The URLs of the servers.
        url: String,
        /// The TLS alert that the server sent.
        detail: String,
    },
    /// The process can't reach any server, or the servers refuse the user.
    #[error("can't connect to NATS at {url}: {source}")]
    Connect {
        /// The URLs of the servers.
        url: String,
        /// The error of the last attempt.
        source: async_nats::ConnectError,
    },
    /// A stream or bucket can't be created or opened. A retry may succeed.
    #[error("can't prepare {name}: {detail}")]
    Prepare {
        /// The name of the stream or bucket.
        name: &'static str,
        /// The answer of the server.
        detail: String,
    },
    /// The servers refuse to create a stream or bucket, and a retry would fail too. For example, the servers have no
    /// JetStream, or there are too few servers for the replicas.
    #[error("can't prepare {name}: {detail}")]
    Refused {
        /// The name of the stream or bucket.
        name: &'static str,
        /// The answer of the server.
        detail: String,
    },
    /// A message can't be sent, or the stream did not confirm the message in time.
    #[error("can't publish to {subject}: {detail}")]
    Publish {
        /// The subject of the message.
        subject: String,
        /// The error of the client or the stream.
        detail: String,
    },
    /// A request failed, or got no reply in time.
    #[error("no reply from {subject}: {detail}")]
    Request {
        /// The subject of the request.
        subject: String,
        /// The error of the client.
        detail: String,
    },
    /// A subscription can't be created.
    #[error("can't subscribe to {subject}: {detail}")]
    Subscribe {
        /// The subject of the subscription.
        subject: String,
        /// The error of the client.
        detail: String,
    },
    /// Streams or buckets that a notifier creates do not exist.
    #[error("missing: {missing}; a notifier creates them, so start a notifier on the same NATS")]
    Missing {
        /// The names of the missing streams, separated by commas.
        missing: String,
    },
    /// A message is not valid JSON of the expected type.
    #[error("unreadable message: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// A message has an envelope version that this build does not support. The value is that version.
    #[error("unsupported message version {0}")]
    Version(u8),
    /// A NATS micro service can't be registered.
    #[error("can't register the service {name}: {detail}")]
    Service {
        /// The name of the service.
        name: String,
        /// The error of the client.
        detail: String,
    },
}

impl BusError {
    /// Whether every later attempt to connect would fail too, until an operator changes a setting, a file or the
    /// servers.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::Credentials(_)
            | Self::File { .. }
            | Self::Url { .. }
            | Self::UserInUrl(_)
            | Self::IncompleteClientCert
            | Self::UntrustedServer { .. }
            | Self::ClientCertRejected { .. }
            | Self::Refused { .. } => true,
            Self::Connect { source, .. } => {
                matches!(source.kind(), ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation)
            }
            _ => false,
        }
    }
}
