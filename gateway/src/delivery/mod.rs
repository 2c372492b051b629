//! File delivery reads the bytes of a file in order, segment by segment. A segment is a stored part of the file. For
//! each segment the notifier issues a grant, which is a short-lived URL of the segment. The gateway reads the bytes
//! from this URL. WebSocket file streams and HTTP downloads use the same reader.

mod backpressure;
mod downloads;
mod reader;
mod segment;
mod segment_client;
mod source;

pub(crate) use backpressure::wait_for_room;
pub(crate) use downloads::{DownloadGuard, Downloads};
use protocol::id::ExportId;
pub(crate) use reader::{ReadStatus, Reader, ReaderRequest};
pub(crate) use source::Source;
use tracing::{Span, field::Empty, info_span};

/// The maximum number of bytes that one read of a file returns, and the size of the read buffers of one file delivery.
/// The size is small, because the buffers stay full while a client reads slowly, and many slow clients may read at the
/// same time.
pub(crate) const CHUNK_BYTES: usize = 16 * 1024;

/// Creates the tracing span of one file delivery. The span ends when the delivery's [`Reader`] is dropped. `over` is
/// the transport, `socket` or `http`. `offset` is the position of the first byte. Single reads have no spans, because
/// they are too frequent.
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
