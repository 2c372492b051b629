//! Splits data in the binary format of `COPY` (<https://www.postgresql.org/docs/current/sql-copy.html>) into rows.

use bytes::{Buf, Bytes, BytesMut};

use super::super::DatasetError;

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// The length of the fixed part of the header of a binary `COPY`, in bytes: the signature, the flags, and the field
/// with the length of the header extension.
const HEADER: usize = SIGNATURE.len() + 8;

/// Splits the bytes of a binary `COPY` into rows. A row may extend over several messages of the server.
pub(super) struct Wire {
    rest: BytesMut,
    begun: bool,
    ended: bool,
    width: usize,
}

impl Wire {
    /// Creates a splitter for a `COPY` whose rows have `width` fields.
    pub(super) fn new(width: usize) -> Self {
        Self { rest: BytesMut::new(), begun: false, ended: false, width }
    }

    /// Whether the trailer of the `COPY` has arrived. If it has not, rows are missing.
    pub(super) const fn is_complete(&self) -> bool {
        self.ended
    }

    /// Adds the next bytes of the `COPY`, and calls `take` with the fields of each complete row.
    pub(super) fn push(
        &mut self,
        bytes: Bytes,
        mut take: impl FnMut(&mut Fields<'_>) -> Result<(), DatasetError>,
    ) -> Result<(), DatasetError> {
        // the server usually sends whole rows, so that no bytes must be joined
        if self.rest.is_empty() {
            let used = self.rows(&bytes, &mut take)?;
            self.rest.extend_from_slice(&bytes[used..]);
        } else {
            self.rest.extend_from_slice(&bytes);
            let rest = self.rest.split();
            let used = self.rows(&rest, &mut take)?;
            self.rest = rest;
            self.rest.advance(used);
        }
        Ok(())
    }

    fn rows(
        &mut self,
        bytes: &[u8],
        take: &mut impl FnMut(&mut Fields<'_>) -> Result<(), DatasetError>,
    ) -> Result<usize, DatasetError> {
        let mut at = 0;
        if !self.begun {
            let Some(header) = bytes.get(..HEADER) else { return Ok(0) };
            if !header.starts_with(SIGNATURE) {
                return Err(DatasetError::Garbled("the stream is no binary COPY"));
            }
            let extension = &header[HEADER - 4..];
            let length = u32::from_be_bytes([extension[0], extension[1], extension[2], extension[3]]) as usize;
            if bytes.len() < HEADER + length {
                return Ok(0);
            }
            self.begun = true;
            at = HEADER + length;
        }
        while !self.ended {
            let Some(count) = bytes.get(at..at + 2) else { break };
            let count = i16::from_be_bytes([count[0], count[1]]);
            if count == -1 {
                self.ended = true;
                at += 2;
                break;
            }
            if usize::try_from(count) != Ok(self.width) {
                return Err(DatasetError::Garbled("a row has the wrong number of columns"));
            }
            let Some(length) = length(&bytes[at + 2..], self.width)? else { break };
            let mut fields = Fields { bytes: &bytes[at + 2..at + 2 + length] };
            take(&mut fields)?;
            at += 2 + length;
        }
        Ok(at)
    }
}

/// Returns the total length in bytes of the `width` fields at the beginning of `bytes`; None if the row is incomplete.
fn length(bytes: &[u8], width: usize) -> Result<Option<usize>, DatasetError> {
    let mut at = 0;
    for _ in 0..width {
        let Some(size) = bytes.get(at..at + 4) else { return Ok(None) };
        at += 4;
        match i32::from_be_bytes([size[0], size[1], size[2], size[3]]) {
            -1 => {}
            size => at += usize::try_from(size).map_err(|_| DatasetError::Garbled("a value has an invalid length"))?,
        }
        if at > bytes.len() {
            return Ok(None);
        }
    }
    Ok(Some(at))
}

/// The fields of one row that the caller has not read yet.
pub(super) struct Fields<'a> {
    bytes: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Returns the bytes of the next field; None for NULL, and after the last field.
    pub(super) fn next(&mut self) -> Option<&'a [u8]> {
        let (size, rest) = self.bytes.split_first_chunk::<4>()?;
        match usize::try_from(i32::from_be_bytes(*size)) {
            Ok(size) if size <= rest.len() => {
                let (value, rest) = rest.split_at(size);
                self.bytes = rest;
                Some(value)
            }
            _ => {
                self.bytes = rest;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(rows: &[[Option<&str>; 2]]) -> Vec<u8> {
        let mut out = [SIGNATURE, &[0; 4], &3_u32.to_be_bytes(), b"ext"].concat();
        for row in rows {
            out.extend(2_i16.to_be_bytes());
            for field in row {
                out.extend(field.map_or(-1, |text| text.len() as i32).to_be_bytes());
                out.extend(field.unwrap_or_default().bytes());
            }
        }
        out.extend((-1_i16).to_be_bytes());
        out
    }

    #[test]
    fn rows_are_complete_however_the_bytes_are_split() {
        let rows = [[Some("a"), None], [Some(""), Some("long enough to be split")], [None, None]];
        let bytes = stream(&rows);
        for step in [1, 2, 3, 7, 20, 1000] {
            let mut wire = Wire::new(2);
            let mut got = Vec::new();
            for part in bytes.chunks(step) {
                assert!(!wire.is_complete());
                let take = |fields: &mut Fields<'_>| {
                    got.push([(); 2].map(|()| fields.next().map(|f| String::from_utf8_lossy(f).into_owned())));
                    Ok(())
                };
                wire.push(Bytes::copy_from_slice(part), take).unwrap();
            }
            assert!(wire.is_complete());
            let expected: Vec<_> = rows.iter().map(|row| row.map(|field| field.map(str::to_owned))).collect();
            assert_eq!(got, expected, "in steps of {step}");
        }
    }

    #[test]
    fn malformed_streams_are_refused_without_a_panic() {
        let push = |bytes: &[u8]| Wire::new(2).push(Bytes::copy_from_slice(bytes), |_| Ok(()));
        assert!(push(b"something else that is long enough").is_err());
        let mut bytes = stream(&[[Some("a"), Some("b")]]);
        bytes[HEADER + 3 + 1] = 3;
        assert!(push(&bytes).is_err());
        let mut bytes = stream(&[[Some("a"), Some("b")]]);
        bytes[HEADER + 3 + 2] = 0x90;
        assert!(push(&bytes).is_err());
    }
}
