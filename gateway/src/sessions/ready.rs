//! Builds `session.ready`, the first message of every session.

use platform::units::ByteSize;
use protocol::{
    credits::CreditsSummary,
    server::{ServerMessage, SessionLimits},
};
use uuid::Uuid;

use super::position::Position;
use crate::{auth::Caller, config::WsConfig};

/// The maximum number of bytes by which one client message may enlarge a window. The window of a file stream is the
/// number of bytes that the client still accepts. A large window costs no memory, because the gateway reads a file only
/// as fast as it sends the bytes.
pub(crate) const MAX_WINDOW: ByteSize = ByteSize::gib(1);

/// Builds `session.ready`, the first message of a session. `id` is the id of the session. `start` is the position in
/// the event stream at which the session starts.
#[must_use]
pub(crate) fn session_ready(
    id: Uuid,
    caller: &Caller,
    start: &Position,
    config: &WsConfig,
    credits: CreditsSummary,
) -> ServerMessage {
    ServerMessage::SessionReady {
        session_id: id.to_string(),
        sub: caller.owner.user.clone(),
        tenant: caller.owner.tenant.clone(),
        epoch: start.epoch.to_string(),
        seq: start.seq,
        token_expires_at: caller.token_expires_at(),
        heartbeat_ms: u64::try_from(config.heartbeat_interval.as_millis()).unwrap_or(u64::MAX),
        limits: SessionLimits {
            message_bytes: config.max_message_size.bytes(),
            streams: config.max_file_streams,
            window_bytes: MAX_WINDOW.bytes(),
        },
        credits,
        operator: caller.may_operate(),
    }
}
