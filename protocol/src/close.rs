//! The WebSocket close codes, and whether a client reconnects after each.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The reason why the server closed a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CloseCode {
    /// 1001: the gateway shuts down.
    GoingAway,
    /// 1002: the client violated the WebSocket protocol (RFC 6455), such as by a frame without a mask.
    ProtocolError,
    /// 1007: a text message of the client was not valid UTF-8.
    InvalidText,
    /// 1009: a message was larger than `limits.message_bytes`.
    TooBig,
    /// 4400: the client sent a binary frame, or a text frame that is not a JSON object.
    BadMessage,
    /// 4401: the token or the API key expired, or the API key was deleted.
    TokenExpired,
    /// 4403: the caller may not open a session. This version never sends it.
    Forbidden,
    /// 4408: the client read too slowly or did not answer a ping.
    TooSlow,
    /// 4409: the user has too many sessions.
    TooManySessions,
    /// 4429: the client exceeded the message rate limit.
    TooManyMessages,
    /// 4500: the gateway failed internally.
    Internal,
}

/// Whether and how a client reconnects after the server closed the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reconnect {
    /// Reconnect after a pause with full jitter, from 0.5 s to 30 s.
    Retry,
    /// Reconnect with a newer token.
    WithNewToken,
    /// Do not reconnect, because the server would close the new session for the same reason.
    No,
}

impl CloseCode {
    /// Every close code, in ascending order.
    pub const ALL: [Self; 11] = [
        Self::GoingAway,
        Self::ProtocolError,
        Self::InvalidText,
        Self::TooBig,
        Self::BadMessage,
        Self::TokenExpired,
        Self::Forbidden,
        Self::TooSlow,
        Self::TooManySessions,
        Self::TooManyMessages,
        Self::Internal,
    ];

    /// The status code of the close frame (RFC 6455, section 7.4).
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::GoingAway => 1001,
            Self::ProtocolError => 1002,
            Self::InvalidText => 1007,
            Self::TooBig => 1009,
            Self::BadMessage => 4400,
            Self::TokenExpired => 4401,
            Self::Forbidden => 4403,
            Self::TooSlow => 4408,
            Self::TooManySessions => 4409,
            Self::TooManyMessages => 4429,
            Self::Internal => 4500,
        }
    }

    /// The close code with this number; None when Sluice does not use the number.
    #[must_use]
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.code() == code)
    }

    /// The reason text of the close frame. RFC 6455, section 5.5 allows 123 bytes.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::GoingAway => "server going away",
            Self::ProtocolError => "protocol error",
            Self::InvalidText => "invalid UTF-8",
            Self::TooBig => "message too big",
            Self::BadMessage => "bad message",
            Self::TokenExpired => "token expired or revoked",
            Self::Forbidden => "forbidden",
            Self::TooSlow => "too slow or no heartbeat",
            Self::TooManySessions => "too many sessions",
            Self::TooManyMessages => "too many messages",
            Self::Internal => "internal error",
        }
    }

    /// How the client reconnects after this code.
    #[must_use]
    pub const fn reconnect(self) -> Reconnect {
        match self {
            Self::GoingAway | Self::TooSlow | Self::TooManyMessages | Self::Internal => Reconnect::Retry,
            Self::TokenExpired => Reconnect::WithNewToken,
            Self::ProtocolError
            | Self::InvalidText
            | Self::TooBig
            | Self::BadMessage
            | Self::Forbidden
            | Self::TooManySessions => Reconnect::No,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_maps_to_its_number_and_a_reason_that_fits_a_close_frame() {
        for code in CloseCode::ALL {
            assert_eq!(CloseCode::from_code(code.code()), Some(code));
            assert!(code.reason().len() <= 123);
        }
        assert_eq!(CloseCode::from_code(1000), None);
    }
}
