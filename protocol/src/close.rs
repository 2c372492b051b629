//! WebSocket close codes, each with the advice that clients act on.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why the server ended a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CloseCode {
    /// 1001: this gateway is going away.
    GoingAway,
    /// 1009: a message was larger than `limits.message_bytes`.
    TooBig,
    /// 4400: a message that isn't one of this contract.
    BadMessage,
    /// 4401: the token expired or was revoked.
    TokenExpired,
    /// 4403: the caller may not hold a session.
    Forbidden,
    /// 4408: the client read too slowly or answered no ping.
    TooSlow,
    /// 4409: the caller holds too many sessions.
    TooManySessions,
    /// 4429: too many messages in too little time.
    TooManyMessages,
    /// 4500: something failed on this side.
    Internal,
}

/// What a client does after a close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reconnect {
    /// Reconnect with full jitter, from 0.5 s to 30 s.
    Retry,
    /// Get a newer token first.
    WithNewToken,
    /// Don't: the same thing would happen again.
    No,
}

impl CloseCode {
    /// Every code, in the order of the contract.
    pub const ALL: [Self; 9] = [
        Self::GoingAway,
        Self::TooBig,
        Self::BadMessage,
        Self::TokenExpired,
        Self::Forbidden,
        Self::TooSlow,
        Self::TooManySessions,
        Self::TooManyMessages,
        Self::Internal,
    ];

    /// The number on the wire (RFC 6455, section 7.4).
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::GoingAway => 1001,
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

    /// The code that a number stands for, if it is one of ours.
    #[must_use]
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.code() == code)
    }

    /// A reason for the close frame, far below the 123 bytes that fit there.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::GoingAway => "server going away",
            Self::TooBig => "message too big",
            Self::BadMessage => "bad message",
            Self::TokenExpired => "token expired",
            Self::Forbidden => "forbidden",
            Self::TooSlow => "too slow or no heartbeat",
            Self::TooManySessions => "too many sessions",
            Self::TooManyMessages => "too many messages",
            Self::Internal => "internal error",
        }
    }

    /// What the client should do next.
    #[must_use]
    pub const fn reconnect(self) -> Reconnect {
        match self {
            Self::GoingAway | Self::TooSlow | Self::TooManyMessages | Self::Internal => Reconnect::Retry,
            Self::TokenExpired => Reconnect::WithNewToken,
            Self::TooBig | Self::BadMessage | Self::Forbidden | Self::TooManySessions => Reconnect::No,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_found_by_its_number_and_its_reason_fits_a_close_frame() {
        for code in CloseCode::ALL {
            assert_eq!(CloseCode::from_code(code.code()), Some(code));
            assert!(code.reason().len() <= 123);
        }
        assert_eq!(CloseCode::from_code(1000), None);
    }
}
