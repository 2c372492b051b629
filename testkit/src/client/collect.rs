//! Puts a file together from its frames, and checks the contract of a stream at each of them: no gaps, no more than
//! was granted, and at the end the size and digest of the seal.

use aws_lc_rs::digest;
use protocol::{delivery::Seal, frame::Frame, problem::Problem, server::ServerMessage};

use super::{Client, Received};

/// A file stream that the server opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Its number.
    pub stream: u32,
    /// The first byte that will come.
    pub offset: u64,
    /// The file's size, when the export was complete.
    pub size: Option<u64>,
    /// The window with which it was opened.
    pub window: u64,
}

/// What came of a stream.
#[derive(Clone, Debug)]
pub struct Collected {
    /// Where it began.
    pub offset: u64,
    /// How many bytes came.
    pub received: u64,
    /// The bytes; empty when they were not to be kept.
    pub bytes: Vec<u8>,
    /// SHA-256 of what came.
    pub sha256: String,
    /// The seal, or with what the stream was closed instead.
    pub end: Result<Seal, Option<Problem>>,
}

impl Collected {
    /// The seal.
    ///
    /// # Panics
    /// When the stream was closed instead.
    #[must_use]
    pub fn seal(&self) -> &Seal {
        self.end.as_ref().unwrap_or_else(|problem| panic!("the stream was closed instead: {problem:?}"))
    }
}

/// The running sum of one stream.
pub struct Collector {
    stream: u32,
    start: u64,
    next: u64,
    /// The first byte that was not granted.
    allowed: u64,
    keep: bool,
    bytes: Vec<u8>,
    digest: digest::Context,
}

impl Collector {
    /// Begins with a stream as it was opened. `keep` holds the bytes; without it only their digest is known.
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

    /// Notes a grant. Call it before the grant is sent.
    pub fn granted(&mut self, bytes: u64) {
        self.allowed += bytes;
    }

    /// The offset just past the last byte that came.
    #[must_use]
    pub fn reached(&self) -> u64 {
        self.next
    }

    /// How many more bytes may come without a further grant.
    #[must_use]
    pub fn window(&self) -> u64 {
        self.allowed - self.next
    }

    /// Takes a frame of this stream.
    ///
    /// # Panics
    /// When there is a gap, an empty payload, or more than was granted.
    pub fn take(&mut self, frame: &Frame) {
        assert_eq!(frame.stream, self.stream, "a frame of another stream");
        assert_eq!(frame.offset, self.next, "frames come in order without gaps");
        assert!(!frame.payload.is_empty(), "an empty frame at {}", frame.offset);
        self.next += frame.payload.len() as u64;
        assert!(self.next <= self.allowed, "{} bytes more than were granted", self.next - self.allowed);
        self.digest.update(&frame.payload);
        if self.keep {
            self.bytes.extend_from_slice(&frame.payload);
        }
    }

    /// The end of the stream. A seal must fit what came.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    pub fn finish(self, end: Result<Seal, Option<Problem>>) -> Collected {
        let sha256 = hex::encode(self.digest.finish());
        if let Ok(seal) = &end {
            assert_eq!(seal.size, self.next, "sealed at another size than what came");
            if self.start == 0 {
                assert_eq!(seal.sha256, sha256, "sealed with another digest than that of what came");
            }
        }
        Collected { offset: self.start, received: self.next - self.start, bytes: self.bytes, sha256, end }
    }
}

impl Client {
    /// Reads a stream to its end, granting a window whenever half of it is used up. Whatever else comes is kept.
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

    /// Reads a stream until it reached this offset, granting as [`Client::collect`] does. The collector can go on.
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

    /// Reads one thing of this stream: a frame, or its end.
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
                collector.take(&frame);
                None
            }
            Step::End(end) => Some(end),
        }
    }
}

impl Collector {
    /// The bytes so far, when they are kept.
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
    fn a_whole_stream_fits_its_seal() {
        let mut collector = collector(3);
        collector.take(&frame(0, b"abc"));
        collector.granted(2);
        collector.take(&frame(3, b"de"));
        let seal = Seal { size: 5, rows: 1, sha256: crate::sha256(b"abcde") };
        assert_eq!(collector.finish(Ok(seal)).bytes, b"abcde");
    }

    #[test]
    #[should_panic(expected = "without gaps")]
    fn a_gap_is_found() {
        collector(9).take(&frame(1, b"a"));
    }

    #[test]
    #[should_panic(expected = "more than were granted")]
    fn too_much_is_found() {
        collector(2).take(&frame(0, b"abc"));
    }

    #[test]
    #[should_panic(expected = "another digest")]
    fn a_wrong_digest_is_found() {
        let mut collector = collector(2);
        collector.take(&frame(0, b"ab"));
        drop(collector.finish(Ok(Seal { size: 2, rows: 0, sha256: crate::sha256(b"other") })));
    }
}
