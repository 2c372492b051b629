//! Assembles a file from the frames of a file stream. Checks that the frames have no gaps and stay within the window,
//! and that the seal has the right size and digest.

use aws_lc_rs::digest;
use protocol::{delivery::Seal, frame::Frame, problem::Problem, server::ServerMessage};

use super::{Client, Received};

/// The data of a `file.opened` message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The number of the stream.
    pub stream: u32,
    /// The offset of the first byte that the server sends.
    pub offset: u64,
    /// The size of the file in bytes; None while the export is running.
    pub size: Option<u64>,
    /// The initial window of the stream, in bytes.
    pub window: u64,
}

/// The result of reading a file stream.
#[derive(Clone, Debug)]
pub struct Collected {
    /// The offset of the first byte.
    pub offset: u64,
    /// The number of received bytes.
    pub received: u64,
    /// The received bytes; empty unless the collector keeps them.
    pub bytes: Vec<u8>,
    /// The hex SHA-256 of the received bytes.
    pub sha256: String,
    /// The seal of a complete file; else the problem of `file.closed`, if the message has one.
    pub end: Result<Seal, Option<Problem>>,
}

impl Collected {
    /// The seal of a complete file.
    ///
    /// # Panics
    /// When the server closed the stream without a seal.
    #[must_use]
    pub fn seal(&self) -> &Seal {
        self.end.as_ref().unwrap_or_else(|problem| panic!("the stream was closed without a seal: {problem:?}"))
    }
}

/// Checks and collects the frames of one file stream.
pub struct Collector {
    stream: u32,
    start: u64,
    next: u64,
    /// The offset after the last byte that the window allows.
    allowed: u64,
    keep: bool,
    bytes: Vec<u8>,
    digest: digest::Context,
}

impl Collector {
    /// Creates a collector for an open stream. With `keep` the collector keeps the bytes, else only their digest.
    #[must_use]
    pub fn new(opened: Opened, keep: bool) -> Self {
        Self {
            stream: opened.stream,
            start: opened.offset,
            next: opened.offset,
            allowed: opened.offset + opened.window,
            keep,
            bytes: Vec::new(),
            digest: digest::Context::new(&digest::SHA256),
        }
    }

    /// Enlarges the expected window. Call this method before sending the `file.window` message.
    pub fn enlarge_window(&mut self, bytes: u64) {
        self.allowed += bytes;
    }

    /// The offset after the last received byte.
    #[must_use]
    pub fn next_offset(&self) -> u64 {
        self.next
    }

    /// The number of bytes that the server may still send.
    #[must_use]
    pub fn window(&self) -> u64 {
        self.allowed - self.next
    }

    /// Checks a frame of this stream and adds its bytes.
    ///
    /// # Panics
    /// When the frame leaves a gap, is empty, or exceeds the window.
    pub fn add(&mut self, frame: &Frame) {
        assert_eq!(frame.stream, self.stream, "a frame of another stream");
        assert_eq!(frame.offset, self.next, "frames arrive in order without gaps");
        assert!(!frame.payload.is_empty(), "an empty frame at {}", frame.offset);
        self.next += frame.payload.len() as u64;
        assert!(self.next <= self.allowed, "{} bytes more than were granted", self.next - self.allowed);
        self.digest.update(&frame.payload);
        if self.keep {
            self.bytes.extend_from_slice(&frame.payload);
        }
    }

    /// Ends the stream and checks its seal.
    ///
    /// # Panics
    /// When the seal does not match the received bytes.
    #[must_use]
    pub fn finish(self, end: Result<Seal, Option<Problem>>) -> Collected {
        let sha256 = hex::encode(self.digest.finish());
        if let Ok(seal) = &end {
            assert_eq!(seal.size, self.next, "sealed with another size than that of the received bytes");
            if self.start == 0 {
                assert_eq!(seal.sha256, sha256, "sealed with another digest than that of the received bytes");
            }
        }
        Collected { offset: self.start, received: self.next - self.start, bytes: self.bytes, sha256, end }
    }
}

impl Client {
    /// Reads a stream to its end, and refills the window whenever half of it is used. Keeps other messages for later.
    ///
    /// # Panics
    /// When the stream violates the protocol, or the session ends.
    pub async fn collect(&mut self, opened: Opened, keep: bool) -> Collected {
        let mut collector = Collector::new(opened, keep);
        let window = opened.window.max(2);
        loop {
            if collector.window() <= window / 2 {
                let more = window - collector.window();
                collector.enlarge_window(more);
                self.grant(opened.stream, more).await;
            }
            if let Some(end) = self.read_frame(&mut collector).await {
                return collector.finish(end);
            }
        }
    }

    /// Reads a stream up to this offset, and refills the window as [`Client::collect`] does. The test can continue with
    /// the returned collector.
    ///
    /// # Panics
    /// When the stream ends first or violates the protocol, or the session ends.
    pub async fn collect_until(&mut self, opened: Opened, offset: u64) -> Collector {
        let mut collector = Collector::new(opened, true);
        let window = opened.window.max(2);
        while collector.next_offset() < offset {
            if collector.window() <= window / 2 {
                let more = window - collector.window();
                collector.enlarge_window(more);
                self.grant(opened.stream, more).await;
            }
            if let Some(end) = self.read_frame(&mut collector).await {
                panic!("the stream ended before {offset}: {end:?}");
            }
        }
        collector
    }

    /// Reads one frame of this stream into the collector; returns None after a frame, and the result at the end.
    ///
    /// # Panics
    /// When the stream violates the protocol, or the session ends.
    pub async fn read_frame(&mut self, collector: &mut Collector) -> Option<Result<Seal, Option<Problem>>> {
        enum Progress {
            Frame(Frame),
            End(Result<Seal, Option<Problem>>),
        }
        let stream = collector.stream;
        let wanted = |received: &Received| match received {
            Received::Binary(frame) if frame.stream == stream => Some(Progress::Frame(frame.clone())),
            Received::Text(ServerMessage::FileSealed { stream: of, size, rows, sha256 }) if *of == stream => {
                Some(Progress::End(Ok(Seal { size: *size, rows: *rows, sha256: sha256.clone() })))
            }
            Received::Text(ServerMessage::FileClosed { stream: of, problem, .. }) if *of == stream => {
                Some(Progress::End(Err(problem.as_deref().cloned())))
            }
            _ => None,
        };
        match self.expect("a frame or the end of the stream", wanted).await {
            Progress::Frame(frame) => {
                collector.add(&frame);
                None
            }
            Progress::End(end) => Some(end),
        }
    }
}

impl Collector {
    /// The received bytes; empty unless the collector keeps them.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn collector(window: u64) -> Collector {
        Collector::new(Opened { stream: 1, offset: 0, size: None, window }, true)
    }

    fn frame(offset: u64, payload: &'static [u8]) -> Frame {
        Frame { stream: 1, offset, payload: Bytes::from_static(payload) }
    }

    #[test]
    fn a_complete_stream_matches_its_seal() {
        let mut collector = collector(3);
        collector.add(&frame(0, b"abc"));
        collector.enlarge_window(2);
        collector.add(&frame(3, b"de"));
        let seal = Seal { size: 5, rows: 1, sha256: crate::sha256(b"abcde") };
        assert_eq!(collector.finish(Ok(seal)).bytes, b"abcde");
    }

    #[test]
    #[should_panic(expected = "without gaps")]
    fn a_gap_is_detected() {
        collector(9).add(&frame(1, b"a"));
    }

    #[test]
    #[should_panic(expected = "more than were granted")]
    fn bytes_beyond_the_grant_are_detected() {
        collector(2).add(&frame(0, b"abc"));
    }

    #[test]
    #[should_panic(expected = "another digest")]
    fn a_wrong_digest_is_detected() {
        let mut collector = collector(2);
        collector.add(&frame(0, b"ab"));
        drop(collector.finish(Ok(Seal { size: 2, rows: 0, sha256: crate::sha256(b"other") })));
    }
}
