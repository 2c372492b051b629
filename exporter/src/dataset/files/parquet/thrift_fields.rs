//! Reads and writes single fields of the Thrift compact protocol, in which the footer of a Parquet file is encoded.
//!
//! The library `polars_parquet_format` decodes only whole structs, and loses fields that are unknown to the library.

use std::{cell::Cell, io::Read, rc::Rc};

use polars_parquet_format::thrift::{
    self,
    protocol::{TCompactInputProtocol, TInputProtocol, TType},
};

/// The maximum depth of nested structs and lists in which [`skip`] accepts bytes that are not UTF-8. Valid footers are
/// less deeply nested.
pub(super) const SKIPPED_LEVELS: u8 = 16;

pub(super) type Input<'a> = TCompactInputProtocol<Counted<'a>>;

/// A reader that counts the bytes that have been read from it.
pub(super) struct Counted<'a> {
    left: &'a [u8],
    read: Rc<Cell<usize>>,
}

impl Read for Counted<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let count = self.left.read(out)?;
        self.read.set(self.read.get() + count);
        Ok(count)
    }
}

/// Returns a Thrift reader of `metadata`, and the counter of the bytes that the reader has read.
pub(super) fn input(metadata: &[u8]) -> (Input<'_>, Rc<Cell<usize>>) {
    let read = Rc::new(Cell::new(0));
    let reader = Counted { left: metadata, read: Rc::clone(&read) };
    // the limit must exceed the length, because the protocol counts more bytes for the items of a list than the items
    // occupy
    (TCompactInputProtocol::new(reader, metadata.len().saturating_mul(16)), read)
}

/// Skips the fields of a struct up to the field with this type and number. The next value that the caller reads from
/// `input` is the value of that field. Returns false if the struct does not have that field.
pub(super) fn seek(input: &mut Input<'_>, kind: TType, id: i16) -> Result<bool, thrift::Error> {
    loop {
        let field = input.read_field_begin()?;
        if field.field_type == TType::Stop {
            return Ok(false);
        }
        if field.field_type == kind && field.id == Some(id) {
            return Ok(true);
        }
        skip(input, field.field_type, SKIPPED_LEVELS)?;
        input.read_field_end()?;
    }
}

/// Skips a value of the type `kind`. The function of the Thrift library fails for bytes that are not UTF-8, but
/// statistics and encrypted metadata may have any bytes. This function accepts any bytes in up to `levels` levels of
/// nested structs and lists. For deeper values, it calls the function of the library.
pub(super) fn skip(input: &mut Input<'_>, kind: TType, levels: u8) -> Result<(), thrift::Error> {
    match kind {
        TType::String => input.read_bytes().map(drop),
        TType::Struct if levels > 0 => {
            input.read_struct_begin()?;
            loop {
                let field = input.read_field_begin()?;
                if field.field_type == TType::Stop {
                    return input.read_struct_end();
                }
                skip(input, field.field_type, levels - 1)?;
                input.read_field_end()?;
            }
        }
        TType::List if levels > 0 => {
            let list = input.read_list_begin()?;
            for _ in 0..list.size {
                skip(input, list.element_type, levels - 1)?;
            }
            input.read_list_end()
        }
        other => input.skip(other),
    }
}

/// Appends a field to `out` in the Thrift compact protocol. `kind` is the type of the field in this protocol, and
/// `value` is the encoded value. `last` is the number of the previous field; afterwards, it is `id`, the number of this
/// field. The field header has the difference of both numbers or, if the difference is too large, `id` itself.
pub(super) fn write_field(out: &mut Vec<u8>, last: &mut i16, id: i16, kind: u8, value: &[u8]) {
    match u8::try_from(id.wrapping_sub(*last)) {
        Ok(delta @ 1..=14) => out.push(delta << 4 | kind),
        _ => {
            out.push(kind);
            varint(out, u32::from((id << 1 ^ id >> 15) as u16));
        }
    }
    out.extend_from_slice(value);
    *last = id;
}

/// Appends a number to `out` as a varint of the Thrift compact protocol.
fn varint(out: &mut Vec<u8>, mut number: u32) {
    while number > 0x7f {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[cfg(test)]
mod tests {
    use polars_parquet_format::thrift::protocol::{
        TCompactOutputProtocol, TFieldIdentifier, TOutputProtocol, TStructIdentifier,
    };

    use super::*;

    #[test]
    fn long_distances_between_fields_are_written_as_the_library_writes_them() {
        for id in [15, 16, 100, 300] {
            let mut expected = Vec::new();
            let mut output = TCompactOutputProtocol::new(&mut expected);
            output.write_struct_begin(&TStructIdentifier::new("s")).unwrap();
            output.write_field_begin(&TFieldIdentifier::new("f", TType::I32, id)).unwrap();
            output.write_i32(-1).unwrap();
            output.write_field_end().unwrap();
            output.write_field_stop().unwrap();
            output.write_struct_end().unwrap();
            let mut written = Vec::new();
            write_field(&mut written, &mut 0, id, 5, &[1]);
            written.push(0);
            assert_eq!(written, expected, "{id}");
        }
    }
}
