//! The cases of Autobahn's sections 1 to 7 and 10 for a server that answers messages and does not repeat them.

use super::{
    super::raw_socket::{
        BINARY, CLOSE, CONTINUATION, FIN, FIRST_TEXT, LAST_CONTINUATION, PING, PONG, TEXT, close, frame,
    },
    utf8,
};

/// The largest message that a gateway accepts by default, in bytes.
const MAX_MESSAGE: usize = 256 * 1024;

/// How the bytes of a case are split into writes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Split {
    /// All frames in one write.
    None,
    /// Each frame in a write.
    Frames,
    /// Parts of this number of bytes.
    Bytes(usize),
}

/// The end of a case.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum End {
    /// The session stays open, and closes with 1000 on request.
    Open,
    /// The gateway closes the session with this code; None for a close frame without a code.
    Closed(Option<u16>),
}

/// A case: the frames of a client, and what the gateway must do.
pub(super) struct Case {
    /// The number of the case in Autobahn.
    pub(super) id: String,
    pub(super) frames: Vec<Vec<u8>>,
    pub(super) split: Split,
    /// The `ref` of each answer, in order. A session that the gateway closes may lack the last ones.
    pub(super) answers: Vec<String>,
    /// The payloads of the pongs, in order.
    pub(super) pongs: Vec<Vec<u8>>,
    pub(super) end: End,
}

/// The code for a message that is no valid message of the protocol, such as an empty or a binary one.
const BAD_MESSAGE: End = End::Closed(Some(4400));
const VIOLATION: End = End::Closed(Some(1002));
const NOT_UTF_8: End = End::Closed(Some(1007));
const NORMAL: End = End::Closed(Some(1000));

impl Case {
    fn new(id: impl Into<String>, frames: Vec<Vec<u8>>, end: End) -> Self {
        Self { id: id.into(), frames, split: Split::None, answers: vec![], pongs: vec![], end }
    }

    fn split(mut self, split: Split) -> Self {
        self.split = split;
        self
    }

    fn answered(mut self, reference: &str) -> Self {
        self.answers.push(reference.to_owned());
        self
    }

    fn pongs(mut self, payloads: &[&[u8]]) -> Self {
        self.pongs.extend(payloads.iter().map(|payload| payload.to_vec()));
        self
    }
}

/// A message that the gateway answers with the same `ref`.
fn message(reference: &[u8]) -> Vec<u8> {
    [br#"{"type":"ping","ref":""#, reference, br#""}"#].concat()
}

/// A message of this length: white space follows the JSON.
fn padded(reference: &str, length: usize) -> Vec<u8> {
    let mut text = message(reference.as_bytes());
    text.resize(length, b' ');
    text
}

/// A text message in frames, whose payloads are these.
fn fragments(parts: &[&[u8]]) -> Vec<Vec<u8>> {
    let last = parts.len() - 1;
    let first = |at: usize| if at == 0 { FIRST_TEXT } else { CONTINUATION } | if at == last { FIN } else { 0 };
    parts.iter().enumerate().map(|(at, part)| frame(first(at), part)).collect()
}

fn in_single_bytes(text: &[u8]) -> Vec<Vec<u8>> {
    fragments(&text.chunks(1).collect::<Vec<_>>())
}

/// Section 1: texts are messages of these lengths; binary messages are refused, because clients send none.
pub(super) fn framing() -> Vec<Case> {
    let lengths = [0, 125, 126, 127, 128, 65_535, 65_536, 65_536];
    let mut cases = Vec::new();
    for (at, length) in lengths.into_iter().enumerate() {
        let split = if at == 7 { Split::Bytes(997) } else { Split::None };
        let (text, binary) = (format!("1.1.{}", at + 1), format!("1.2.{}", at + 1));
        cases.push(match length {
            0 => Case::new(text, vec![frame(TEXT, b"")], BAD_MESSAGE),
            length => {
                Case::new(&text, vec![frame(TEXT, &padded(&text, length))], End::Open).answered(&text).split(split)
            }
        });
        cases.push(Case::new(binary, vec![frame(BINARY, &vec![0xfe; length])], BAD_MESSAGE).split(split));
    }
    cases
}

/// Section 2: pings and pongs.
pub(super) fn pings() -> Vec<Case> {
    let (long, binary) = ([0xfe; 125], b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff");
    let ten: Vec<_> = (0..10).map(|n| format!("payload-{n}")).collect();
    let sent = || ten.iter().map(|payload| frame(PING, payload.as_bytes())).collect::<Vec<_>>();
    let payloads: Vec<&[u8]> = ten.iter().map(String::as_bytes).collect();
    vec![
        Case::new("2.1", vec![frame(PING, b"")], End::Open).pongs(&[b""]),
        Case::new("2.2", vec![frame(PING, b"Hello, world!")], End::Open).pongs(&[b"Hello, world!"]),
        Case::new("2.3", vec![frame(PING, binary)], End::Open).pongs(&[binary]),
        Case::new("2.4", vec![frame(PING, &long)], End::Open).pongs(&[&long]),
        Case::new("2.5", vec![frame(PING, &[0xfe; 126])], VIOLATION),
        Case::new("2.6", vec![frame(PING, &long)], End::Open).pongs(&[&long]).split(Split::Bytes(1)),
        Case::new("2.7", vec![frame(PONG, b"")], End::Open),
        Case::new("2.8", vec![frame(PONG, b"unsolicited")], End::Open),
        Case::new("2.9", vec![frame(PONG, b"unsolicited"), frame(PING, b"ping")], End::Open).pongs(&[b"ping"]),
        Case::new("2.10", sent(), End::Open).pongs(&payloads),
        Case::new("2.11", sent(), End::Open).pongs(&payloads).split(Split::Bytes(1)),
    ]
}

/// Sections 3 and 4: reserved bits, which need an extension, and reserved opcodes.
pub(super) fn reserved() -> Vec<Case> {
    let (text, ping) = (frame(TEXT, &message(b"first")), frame(PING, b""));
    let with = |first: u8| frame(first, &message(b"second"));
    let after = |first: u8| vec![text.clone(), with(first), ping.clone()];
    let bits = |bits: u8| bits << 4;
    let mut cases = vec![
        Case::new("3.1", vec![with(TEXT | bits(1))], VIOLATION),
        Case::new("3.2", after(TEXT | bits(2)), VIOLATION).answered("first"),
        Case::new("3.3", after(TEXT | bits(3)), VIOLATION).answered("first").split(Split::Frames),
        Case::new("3.4", after(TEXT | bits(4)), VIOLATION).answered("first").split(Split::Bytes(1)),
        Case::new("3.5", vec![frame(BINARY | bits(5), &[0xff; 8])], VIOLATION),
        Case::new("3.6", vec![frame(PING | bits(6), b"")], VIOLATION),
        Case::new("3.7", vec![frame(CLOSE | bits(7), b"")], VIOLATION),
    ];
    for (section, opcodes) in [(1, 3..=7_u8), (2, 11..=15)] {
        for (at, opcode) in opcodes.enumerate() {
            let id = format!("4.{section}.{}", at + 1);
            let first = FIN | opcode;
            cases.push(match at {
                0 => Case::new(id, vec![frame(first, b"")], VIOLATION),
                1 => Case::new(id, vec![frame(first, b"reserved")], VIOLATION),
                2 => Case::new(id, vec![text.clone(), frame(first, b""), ping.clone()], VIOLATION).answered("first"),
                3 => Case::new(id, after(first), VIOLATION).answered("first").split(Split::Frames),
                _ => Case::new(id, after(first), VIOLATION).answered("first").split(Split::Bytes(1)),
            });
        }
    }
    cases
}

/// Section 5: fragmented messages.
pub(super) fn fragmentation() -> Vec<Case> {
    let text = message(b"whole");
    let (begin, end) = text.split_at(9);
    let two = || fragments(&[begin, end]);
    let around_ping = || vec![frame(FIRST_TEXT, begin), frame(PING, b"between"), frame(LAST_CONTINUATION, end)];
    let splits = [Split::None, Split::Frames, Split::Bytes(1)];
    let mut cases = vec![
        Case::new("5.1", vec![frame(PING & !FIN, b"a"), frame(LAST_CONTINUATION, b"b")], VIOLATION),
        Case::new("5.2", vec![frame(PONG & !FIN, b"a"), frame(LAST_CONTINUATION, b"b")], VIOLATION),
    ];
    for (at, split) in splits.into_iter().enumerate() {
        cases.push(Case::new(format!("5.{}", 3 + at), two(), End::Open).answered("whole").split(split));
        let pinged = Case::new(format!("5.{}", 6 + at), around_ping(), End::Open).answered("whole");
        cases.push(pinged.pongs(&[b"between"]).split(split));
        for (id, first) in [(9, LAST_CONTINUATION), (12, CONTINUATION)] {
            let lonely = vec![frame(first, b"nothing before"), frame(TEXT, &text)];
            cases.push(Case::new(format!("5.{}", id + at), lonely, VIOLATION).split(split));
        }
    }
    let stray = |first: u8| vec![frame(first, b"a"), frame(FIRST_TEXT, begin), frame(LAST_CONTINUATION, end)];
    cases.extend([
        Case::new("5.15", [two(), stray(CONTINUATION)].concat(), VIOLATION).answered("whole"),
        Case::new("5.16", [stray(CONTINUATION), stray(CONTINUATION)].concat(), VIOLATION),
        Case::new("5.17", [stray(LAST_CONTINUATION), stray(LAST_CONTINUATION)].concat(), VIOLATION),
        Case::new("5.18", vec![frame(FIRST_TEXT, begin), frame(TEXT, end)], VIOLATION),
    ]);
    let parts: Vec<&[u8]> = text.chunks(text.len().div_ceil(5)).collect();
    let five = fragments(&parts);
    let pinged: Vec<_> = five.iter().flat_map(|part| [part.clone(), frame(PING, b"between")]).collect();
    for (id, split) in [("5.19", Split::Frames), ("5.20", Split::None)] {
        let pinged = Case::new(id, pinged.clone(), End::Open).answered("whole").split(split);
        cases.push(pinged.pongs(&vec![&b"between"[..]; parts.len()]));
    }
    cases
}

/// Section 6: texts in UTF-8 and texts that are not.
pub(super) fn texts() -> Vec<Case> {
    let special = "Hello-µ@ßöäüàá-UTF-8!!";
    let kosme = utf8::KOSME.as_bytes();
    let broken = [kosme, b"\xed\xa0\x80", b"edited"].concat();
    let (whole, invalid) = (message(special.as_bytes()), message(&broken));
    let boundary = whole.len() - 12;
    assert!(std::str::from_utf8(&whole[..boundary]).is_ok(), "a boundary of characters");
    let mut cases = vec![
        Case::new("6.1.1", vec![frame(TEXT, b"")], BAD_MESSAGE),
        Case::new("6.1.2", fragments(&[b"", b"", b""]), BAD_MESSAGE),
        Case::new("6.1.3", fragments(&[b"", &whole, b""]), End::Open).answered(special),
        Case::new("6.2.1", vec![frame(TEXT, &whole)], End::Open).answered(special),
        Case::new("6.2.2", fragments(&[&whole[..boundary], &whole[boundary..]]), End::Open).answered(special),
        Case::new("6.2.3", in_single_bytes(&whole), End::Open).answered(special),
        Case::new("6.2.4", in_single_bytes(&message(kosme)), End::Open).answered(utf8::KOSME),
        Case::new("6.3.1", vec![frame(TEXT, &invalid)], NOT_UTF_8),
        Case::new("6.3.2", in_single_bytes(&invalid), NOT_UTF_8),
        // the session ends at the invalid fragment: the last fragment never comes
        Case::new("6.4.1", unfinished(&[&message(kosme)[..29], b"\xf4\x90\x80\x80"]), NOT_UTF_8),
        Case::new("6.4.2", unfinished(&[&message(kosme)[..29], b"\xf4\x90"]), NOT_UTF_8),
        Case::new("6.4.3", vec![frame(TEXT, &message(b"\xce\xba\xf4\x90\x80\x80"))], NOT_UTF_8).split(Split::Bytes(1)),
        Case::new("6.4.4", vec![frame(TEXT, &message(b"\xce\xba\xf4\x90"))], NOT_UTF_8).split(Split::Bytes(1)),
        Case::new("6.7.1", vec![frame(TEXT, &message(b"\0"))], BAD_MESSAGE),
    ];
    for length in 1..=kosme.len() {
        let (prefix, id) = (&kosme[..length], format!("6.6.{length}"));
        let frames = vec![frame(TEXT, &message(prefix))];
        cases.push(match std::str::from_utf8(prefix) {
            Ok(text) => Case::new(id, frames, End::Open).answered(text),
            Err(_) => Case::new(id, frames, NOT_UTF_8),
        });
    }
    let mut numbers = std::collections::BTreeMap::from([(7, 1)]);
    for (group, sequences, is_valid) in utf8::groups() {
        for sequence in sequences {
            let number = numbers.entry(group).or_insert(0);
            *number += 1;
            let (id, frames) = (format!("6.{group}.{number}"), vec![frame(TEXT, &message(&sequence))]);
            cases.push(if is_valid {
                Case::new(id, frames, End::Open).answered(std::str::from_utf8(&sequence).expect("valid UTF-8"))
            } else {
                Case::new(id, frames, NOT_UTF_8)
            });
        }
    }
    cases
}

/// The beginning of a text message in frames, without its last frame.
fn unfinished(parts: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut frames = fragments(&[parts, &[&b""[..]]].concat());
    frames.pop();
    frames
}

/// Section 7: close frames. What follows a close frame is not answered.
pub(super) fn closing() -> Vec<Case> {
    let (text, goodbye) = (frame(TEXT, &message(b"text")), close(1000, b""));
    let large = frame(TEXT, &padded("large", MAX_MESSAGE));
    let begin = frame(FIRST_TEXT, &message(b"text"));
    let mut cases = vec![
        Case::new("7.1.1", vec![text.clone(), goodbye.clone()], NORMAL).answered("text"),
        Case::new("7.1.2", vec![goodbye.clone(), goodbye.clone()], NORMAL),
        Case::new("7.1.3", vec![goodbye.clone(), frame(PING, b"")], NORMAL),
        Case::new("7.1.4", vec![goodbye.clone(), text], NORMAL),
        Case::new("7.1.5", vec![begin, goodbye.clone(), frame(LAST_CONTINUATION, b" ")], NORMAL),
        Case::new("7.1.6", vec![large, goodbye, frame(PING, b"")], NORMAL).answered("large"),
        Case::new("7.3.1", vec![frame(CLOSE, b"")], End::Closed(None)),
        Case::new("7.3.2", vec![frame(CLOSE, b"\x03")], VIOLATION),
        Case::new("7.3.3", vec![close(1000, b"")], NORMAL),
        Case::new("7.3.4", vec![close(1000, b"Hello World!")], NORMAL),
        Case::new("7.3.5", vec![close(1000, &[b'*'; 123])], NORMAL),
        Case::new("7.3.6", vec![close(1000, &[b'*'; 124])], VIOLATION),
        Case::new("7.5.1", vec![close(1000, b"\xce\xba\xed\xa0\x80")], NOT_UTF_8),
    ];
    let valid = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999];
    for (at, code) in valid.into_iter().enumerate() {
        cases.push(Case::new(format!("7.7.{}", at + 1), vec![close(code, b"")], End::Closed(Some(code))));
    }
    for (at, code) in [0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999].into_iter().enumerate() {
        cases.push(Case::new(format!("7.9.{}", at + 1), vec![close(code, b"")], VIOLATION));
    }
    for (at, code) in [5000, 65_535].into_iter().enumerate() {
        cases.push(Case::new(format!("7.13.{}", at + 1), vec![close(code, b"")], VIOLATION));
    }
    cases
}

/// Section 10, and a message that is larger than the gateway accepts.
pub(super) fn sizes() -> Vec<Case> {
    let text = padded("10.1.1", 65_536);
    let parts: Vec<&[u8]> = text.chunks(1_300).collect();
    let too_large = frame(TEXT, &padded("large", MAX_MESSAGE + 1));
    vec![
        Case::new("10.1.1", fragments(&parts), End::Open).answered("10.1.1"),
        Case::new("too large", vec![too_large], End::Closed(Some(1009))),
    ]
}
