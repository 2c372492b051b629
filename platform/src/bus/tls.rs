//! TLS for the connection to NATS: certificate files and certificate errors.

use std::{error::Error, io};

use async_nats::{
    ConnectError, ConnectOptions,
    rustls::{self, AlertDescription},
};

use super::BusError;
use crate::config::NatsConfig;

/// Adds the configured certificate files to the connection options. Reads each file first, because the client's own
/// error does not name the file.
///
/// # Errors
/// When a file can't be read, or only one of a certificate and its key is set.
pub(super) async fn with_tls(mut options: ConnectOptions, config: &NatsConfig) -> Result<ConnectOptions, BusError> {
    let (ca, cert, key) = (&config.tls_ca_file, &config.tls_cert_file, &config.tls_key_file);
    if cert.is_empty() != key.is_empty() {
        return Err(BusError::IncompleteClientCert);
    }
    for (setting, file) in [("tls_ca_file", ca), ("tls_cert_file", cert), ("tls_key_file", key)] {
        if !file.is_empty() {
            let read = tokio::fs::read(file).await;
            read.map_err(|source| BusError::File { setting, file: file.clone(), source })?;
        }
    }
    if !ca.is_empty() {
        options = options.add_root_certificates(ca.into()).require_tls(true);
    }
    if !cert.is_empty() {
        options = options.add_client_certificate(cert.into(), key.into()).require_tls(true);
    }
    Ok(options)
}

/// Converts a connection error. A TLS error becomes an error that names the certificate setting to fix.
pub(super) fn connect_error(url: String, source: ConnectError) -> BusError {
    match tls_error(&source) {
        Some(error @ rustls::Error::InvalidCertificate(_)) => {
            BusError::UntrustedServer { url, detail: error.to_string() }
        }
        Some(rustls::Error::AlertReceived(alert)) if rejects_client_cert(alert) => {
            BusError::ClientCertRejected { url, detail: format!("{alert:?}") }
        }
        _ => BusError::Connect { url, source },
    }
}

/// Finds the error of the TLS library inside a connection error. Returns None if another cause failed the connection.
fn tls_error(error: &(dyn Error + 'static)) -> Option<rustls::Error> {
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        return Some(error.clone());
    }
    // the source of an I/O error is the source of the wrapped error, not the wrapped error itself
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => tls_error(inner),
        None => error.source().and_then(tls_error),
    }
}

/// Whether a server sends this alert for a missing or rejected client certificate.
fn rejects_client_cert(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
    )
}

#[cfg(test)]
mod tests {
    use async_nats::ConnectErrorKind;
    use rustls::CertificateError;

    use super::*;

    fn config(ca: &str, cert: &str, key: &str) -> NatsConfig {
        NatsConfig {
            tls_ca_file: ca.into(),
            tls_cert_file: cert.into(),
            tls_key_file: key.into(),
            ..NatsConfig::default()
        }
    }

    #[tokio::test]
    async fn a_missing_file_is_named_with_its_setting() {
        let dir = tempfile::tempdir().unwrap();
        let present = dir.path().join("present.pem").display().to_string();
        std::fs::write(&present, "x").unwrap();
        let missing = dir.path().join("missing.pem").display().to_string();
        for (config, setting) in [
            (config(&missing, "", ""), "nats.tls_ca_file"),
            (config(&present, &missing, &present), "nats.tls_cert_file"),
            (config(&present, &present, &missing), "nats.tls_key_file"),
        ] {
            let error = with_tls(ConnectOptions::new(), &config).await.err().unwrap().to_string();
            assert!(error.starts_with(setting) && error.contains("missing.pem"), "{error}");
        }
        for half in [config("", &present, ""), config("", "", &present)] {
            let error = with_tls(ConnectOptions::new(), &half).await.err();
            assert!(matches!(error, Some(BusError::IncompleteClientCert)), "{error:?}");
        }
    }

    #[test]
    fn certificate_errors_of_server_and_client_are_distinguished() {
        let failed = |error: rustls::Error| {
            let io = io::Error::new(io::ErrorKind::InvalidData, error);
            connect_error("tls://nats".into(), ConnectError::with_source(ConnectErrorKind::Io, io))
        };
        let unknown = failed(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer));
        assert!(
            matches!(&unknown, BusError::UntrustedServer { detail, .. } if detail.contains("UnknownIssuer")),
            "{unknown}"
        );
        let without = failed(rustls::Error::AlertReceived(AlertDescription::CertificateRequired));
        assert!(matches!(&without, BusError::ClientCertRejected { .. }), "{without}");
        let other = failed(rustls::Error::AlertReceived(AlertDescription::ProtocolVersion));
        assert!(matches!(&other, BusError::Connect { .. }), "{other}");
    }
}
