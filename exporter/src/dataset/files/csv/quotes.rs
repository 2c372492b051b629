//! Finds fields with text after their closing quote, such as `"a\"b"` or `"a" b`. The CSV parser would join both parts
//! to one field. But a file with such a field follows other rules: it escapes quotes in another way, or its quotes are
//! ordinary characters.
//!
//! Also finds fields that are empty between quotes (`""`), because the CSV parser does not distinguish them from empty
//! fields without quotes.

use std::collections::VecDeque;

/// Searches the bytes of a file for the first field with text after its closing quote, and for all fields that are
/// empty between quotes (`""`). The search must start at the beginning of a record.
pub(super) struct QuoteCheck {
    delimiter: u8,
    state: State,
    /// The file offset of the next byte to search.
    seen: u64,
    fault: Option<u64>,
    /// Whether the file has ended within a quoted field.
    pub(super) is_open_at_end: bool,
    /// The index of the current field in its record.
    field: usize,
    /// The file offset after the opening quote of the current quoted field. After that field has ended, the value stays
    /// until the next quoted field.
    opened: u64,
    /// Whether the current field so far consists of two quotes with nothing between them.
    is_empty: bool,
    /// The fields that are empty between quotes. Each item has the file offset after the opening quote of the field,
    /// and the index of the field in its record. [`QuoteCheck::take_empty`] removes the items.
    empty: VecDeque<(u64, usize)>,
}

/// The position of the search in the current field.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// The search is before the first character of a field.
    Begin,
    /// The search is in a field without quotes around it.
    Plain,
    /// The search is in a quoted field.
    Quoted,
    /// The search is after a quote in a quoted field. This quote either closes the field, or is the first of two quotes
    /// that stand for one quote character.
    Quote,
}

impl QuoteCheck {
    /// Creates a check that begins at the offset `begin` of a file whose fields are separated by `delimiter`.
    pub(super) const fn new(delimiter: u8, begin: u64) -> Self {
        Self {
            delimiter,
            state: State::Begin,
            seen: begin,
            fault: None,
            is_open_at_end: false,
            field: 0,
            opened: 0,
            is_empty: false,
            empty: VecDeque::new(),
        }
    }

    /// Searches the next bytes of the file. After it has found a field with text after its closing quote, ignores all
    /// further bytes.
    pub(super) fn pass(&mut self, bytes: &[u8]) {
        if self.fault.is_some() {
            return;
        }
        let mut state = self.state;
        for (at, byte) in bytes.iter().enumerate() {
            let ends_field = *byte == self.delimiter || matches!(byte, b'\n' | b'\r');
            state = match (state, byte) {
                (State::Begin, b'"') => {
                    self.opened = self.seen + at as u64 + 1;
                    State::Quoted
                }
                (State::Quote, b'"') => {
                    self.is_empty = false;
                    State::Quoted
                }
                (State::Quoted, b'"') => {
                    self.is_empty = self.opened == self.seen + at as u64;
                    State::Quote
                }
                (State::Quoted, _) => State::Quoted,
                _ if ends_field => {
                    self.end_field(state, *byte);
                    State::Begin
                }
                (State::Quote, _) => {
                    self.fault = Some(self.seen + at as u64);
                    return;
                }
                _ => State::Plain,
            };
        }
        self.state = state;
        self.seen += bytes.len() as u64;
    }

    /// Ends the current field. `state` is the position of the search in the field before `end`, the byte after the
    /// field. This byte is the delimiter or the first byte of a line end.
    fn end_field(&mut self, state: State, end: u8) {
        if state == State::Quote && std::mem::take(&mut self.is_empty) {
            self.empty.push_back((self.opened, self.field));
        }
        self.field = if end == self.delimiter { self.field + 1 } else { 0 };
    }

    /// Removes all empty quoted fields that begin before this offset. Replaces the content of `indexes` by the index of
    /// each of these fields in its record.
    pub(super) fn take_empty(&mut self, offset: u64, indexes: &mut Vec<usize>) {
        indexes.clear();
        while let Some((_, index)) = self.empty.pop_front_if(|(at, _)| *at < offset) {
            indexes.push(index);
        }
    }

    /// Finishes the last field, which may have no line end after it, and sets [`Self::is_open_at_end`]. The caller must
    /// call this method at the end of the file.
    pub(super) fn end(&mut self) {
        self.is_open_at_end = self.state == State::Quoted;
        self.end_field(self.state, b'\n');
    }

    /// Whether a field before this offset has text after its closing quote.
    pub(super) fn has_fault_before(&self, offset: u64) -> bool {
        self.fault.is_some_and(|fault| fault < offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> Option<u64> {
        // every split of the bytes finds the same fault
        let of = |step: usize| {
            let mut check = QuoteCheck::new(b',', 0);
            text.as_bytes().chunks(step).for_each(|bytes| check.pass(bytes));
            check.fault
        };
        assert_eq!(of(1), of(text.len()), "{text}");
        of(1)
    }

    #[test]
    fn text_after_a_closing_quote_is_found() {
        for (text, at) in [
            ("\"a\" b,c\n", 3),
            ("a,\"b\\\"c\"\n", 6),
            ("a\n\"b\"\"c\"d\n", 8),
            ("\"a\r\nb\"\t,c", 6),
            ("\"a\";\"b\"", 3),
        ] {
            assert_eq!(fault(text), Some(at), "{text}");
        }
        for text in [
            "\"a\",\"b\"\n",
            "\"a\"\"b\"\r\n\"\"\r\n",
            "\"\"\"\",\"\"\n",
            "5\" pipe,a\"b\" c\n",
            " \"a\" b,c\n",
            "\"a,\nb\"\n\"",
        ] {
            assert_eq!(fault(text), None, "{text}");
        }
        let mut check = QuoteCheck::new(b',', 10);
        check.pass(b"\"a\"b");
        assert!(!check.has_fault_before(13) && check.has_fault_before(14));
    }
}
