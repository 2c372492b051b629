//! Code that WebSocket sessions and SSE streams share: the registry of open sessions, positions in the event stream,
//! the message `session.ready`, and the limit on progress messages.

mod position;
mod progress_throttle;
mod ready;
mod registry;

pub(crate) use self::{
    position::Position,
    progress_throttle::ProgressThrottle,
    ready::{MAX_WINDOW, session_ready},
    registry::{Registry, RenderedEvent, SessionGuard, Transport},
};
