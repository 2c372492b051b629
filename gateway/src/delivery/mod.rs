//! File delivery: turns grants of the notifier into one gap-free sequence of bytes, for sockets and downloads.

mod reader;
mod segment;
mod source;

use protocol::id::ExportId;
pub(crate) use reader::{Reader, ReaderRequest, Step};
pub(crate) use source::Source;
use tracing::{Span, field::Empty, info_span};

/// The span of one file delivery; its [`Reader`] holds the span. `over` is `socket` or `http`. Single frames have no
/// spans.
#[must_use]
pub(crate) fn span(over: &'static str, export: ExportId, offset: u64) -> Span {
    info_span!(
        "file.deliver",
        trace_id = Empty,
        export.id = %export,
        file.over = over,
        file.offset = offset,
        file.bytes = Empty,
    )
}
