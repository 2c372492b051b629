//! The `[gateway]` settings. Each field's comment becomes its entry in the settings reference, `docs/settings.md`.

use std::collections::BTreeMap;

use platform::{
    secret::Secret,
    units::{ByteSize, HumanDuration},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[gateway]`: listeners, limits and the timing of a graceful stop.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GatewayConfig {
    /// The address of the public listener for REST, WebSockets and the web page. Listen on `0.0.0.0` if the proxy runs
    /// on another machine or in another container.
    pub listen: String,
    /// The address that serves `/metrics` and `/healthz` to operators; empty: no internal listener. Never expose it to
    /// clients.
    pub internal_listen: String,
    /// The folder of the built web page; empty: the gateway serves only the API.
    pub web_dir: String,
    /// The maximum number of open connections. Further connections wait in the kernel's queue until a connection closes.
    /// Raise the maximum together with the process's limit of open files.
    pub max_connections: usize,
    /// Further origins whose web pages may call the API and open sockets, such as `https://app.example.com`. Web pages
    /// of the gateway's own origin always may. Add the origin of each product that has an export button, and of another
    /// host that serves the web page.
    pub allowed_origins: Vec<String>,
    /// The `max-age` of the header `Strict-Transport-Security` (RFC 6797), which the gateway sends when the proxy sets
    /// `X-Forwarded-Proto: https`. `0s` turns the header off, for a trial over HTTPS on a host that will serve plain
    /// HTTP again.
    pub hsts_max_age: HumanDuration,
    /// The maximum number of sessions of one user on one gateway: WebSockets and event streams over HTTP together; each
    /// `GET /v1/events` counts as one.
    pub max_sessions_per_user: usize,
    /// The maximum number of unfinished exports of one user. Lower it to keep one user from filling the queue.
    pub max_unfinished_per_user: u64,
    /// The largest number of rows of a dataset whose exports take the interactive lane, the queue for small exports.
    /// Exports of larger datasets, and of datasets of unknown size, take the bulk lane. Raise the limit when exporters
    /// finish larger datasets within seconds.
    pub interactive_max_dataset_rows: u64,
    /// How long a stopping gateway still serves all requests, while `/readyz` already answers `503`. Set it to twice
    /// the interval of the load balancer's health check.
    pub shutdown_delay: HumanDuration,
    /// The period over which a stopping gateway closes its sessions. Each session closes at a random time within the
    /// period. Raise it when thousands of reconnects at once overload the remaining gateways.
    pub session_close_spread: HumanDuration,
    /// How long downloads over HTTP and other requests may continue after `shutdown_delay`. This setting does not apply
    /// to WebSocket sessions, which end within `session_close_spread`. `shutdown_grace` must be at least
    /// `shutdown_delay`, plus the longer of `http_drain_timeout` and `session_close_spread`, plus 5 s for the last closing
    /// handshakes.
    pub http_drain_timeout: HumanDuration,
    /// `[gateway.identity]`: how the gateway verifies tokens.
    pub identity: IdentityConfig,
    /// `[gateway.ws]`: limits of WebSocket and SSE sessions.
    pub ws: WsConfig,
    /// `[gateway.delivery]`: how the gateway reads file bytes.
    pub delivery: DeliveryConfig,
    /// Limits that operators cannot set; in-process tests lower them.
    #[serde(skip)]
    #[schemars(skip)]
    pub tuning: GatewayTuning,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".into(),
            internal_listen: String::new(),
            web_dir: String::new(),
            max_connections: 10_000,
            allowed_origins: Vec::new(),
            hsts_max_age: HumanDuration::from_secs(365 * 24 * 60 * 60),
            max_sessions_per_user: 20,
            max_unfinished_per_user: 20,
            interactive_max_dataset_rows: 100_000,
            shutdown_delay: HumanDuration::from_secs(2),
            session_close_spread: HumanDuration::from_secs(5),
            http_drain_timeout: HumanDuration::from_secs(15),
            identity: IdentityConfig::default(),
            ws: WsConfig::default(),
            delivery: DeliveryConfig::default(),
            tuning: GatewayTuning::default(),
        }
    }
}

/// Limits that operators cannot set; in-process tests lower them.
#[derive(Clone, Debug)]
pub struct GatewayTuning {
    /// The maximum number of missed events that the gateway sends to a client that reconnects; default 1000. A client
    /// that missed more events fetches its state by REST.
    pub max_replay_events: u64,
    /// The maximum total size of the missed events that the gateway sends to a client that reconnects; default 4 MiB.
    pub max_replay_size: ByteSize,
    /// The maximum number of reconnecting clients whose missed events one gateway reads at the same time; default 32.
    /// Further clients wait.
    pub max_concurrent_replays: usize,
    /// The time between two checks whether the event stream in NATS was deleted and created again; default 2 s.
    pub epoch_check_interval: HumanDuration,
    /// The maximum number of files that one gateway sends over HTTP at the same time; default 1000. A further download
    /// gets `503`. Each download holds up to 0.2 MB of memory.
    pub max_downloads: usize,
    /// The maximum number of files that one gateway sends to one user over HTTP at the same time; default 16, the number
    /// of connections that download managers open at most. A further download gets `429`.
    pub max_downloads_per_user: usize,
    /// The time for which the gateway accepts an API key without another database query; default 1 s.
    pub key_cache_ttl: HumanDuration,
    /// The time between two checks of the API keys of open sessions and downloads; default 500 ms. A gateway without
    /// NATS accepts a deleted key for at most `key_cache_ttl` plus this interval. The sum must be below 2 s.
    pub key_check_interval: HumanDuration,
}

impl Default for GatewayTuning {
    fn default() -> Self {
        Self {
            max_replay_events: 1_000,
            max_replay_size: ByteSize::mib(4),
            max_concurrent_replays: 32,
            epoch_check_interval: HumanDuration::from_secs(2),
            max_downloads: 1_000,
            max_downloads_per_user: 16,
            key_cache_ttl: HumanDuration::from_secs(1),
            key_check_interval: HumanDuration::from_millis(500),
        }
    }
}

/// `[gateway.identity]`: the issuer whose tokens the gateway accepts.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct IdentityConfig {
    /// The `iss` claim that every token must carry. Set it to the issuer's exact URL.
    pub issuer: String,
    /// The `aud` claim that every token must carry. Set it to the audience registered for Sluice at the issuer.
    pub audience: String,
    /// The claim that names the tenant. Change it when the issuer uses another claim, such as `org_id`.
    pub tenant_claim: String,
    /// The group of operators: callers whose claim `groups` contains this name have the scope `sluice:operate`, which
    /// opens the page `/operate` and the exports of all tenants, without their rows. Empty: only tokens with the scope do.
    pub operator_group: String,
    /// The URL of the issuer's key set (RFC 7517). Empty: only tokens that this installation signs are accepted.
    pub jwks_url: String,
    /// The signature algorithms accepted from the issuer: a subset of RS256, ES256 and EdDSA. Remove the algorithms
    /// that the issuer does not use.
    pub algorithms: Vec<String>,
    /// The clock difference tolerated when checking `exp` and `nbf`. Raise it only when the issuer's clock is known to
    /// be off.
    pub clock_leeway: HumanDuration,
    /// `[gateway.identity.oidc]`: how the web page signs users in at an external issuer.
    pub oidc: OidcConfig,
    /// `[gateway.identity.local]`: tokens signed by this installation.
    pub local: LocalIdentityConfig,
}

impl Default for IdentityConfig {
    fn default() -> Self {
        Self {
            issuer: "sluice".into(),
            audience: "sluice".into(),
            tenant_claim: "tenant".into(),
            operator_group: String::new(),
            jwks_url: String::new(),
            algorithms: ["RS256", "ES256", "EdDSA"].map(str::to_owned).to_vec(),
            clock_leeway: HumanDuration::from_secs(2),
            oidc: OidcConfig::default(),
            local: LocalIdentityConfig::default(),
        }
    }
}

/// `[gateway.identity.oidc]`: how the web page signs users in by the authorization code flow with PKCE.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OidcConfig {
    /// The issuer's URL, which serves `/.well-known/openid-configuration`; empty: the web page asks for a token.
    pub authority: String,
    /// The client id of the web page at the issuer: a public client with the page's address as redirect URI.
    pub client_id: String,
    /// The scopes that the web page requests, separated by spaces. Add `offline_access` when the issuer needs it for
    /// refresh tokens.
    pub scope: String,
    /// Further origins of the issuer that the web page's Content-Security-Policy allows in `connect-src`, such as
    /// `https://oauth2.googleapis.com`. Add the origin of a token or key endpoint outside the authority's own origin.
    pub csp_connect_src: Vec<String>,
    /// Parameters that the web page adds to the authorization and token requests, such as `audience` or `resource`.
    /// Every visitor of the web page can read these values.
    pub extra_request_parameters: BTreeMap<String, String>,
}

impl Default for OidcConfig {
    fn default() -> Self {
        Self {
            authority: String::new(),
            client_id: String::new(),
            scope: "openid profile".into(),
            csp_connect_src: Vec::new(),
            extra_request_parameters: BTreeMap::new(),
        }
    }
}

/// `[gateway.identity.local]`: tokens signed with a secret of this installation, and the users of the sign-in page.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LocalIdentityConfig {
    /// The HS256 secret of at least 32 bytes with which this installation signs tokens. Empty: this installation signs
    /// no tokens.
    pub secret: Secret,
    /// Who may sign in as one of `sign_in_users` on the sign-in page, without a password. `link`: a browser that has
    /// opened a one-time link of `sluice up` or `sluice sign-in-link`. `anyone`: also the other users of the machine. For
    /// a trial on one machine only.
    pub sign_in: LocalSignIn,
    /// The address that the gateway checks before it offers sign-in without a password; the gateway does not listen on
    /// this address. Unless `sign_in` is `off`, the gateway starts only if this is a loopback address. Empty: the
    /// gateway checks `gateway.listen`. For a gateway in a container, which listens on `0.0.0.0`, set it to the address
    /// of the published port.
    pub loopback_check_address: String,
    /// The users that the sign-in page offers.
    pub sign_in_users: Vec<LocalUser>,
}

impl Default for LocalIdentityConfig {
    fn default() -> Self {
        Self {
            secret: Secret::default(),
            sign_in: LocalSignIn::Off,
            loopback_check_address: String::new(),
            sign_in_users: Vec::new(),
        }
    }
}

/// Who may sign in on the sign-in page without a password.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LocalSignIn {
    /// Nobody may sign in: the gateway has no local sign-in.
    #[default]
    Off,
    /// A browser that has opened a one-time link may sign in.
    Link,
    /// Every client that reaches the gateway may sign in.
    Anyone,
}

impl LocalIdentityConfig {
    /// Whether the sign-in page offers the local users.
    #[must_use]
    pub(crate) fn has_sign_in(&self) -> bool {
        self.sign_in != LocalSignIn::Off && !self.secret.is_empty()
    }
}

/// A user that the sign-in page offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LocalUser {
    /// The id that the page sends to sign in.
    pub id: String,
    /// The name that the page shows.
    pub name: String,
    /// The `sub` claim of the user's tokens.
    pub sub: String,
    /// The tenant claim of the user's tokens.
    pub tenant: String,
    /// Whether the user's tokens have the scope `sluice:operate`; false when absent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub operator: bool,
}

/// `[gateway.ws]`: limits of one session. `GET /v1/events` shares `heartbeat_interval` and `write_timeout`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WsConfig {
    /// The time between two pings that the gateway sends. The gateway closes a session after two unanswered pings. Set
    /// the interval below the idle timeout of every proxy between client and gateway.
    pub heartbeat_interval: HumanDuration,
    /// The maximum size of a text message from a client. Raise it for requests with very long filters.
    pub max_message_size: ByteSize,
    /// The maximum number of open file streams of one session; each stream sends one file. Each stream holds one
    /// connection to a notifier or the file store while it transfers bytes.
    pub max_file_streams: u32,
    /// How long one write to a client may take. After that, the gateway closes the WebSocket session with the code
    /// 4408, or ends the event stream. Raise it for clients on very slow links.
    pub write_timeout: HumanDuration,
    /// The number of messages that a client may send per second on average; a `file.window` message, which permits
    /// further bytes of a file, counts as one twentieth of a message. A burst may contain the messages of five seconds.
    pub messages_per_second: u32,
}

impl Default for WsConfig {
    fn default() -> Self {
        Self {
            heartbeat_interval: HumanDuration::from_secs(20),
            max_message_size: ByteSize::kib(256),
            max_file_streams: 8,
            write_timeout: HumanDuration::from_secs(30),
            messages_per_second: 100,
        }
    }
}

/// `[gateway.delivery]`: reading file bytes from notifiers and the file store.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DeliveryConfig {
    /// The time for which the gateway retries a failing read of file bytes. If no byte arrives in this time, the
    /// gateway ends the file stream or HTTP download. Raise it when restarts of the file store take longer.
    pub read_retry_timeout: HumanDuration,
}

impl Default for DeliveryConfig {
    fn default() -> Self {
        Self { read_retry_timeout: HumanDuration::from_secs(60) }
    }
}
