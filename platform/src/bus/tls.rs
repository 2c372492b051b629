//! The encrypted connection: the files that it needs, and what to say when the two sides do not trust each other.

use std::{error::Error, io};

use async_nats::{
    ConnectError, ConnectOptions,
    rustls::{self, AlertDescription},
};

use super::BusError;
use crate::config::NatsConfig;

/// Adds the files that the settings name. Each is looked at first, as the client would not say which of them is wrong.
///
/// # Errors
/// When one can't be read, or a certificate and its key are not both there.
pub(super) async fn encrypted(mut options: ConnectOptions, config: &NatsConfig) -> Result<ConnectOptions, BusError> {
    let (ca, cert, key) = (&config.tls_ca_file, &config.tls_cert_file, &config.tls_key_file);
    if cert.is_empty() != key.is_empty() {
        return Err(BusError::HalfAPair);
    }
    for (setting, file) in [("tls_ca_file", ca), ("tls_cert_file", cert), ("tls_key_file", key)] {
        if !file.is_empty() {
            let looked = tokio::fs::read(file).await;
            looked.map_err(|source| BusError::File { setting, file: file.clone(), source })?;
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

/// Why there is no connection.
pub(super) fn unconnected(url: String, source: ConnectError) -> BusError {
    match reason(&source) {
        Some(reason @ rustls::Error::InvalidCertificate(_)) => BusError::Untrusted { url, detail: reason.to_string() },
        Some(rustls::Error::AlertReceived(alert)) if blames_us(alert) => {
            BusError::Unwelcome { url, detail: format!("{alert:?}") }
        }
        _ => BusError::Connect { url, source },
    }
}

/// What the TLS library says, where that is at the bottom of it.
fn reason(error: &(dyn Error + 'static)) -> Option<rustls::Error> {
    if let Some(reason) = error.downcast_ref::<rustls::Error>() {
        return Some(reason.clone());
    }
    // an I/O error gives as its source what is below the error in it, and not that error
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => reason(inner),
        None => error.source().and_then(reason),
    }
}

/// Whether a server that sends this wants another certificate of ours, or any.
fn blames_us(alert: AlertDescription) -> bool {
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
    async fn a_file_that_is_missing_is_named_with_its_setting() {
        let dir = tempfile::tempdir().unwrap();
        let there = dir.path().join("there.pem").display().to_string();
        std::fs::write(&there, "x").unwrap();
        let gone = dir.path().join("gone.pem").display().to_string();
        for (config, setting) in [
            (config(&gone, "", ""), "nats.tls_ca_file"),
            (config(&there, &gone, &there), "nats.tls_cert_file"),
            (config(&there, &there, &gone), "nats.tls_key_file"),
        ] {
            let told = encrypted(ConnectOptions::new(), &config).await.err().unwrap().to_string();
            assert!(told.starts_with(setting) && told.contains("gone.pem"), "{told}");
        }
        for half in [config("", &there, ""), config("", "", &there)] {
            let told = encrypted(ConnectOptions::new(), &half).await.err();
            assert!(matches!(told, Some(BusError::HalfAPair)), "{told:?}");
        }
    }

    #[test]
    fn what_the_other_side_shows_and_what_it_does_not_take_are_told_apart() {
        let failed = |error: rustls::Error| {
            let io = io::Error::new(io::ErrorKind::InvalidData, error);
            unconnected("tls://nats".into(), ConnectError::with_source(ConnectErrorKind::Io, io))
        };
        let unknown = failed(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer));
        assert!(
            matches!(&unknown, BusError::Untrusted { detail, .. } if detail.contains("UnknownIssuer")),
            "{unknown}"
        );
        let without = failed(rustls::Error::AlertReceived(AlertDescription::CertificateRequired));
        assert!(matches!(&without, BusError::Unwelcome { .. }), "{without}");
        let other = failed(rustls::Error::AlertReceived(AlertDescription::ProtocolVersion));
        assert!(matches!(&other, BusError::Connect { .. }), "{other}");
    }
}
