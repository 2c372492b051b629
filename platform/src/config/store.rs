//! The `[store]` table.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::secret::Secret;

/// The file store, which holds the exported files.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// The URL of the store: `file:///folder` on a single machine, or `s3://bucket/prefix`.
    pub url: String,
    /// The URL of the S3 server. Leave it empty for Amazon S3.
    pub s3_endpoint: String,
    /// The S3 region for which requests are signed.
    pub s3_region: String,
    /// The S3 access key. Empty: the credentials come from the environment or from the machine's role.
    pub s3_access_key_id: String,
    /// The secret of the S3 access key.
    pub s3_secret_access_key: Secret,
    /// Allows an endpoint over plain HTTP, for a server in the same private network.
    pub s3_allow_http: bool,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            url: "file://./files".into(),
            s3_endpoint: String::new(),
            s3_region: "us-east-1".into(),
            s3_access_key_id: String::new(),
            s3_secret_access_key: Secret::default(),
            s3_allow_http: false,
        }
    }
}
