//! File bytes: from grants to a gap-free run of bytes at their offsets, for sockets and downloads alike.

pub mod reader;
mod segment;
mod source;

use protocol::id::ExportId;
pub use reader::{Reader, Step};
pub use source::Source;
use tracing::{Span, field::Empty, info_span};

/// The span of one file on its way to one client, to be held by its [`Reader`]. `over` is `socket` or `http`. The bytes
/// themselves go by without spans.
#[must_use]
pub fn span(over: &'static str, export: ExportId, offset: u64) -> Span {
    info_span!(
        "file.deliver",
        trace_id = Empty,
        export.id = %export,
        file.over = over,
        file.offset = offset,
        file.bytes = Empty,
    )
}
