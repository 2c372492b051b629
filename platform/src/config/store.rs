//! The settings of `[store]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::secret::Secret;

/// The file store, which holds the exported files.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// The URL of the store: `file:///folder` on a single machine, or `s3://bucket/prefix`.
    pub url: String,
    /// The URL of the S3 server. Leave it empty for Amazon S3. An `http://` URL sends file bytes unencrypted: use it
    /// only for a server in the same private network.
    pub s3_endpoint: String,
    /// The S3 region for which requests are signed.
    pub s3_region: String,
    /// The S3 access key. Empty: the credentials come from the environment or from the machine's role.
    pub s3_access_key_id: String,
    /// The secret of the S3 access key.
    pub s3_secret_access_key: Secret,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            url: "file://./files".into(),
            s3_endpoint: String::new(),
            s3_region: "us-east-1".into(),
            s3_access_key_id: String::new(),
            s3_secret_access_key: Secret::default(),
        }
    }
}

impl StoreConfig {
    /// Whether the store's endpoint is an `http://` URL, so that file bytes are sent unencrypted.
    #[must_use]
    pub fn uses_plain_http(&self) -> bool {
        self.url.starts_with("s3://") && self.s3_endpoint.starts_with("http://")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_http_endpoint_of_a_bucket_is_plain_http() {
        let is_plain = |url: &str, endpoint: &str| {
            let config = StoreConfig { url: url.into(), s3_endpoint: endpoint.into(), ..StoreConfig::default() };
            config.uses_plain_http()
        };
        assert!(is_plain("s3://bucket", "http://s3:8333"));
        assert!(!is_plain("s3://bucket", "https://s3:8333") && !is_plain("s3://bucket", ""));
        assert!(!is_plain("file:///files", "http://s3:8333"));
    }
}
