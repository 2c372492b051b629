//! Decodes PostgreSQL's binary `numeric` into exact text.

/// The sign field of a negative binary `numeric`. In a positive `numeric`, the field is 0. The next three constants are
/// the values of the field for NaN and for the two infinities.
const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xC000;
const INFINITE: u16 = 0xD000;
const MINUS_INFINITE: u16 = 0xF000;

/// Decodes `wire`, a binary `numeric`, and appends its text to `out`. The text has as many decimal places as the scale
/// of the `numeric`. Returns None if the bytes are not a valid `numeric`.
pub(super) fn write(out: &mut String, wire: &[u8]) -> Option<()> {
    let word = |at: usize| Some(u16::from_be_bytes(wire.get(at..at + 2)?.try_into().ok()?));
    let digits = usize::from(word(0)?);
    let weight = i32::from(word(2)?.cast_signed());
    let (sign, scale) = (word(4)?, usize::from(word(6)?));
    if wire.len() != 8 + 2 * digits {
        return None;
    }
    match sign {
        NAN => out.push_str("NaN"),
        INFINITE => out.push_str("Infinity"),
        MINUS_INFINITE => out.push_str("-Infinity"),
        0 | NEGATIVE => {
            if sign == NEGATIVE {
                out.push('-');
            }
            // each group has four decimal digits; the first group has the weight 10000^weight
            let group = |power: i32| -> u16 {
                let index = usize::try_from(weight - power).ok();
                index.filter(|index| *index < digits).and_then(|index| word(8 + 2 * index)).unwrap_or(0)
            };
            push_whole(out, weight, &group);
            if scale > 0 {
                out.push('.');
                let end = out.len() + scale;
                let mut power = -1;
                while out.len() < end {
                    push_padded(out, group(power));
                    power -= 1;
                }
                out.truncate(end);
            }
        }
        _ => return None,
    }
    Some(())
}

fn push_whole(out: &mut String, weight: i32, group: &impl Fn(i32) -> u16) {
    if weight < 0 {
        out.push('0');
        return;
    }
    out.push_str(itoa::Buffer::new().format(group(weight)));
    for power in (0..weight).rev() {
        push_padded(out, group(power));
    }
}

fn push_padded(out: &mut String, group: u16) {
    for divisor in [1000, 100, 10, 1] {
        out.push(char::from(b'0' + (group / divisor % 10) as u8));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(weight: i16, sign: u16, scale: u16, digits: &[u16]) -> Option<String> {
        let head = [digits.len() as u16, weight.cast_unsigned(), sign, scale];
        let wire: Vec<u8> = head.iter().chain(digits).flat_map(|word| word.to_be_bytes()).collect();
        let mut out = String::new();
        write(&mut out, &wire).map(|()| out)
    }

    #[test]
    fn numerics_keep_all_their_digits() {
        for (weight, sign, scale, digits, expected) in [
            (0, 0, 0, vec![], "0"),
            (0, 0, 2, vec![], "0.00"),
            (0, 0, 2, vec![12, 3400], "12.34"),
            (0, NEGATIVE, 2, vec![12, 3400], "-12.34"),
            (1, 0, 0, vec![1, 5], "10005"),
            (2, 0, 0, vec![1], "100000000"),
            (-1, 0, 4, vec![1], "0.0001"),
            (-2, 0, 8, vec![1], "0.00000001"),
            (-2, 0, 5, vec![1000], "0.00001"),
            (0, NAN, 0, vec![], "NaN"),
            (0, INFINITE, 0, vec![], "Infinity"),
            (0, MINUS_INFINITE, 0, vec![], "-Infinity"),
        ] {
            assert_eq!(text(weight, sign, scale, &digits).as_deref(), Some(expected));
        }
        assert_eq!(text(0, 0x1234, 0, &[]), None);
        assert!(write(&mut String::new(), &[0, 9, 0, 0, 0, 0, 0, 0]).is_none());
    }
}
