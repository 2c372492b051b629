//! Assembles a file from its frames and checks the contract of the stream at each frame: no gaps, no more bytes than
//! granted, and at the end the size and digest of the seal.

use aws_lc_rs::digest;
use protocol::{delivery::Seal, frame::Frame, problem::Problem, server::ServerMessage};

use super::{Client, Received};

/// A file stream that the server opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The number of the stream.
    pub stream: u32,
    /// The offset of the first byte that the server sends.
    pub offset: u64,
    /// The size of the file in bytes; None while the export is running.
    pub size: Option<u64>,
    /// The first window in bytes.
    pub window: u64,
}

/// The received part of a stream.
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
    /// The seal, or the problem with which the server closed the stream.
    pub end: Result<Seal, Option<Problem>>,
}

impl Collected {
    /// The seal of a stream that ended well.
    ///
    /// # Panics
    /// When the server closed the stream without a seal.
    #[must_use]
    pub fn seal(&self) -> &Seal {
        self.end.as_ref().unwrap_or_else(|problem| panic!("the stream was closed without a seal: {problem:?}"))
    }
}

/// The state of one stream while it is read.
pub struct Collector {
    stream: u32,
    start: u64,
    next: u64,
    /// The offset of the first byte that is not granted.
    allowed: u64,
    keep: bool,
    bytes: Vec<u8>,
    digest: digest::Context,
}

impl Collector {
    /// A collector for an opened stream. With `keep` it keeps the bytes, else only their digest.
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

    /// Records a grant. Call this before the grant is sent.
    pub fn granted(&mut self, bytes: u64) {
        self.allowed += bytes;
    }

    /// The offset after the last received byte.
    #[must_use]
    pub fn reached(&self) -> u64 {
        self.next
    }

    /// The number of bytes that the server may send without a further grant.
    #[must_use]
    pub fn window(&self) -> u64 {
        self.allowed - self.next
    }

    /// Checks and adds a frame of this stream.
    ///
    /// # Panics
    /// When the frame leaves a gap, is empty, or exceeds the granted bytes.
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
    /// Reads a stream to its end and grants bytes when half of the window is used. Other messages are kept for later.
    ///
    /// # Panics
    /// When the stream breaks the contract, or the session ends.
    pub async fn collect(&mut self, opened: Opened, keep: bool) -> Collected {
        let mut collector = Collector::new(opened, keep);
        let window = opened.window.max(2);
        loop {
            if collector.window() <= window / 2 {
                let more = window - collector.window();
                collector.granted(more);
                self.grant(opened.stream, more).await;
            }
            if let Some(end) = self.step(&mut collector).await {
                return collector.finish(end);
            }
        }
    }

    /// Reads a stream up to this offset and grants bytes as [`Client::collect`] does. The returned collector can
    /// continue.
    ///
    /// # Panics
    /// When the stream ends first or breaks the contract, or the session ends.
    pub async fn collect_until(&mut self, opened: Opened, offset: u64) -> Collector {
        let mut collector = Collector::new(opened, true);
        let window = opened.window.max(2);
        while collector.reached() < offset {
            if collector.window() <= window / 2 {
                let more = window - collector.window();
                collector.granted(more);
                self.grant(opened.stream, more).await;
            }
            if let Some(end) = self.step(&mut collector).await {
                panic!("the stream ended before {offset}: {end:?}");
            }
        }
        collector
    }

    /// Reads one frame of this stream, or returns its end.
    ///
    /// # Panics
    /// When the stream breaks the contract, or the session ends.
    pub async fn step(&mut self, collector: &mut Collector) -> Option<Result<Seal, Option<Problem>>> {
        enum Step {
            Frame(Frame),
            End(Result<Seal, Option<Problem>>),
        }
        let stream = collector.stream;
        let wanted = |received: &Received| match received {
            Received::Binary(frame) if frame.stream == stream => Some(Step::Frame(frame.clone())),
            Received::Text(ServerMessage::FileSealed { stream: of, size, rows, sha256 }) if *of == stream => {
                Some(Step::End(Ok(Seal { size: *size, rows: *rows, sha256: sha256.clone() })))
            }
            Received::Text(ServerMessage::FileClosed { stream: of, problem, .. }) if *of == stream => {
                Some(Step::End(Err(problem.as_deref().cloned())))
            }
            _ => None,
        };
        match self.expect("a frame or the end of the stream", wanted).await {
            Step::Frame(frame) => {
                collector.add(&frame);
                None
            }
            Step::End(end) => Some(end),
        }
    }
}

impl Collector {
    /// The received bytes, if the collector keeps them.
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
        collector.granted(2);
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
