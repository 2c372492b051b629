//! The binary frame of the WebSocket protocol: bytes of one file stream, with their offset in the file.
//!
//! Layout, big endian: `u8 kind = 1`, `u8 flags = 0`, `u16 reserved = 0`, `u32 stream`, `u64 offset`, payload.

use bytes::{BufMut, Bytes, BytesMut};

/// The size of the header before the payload, in bytes.
pub const HEADER_BYTES: usize = 16;
/// The maximum payload of one frame, in bytes.
pub const MAX_PAYLOAD_BYTES: usize = 256 * 1024;
/// The value of `kind` for a frame with file bytes. This version has no other kind.
pub const KIND_FILE: u8 = 1;

/// One binary frame of a file stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The number of the stream, from `file.opened`.
    pub stream: u32,
    /// The position of the first payload byte in the file.
    pub offset: u64,
    /// The bytes of the file, at most [`MAX_PAYLOAD_BYTES`].
    pub payload: Bytes,
}

/// The reason why bytes are not a valid binary frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The frame has fewer bytes than a header.
    #[error("{0} bytes are too few for a frame header")]
    Short(usize),
    /// This version does not know the kind of the frame.
    #[error("unknown frame kind {0}")]
    Kind(u8),
    /// The payload exceeds [`MAX_PAYLOAD_BYTES`].
    #[error("a payload of {0} bytes exceeds the maximum of {MAX_PAYLOAD_BYTES}")]
    Long(usize),
}

impl Frame {
    /// Encodes the frame as bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(HEADER_BYTES + self.payload.len());
        out.put_u8(KIND_FILE);
        out.put_u8(0);
        out.put_u16(0);
        out.put_u32(self.stream);
        out.put_u64(self.offset);
        out.put_slice(&self.payload);
        out.freeze()
    }

    /// Decodes a frame. The payload shares the buffer of `bytes`. Flags and reserved bits are ignored, because later
    /// versions may use them.
    ///
    /// # Errors
    /// When the bytes are not a frame of this version.
    pub fn decode(bytes: Bytes) -> Result<Self, FrameError> {
        if bytes.len() < HEADER_BYTES {
            return Err(FrameError::Short(bytes.len()));
        }
        if bytes[0] != KIND_FILE {
            return Err(FrameError::Kind(bytes[0]));
        }
        let payload = bytes.slice(HEADER_BYTES..);
        if payload.len() > MAX_PAYLOAD_BYTES {
            return Err(FrameError::Long(payload.len()));
        }
        let mut stream = [0; 4];
        stream.copy_from_slice(&bytes[4..8]);
        let mut offset = [0; 8];
        offset.copy_from_slice(&bytes[8..16]);
        Ok(Self { stream: u32::from_be_bytes(stream), offset: u64::from_be_bytes(offset), payload })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_has_sixteen_big_endian_bytes() {
        let frame = Frame { stream: 7, offset: 0x0102_0304_0506_0708, payload: Bytes::from_static(b"abc") };
        let bytes = frame.encode();
        assert_eq!(&bytes[..], b"\x01\0\0\0\0\0\0\x07\x01\x02\x03\x04\x05\x06\x07\x08abc");
        assert_eq!(Frame::decode(bytes), Ok(frame));
    }

    #[test]
    fn short_unknown_and_oversized_frames_have_distinct_errors() {
        assert_eq!(Frame::decode(Bytes::from_static(b"\x01")), Err(FrameError::Short(1)));
        assert_eq!(Frame::decode(Bytes::from(vec![9; 20])), Err(FrameError::Kind(9)));
        let mut long = vec![0; HEADER_BYTES + MAX_PAYLOAD_BYTES + 1];
        long[0] = KIND_FILE;
        assert_eq!(Frame::decode(Bytes::from(long)), Err(FrameError::Long(MAX_PAYLOAD_BYTES + 1)));
    }
}
