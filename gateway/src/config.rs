//! Settings of the gateway.

use std::collections::BTreeMap;

use platform::secret::Secret;
use serde::{Deserialize, Serialize};

/// `[gateway]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GatewayConfig {
    /// Where clients come in.
    pub listen: String,
    /// Where `/metrics` is served, for operators only; empty for nowhere.
    pub internal_listen: String,
    /// Connections at once; further ones wait until one ends.
    pub connections: usize,
    /// The folder of the built page; empty for none.
    pub web_dir: String,
    /// Origins besides the gateway's own whose pages may open sockets and sign in, such as `https://app.example.com`.
    pub allowed_origins: Vec<String>,
    /// How long browsers that came over HTTPS are told to come over nothing else (RFC 6797), seconds; 0 for not at all.
    /// The proxy in front says with `X-Forwarded-Proto: https` that they did.
    pub hsts_s: u64,
    /// The largest request body, bytes.
    pub body_bytes: usize,
    /// The longest that `Prefer: wait` may wait, seconds.
    pub max_wait_s: u64,
    /// Unfinished exports of one person at once.
    pub max_unfinished_per_user: u64,
    /// How old what is known of the queue may get before it is looked up again, milliseconds.
    pub queue_ms: u64,
    /// Exports of datasets with at most this many rows go to the interactive lane.
    pub interactive_rows: u64,
    /// Who may come in.
    pub identity: IdentityConfig,
    /// Sessions.
    pub ws: WsConfig,
    /// User events.
    pub events: EventsConfig,
    /// File bytes.
    pub delivery: DeliveryConfig,
    /// The end.
    pub drain: DrainConfig,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".into(),
            internal_listen: String::new(),
            connections: 10_000,
            web_dir: String::new(),
            allowed_origins: Vec::new(),
            hsts_s: 31_536_000,
            body_bytes: 1024 * 1024,
            max_wait_s: 60,
            max_unfinished_per_user: 20,
            queue_ms: 500,
            interactive_rows: 100_000,
            identity: IdentityConfig::default(),
            ws: WsConfig::default(),
            events: EventsConfig::default(),
            delivery: DeliveryConfig::default(),
            drain: DrainConfig::default(),
        }
    }
}

/// `[gateway.identity]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IdentityConfig {
    /// The `iss` that tokens must carry.
    pub issuer: String,
    /// The `aud` that tokens must carry.
    pub audience: String,
    /// The claim that names the tenant.
    pub tenant_claim: String,
    /// Where the issuer publishes its keys; empty for no outside issuer.
    pub jwks_url: String,
    /// Signature algorithms that outside tokens may use, of RS256, ES256 and EdDSA.
    pub algorithms: Vec<String>,
    /// How old the keys may get before they are fetched again, seconds.
    pub jwks_max_age_s: u64,
    /// Difference of clocks that `exp` and `nbf` bear, seconds.
    pub leeway_s: u64,
    /// How the page signs people in at an outside issuer.
    pub oidc: OidcConfig,
    /// The local identity of `sluice up`.
    pub local: LocalIdentityConfig,
}

impl Default for IdentityConfig {
    fn default() -> Self {
        Self {
            issuer: "sluice".into(),
            audience: "sluice".into(),
            tenant_claim: "tenant".into(),
            jwks_url: String::new(),
            algorithms: ["RS256", "ES256", "EdDSA"].map(str::to_owned).to_vec(),
            jwks_max_age_s: 300,
            leeway_s: 2,
            oidc: OidcConfig::default(),
            local: LocalIdentityConfig::default(),
        }
    }
}

/// `[gateway.identity.oidc]`: the page's own sign-in, by the authorization code flow with PKCE.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OidcConfig {
    /// The issuer's address, under which `/.well-known/openid-configuration` is; empty: the page asks for a token instead.
    pub authority: String,
    /// The id under which the page is registered there, as a public client with the page's address for redirects.
    pub client_id: String,
    /// What the page asks for, separated by spaces.
    pub scope: String,
    /// Origins of the issuer's besides the authority's own, where its token endpoint or keys are elsewhere, such as
    /// `https://oauth2.googleapis.com`. The page's policy lets it talk to these.
    pub connect: Vec<String>,
    /// What the issuer wants to hear besides, when people are sent there and when codes and refresh tokens are exchanged,
    /// such as `audience` or `resource`. Not secret.
    pub parameters: BTreeMap<String, String>,
}

impl Default for OidcConfig {
    fn default() -> Self {
        Self {
            authority: String::new(),
            client_id: String::new(),
            scope: "openid profile".into(),
            connect: Vec::new(),
            parameters: BTreeMap::new(),
        }
    }
}

/// `[gateway.identity.local]`: tokens signed with a secret of this installation, and people to sign in as.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LocalIdentityConfig {
    /// The HS256 secret, at least 32 bytes; empty for no local identity.
    pub secret: Secret,
    /// Whether the sign-in page offers `people` without a password: for a trial on one's own machine only.
    pub sign_in: bool,
    /// The address at which people reach this gateway, where that isn't `gateway.listen`: a container listens on every
    /// address of its own, and its engine publishes the port on this one. With `sign_in` it must be one of this machine.
    pub published_on: String,
    /// The people on offer.
    pub people: Vec<Person>,
    /// How long their tokens last, seconds; 0 for one hour.
    pub token_ttl_s: u64,
}

/// Somebody to sign in as.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// What the page sends.
    pub id: String,
    /// What the page shows.
    pub name: String,
    /// Their `sub`.
    pub sub: String,
    /// Their tenant.
    pub tenant: String,
}

/// `[gateway.ws]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WsConfig {
    /// How often the server pings, milliseconds.
    pub heartbeat_ms: u64,
    /// The largest text message, bytes.
    pub message_bytes: usize,
    /// Open file streams of one session.
    pub streams: u32,
    /// The most that one window may grant, bytes. Memory does not depend on it: what is not sent is not read.
    pub window_bytes: u64,
    /// How long a stream without a window stays open, milliseconds.
    pub idle_stream_ms: u64,
    /// How long a write may take before the client counts as too slow, milliseconds.
    pub write_timeout_ms: u64,
    /// Sessions of one person at once on this gateway; each `GET /v1/events` counts as one.
    pub sessions_per_user: usize,
    /// Messages a second that a session may send over time; `file.window` counts a twentieth.
    pub messages_per_second: u32,
    /// Messages that it may send at once.
    pub message_burst: u32,
    /// Requests of one session that may be worked on at once; further ones are refused.
    pub requests_in_flight: usize,
}

impl Default for WsConfig {
    fn default() -> Self {
        Self {
            heartbeat_ms: 20_000,
            message_bytes: 256 * 1024,
            streams: 8,
            window_bytes: 1024 * 1024 * 1024,
            idle_stream_ms: 300_000,
            write_timeout_ms: 30_000,
            sessions_per_user: 20,
            messages_per_second: 100,
            message_burst: 500,
            requests_in_flight: 32,
        }
    }
}

/// `[gateway.events]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventsConfig {
    /// The most events that a client which comes back is told again. Who missed more fetches state instead.
    pub replay_events: u64,
    /// Their bytes together.
    pub replay_bytes: usize,
    /// Replays that are read at once; further ones wait a little, and then their clients fetch state.
    pub replays_at_once: usize,
    /// How often to look whether the stream is still the same, milliseconds.
    pub epoch_check_ms: u64,
    /// How long a client of `GET /v1/events` is asked to wait before it comes back, milliseconds; each gets up to twice
    /// that, so that they don't all come at once.
    pub retry_ms: u64,
}

impl Default for EventsConfig {
    fn default() -> Self {
        Self {
            replay_events: 1_000,
            replay_bytes: 4 * 1024 * 1024,
            replays_at_once: 32,
            epoch_check_ms: 2_000,
            retry_ms: 1_000,
        }
    }
}

/// `[gateway.delivery]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeliveryConfig {
    /// How long to wait for the next bytes of a segment, milliseconds.
    pub read_timeout_ms: u64,
    /// For how long a failing source is retried without one new byte, milliseconds.
    pub give_up_ms: u64,
    /// How often to ask for news of an unfinished export when no announcement comes, milliseconds.
    pub poll_ms: u64,
    /// Grants asked for at once.
    pub grants: u32,
}

impl Default for DeliveryConfig {
    fn default() -> Self {
        Self { read_timeout_ms: 15_000, give_up_ms: 60_000, poll_ms: 1_000, grants: 16 }
    }
}

/// `[gateway.drain]`: how a gateway that was told to stop leaves. All of it has to fit into `shutdown_grace_s`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DrainConfig {
    /// How long it goes on as before while `/readyz` says `503`, so that balancers look away first, milliseconds. Twice
    /// the time between two of their looks is good.
    pub look_away_ms: u64,
    /// Over how long sessions are then sent away, each at a moment of its own, milliseconds.
    pub spread_ms: u64,
    /// How long downloads and other requests may go on meanwhile, milliseconds.
    pub requests_ms: u64,
}

impl Default for DrainConfig {
    fn default() -> Self {
        Self { look_away_ms: 2_000, spread_ms: 5_000, requests_ms: 15_000 }
    }
}
