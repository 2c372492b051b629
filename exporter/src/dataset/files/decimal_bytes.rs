//! Decodes decimals that files store as bytes and that polars can't decode. In Arrow IPC files, these are decimals of
//! 32 bytes. In Parquet files, these are decimals of variable length (BYTE_ARRAY), and of a fixed length of more than
//! 16 bytes.

use std::sync::Arc;

use polars::prelude::{ArrowDataType, ArrowField, PlSmallStr};
use polars_arrow::{
    array::{Array, BinaryViewArray, FixedSizeBinaryArray, MutableBinaryViewArray, PrimitiveArray},
    datatypes::UnionType,
    types::i256,
};

use super::dictionaries;

/// The metadata key that marks a field whose values are decimals stored as bytes. The metadata value states the number
/// of digits, the number of digits after the point, and whether the most significant byte comes first.
const DECIMAL: PlSmallStr = PlSmallStr::from_static("sluice:decimal256");
/// The maximum number of digits of a decimal in a data frame.
pub(super) const MAX_DIGITS: usize = 38;
/// The number of bytes of a 256-bit decimal. Larger decimals can't be decoded.
const BYTES: usize = size_of::<i256>();

/// The reason why a value can't be converted, as a text without the value.
type Cause = &'static str;
const OTHER_TYPE: Cause = "its array is of another type than its schema states: the file is damaged";
const TOO_LONG: Cause = "a decimal has more digits than its column states: the file is damaged";
const NO_BYTES: Cause = "a decimal has no bytes: the file is damaged";

/// The format in which decimals are stored as bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DecimalBytes {
    digits: usize,
    scale: usize,
    is_big_endian: bool,
}

/// Returns `field` with the type `bytes`, and with metadata that mark its values as decimals stored as bytes. `digits`
/// is the number of digits, and `scale` is the number of digits after the point. `is_big_endian` is true if the most
/// significant byte comes first.
pub(super) fn marked(
    field: &ArrowField,
    bytes: ArrowDataType,
    (digits, scale): (usize, usize),
    is_big_endian: bool,
) -> ArrowField {
    let mut metadata = field.metadata.as_deref().cloned().unwrap_or_default();
    metadata.insert(DECIMAL, format!("{digits} {scale} {is_big_endian}").into());
    ArrowField { dtype: bytes, metadata: Some(Arc::new(metadata)), ..field.clone() }
}

/// Returns `field` with bytes in place of 256-bit decimals, and with a mark (see [`marked`]), because polars can't
/// decode such decimals in Arrow IPC files. Also replaces decimals within lists, records, unions and dictionaries. The
/// field of a dictionary gets the mark of its values. `little_endian` is true if the file stores the least significant
/// byte first.
pub(super) fn with_decimal_bytes(field: &ArrowField, little_endian: bool) -> ArrowField {
    use ArrowDataType as Type;
    let boxed = |field: &ArrowField| Box::new(with_decimal_bytes(field, little_endian));
    let dtype = match &field.dtype {
        Type::Decimal256(digits, scale) => {
            return marked(field, Type::FixedSizeBinary(BYTES), (*digits, *scale), !little_endian);
        }
        Type::List(item) => Type::List(boxed(item)),
        Type::LargeList(item) => Type::LargeList(boxed(item)),
        Type::FixedSizeList(item, width) => Type::FixedSizeList(boxed(item), *width),
        Type::Map(entries, sorted) => Type::Map(boxed(entries), *sorted),
        Type::Struct(members) => Type::Struct(members.iter().map(|member| *boxed(member)).collect()),
        Type::Union(union) => {
            let fields = union.fields.iter().map(|member| *boxed(member)).collect();
            Type::Union(Box::new(UnionType { fields, ..union.as_ref().clone() }))
        }
        Type::Dictionary(key, values, ordered) => {
            let values = with_decimal_bytes(&dictionaries::values_field(field, values), little_endian);
            let dtype = Type::Dictionary(*key, Box::new(values.dtype.clone()), *ordered);
            return ArrowField { dtype, ..values };
        }
        other => other.clone(),
    };
    ArrowField { dtype, ..field.clone() }
}

impl DecimalBytes {
    /// Returns the format in which the decimals of a field are stored; None if the field has no mark of decimals stored
    /// as bytes.
    pub(super) fn of(field: &ArrowField) -> Option<Self> {
        if !matches!(field.dtype, ArrowDataType::FixedSizeBinary(_) | ArrowDataType::BinaryView) {
            return None;
        }
        let mut parts = field.metadata.as_deref()?.get(&DECIMAL)?.split(' ');
        let (digits, scale) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        Some(Self { digits, scale, is_big_endian: parts.next()?.parse().ok()? })
    }

    /// Returns the type of the converted decimals. Decimals of more than [`MAX_DIGITS`] digits become text.
    pub(super) const fn dtype(self) -> ArrowDataType {
        if self.digits > MAX_DIGITS { ArrowDataType::Utf8View } else { ArrowDataType::Decimal(self.digits, self.scale) }
    }

    /// Converts an array of decimals in bytes to an array of the type [`DecimalBytes::dtype`].
    ///
    /// # Errors
    /// When the array holds other values than bytes, or a value is empty or does not fit the type.
    pub(super) fn convert(self, array: &dyn Array) -> Result<Box<dyn Array>, Cause> {
        let number = |bytes: Option<&[u8]>| bytes.map(|bytes| self.number(bytes)).transpose();
        let numbers: Vec<Option<i256>> = if let Some(fixed) = array.as_any().downcast_ref::<FixedSizeBinaryArray>() {
            fixed.iter().map(number).collect::<Result<_, _>>()?
        } else {
            let views: &BinaryViewArray = array.as_any().downcast_ref().ok_or(OTHER_TYPE)?;
            views.iter().map(number).collect::<Result<_, _>>()?
        };
        if self.digits > MAX_DIGITS {
            return Ok(texts(&PrimitiveArray::from(numbers), self.scale));
        }
        let narrow = numbers.into_iter().map(|number| number.map(i128::try_from).transpose().map_err(|_| TOO_LONG));
        let narrow = narrow.collect::<Result<Vec<_>, _>>()?;
        Ok(PrimitiveArray::<i128>::from(narrow).to(self.dtype()).boxed())
    }

    /// Decodes a number in two's complement. Returns an error if there are no bytes, or if the number has more than 256
    /// bits.
    fn number(self, bytes: &[u8]) -> Result<i256, Cause> {
        let mut ordered = bytes.to_vec();
        if self.is_big_endian {
            ordered.reverse();
        }
        let sign = ordered.last().ok_or(NO_BYTES)? & 0x80;
        let fill = if sign == 0 { 0 } else { 0xff };
        let kept = ordered.len().min(BYTES);
        // further bytes may only repeat the sign
        if ordered[kept..].iter().any(|byte| *byte != fill) || ordered[kept - 1] & 0x80 != sign {
            return Err(TOO_LONG);
        }
        ordered.resize(BYTES, fill);
        let (low, high) = ordered.split_at(size_of::<i128>());
        let word = |half: &[u8]| half.try_into().map(i128::from_le_bytes).map_err(|_| TOO_LONG);
        Ok(i256::from_words(word(high)?, word(low)?))
    }
}

/// Converts whole numbers to the texts of decimals with `scale` digits after the point.
pub(super) fn texts(array: &PrimitiveArray<i256>, scale: usize) -> Box<dyn Array> {
    let mut texts = MutableBinaryViewArray::<str>::with_capacity(array.len());
    for value in array.iter() {
        texts.push(value.map(|value| text(&value.to_string(), scale)));
    }
    texts.freeze().boxed()
}

/// Returns the text of a whole number with a decimal point before its last `scale` digits.
fn text(number: &str, scale: usize) -> String {
    let (sign, digits) = number.strip_prefix('-').map_or(("", number), |digits| ("-", digits));
    if scale == 0 {
        return number.to_owned();
    }
    let padded = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = padded.split_at(padded.len() - scale);
    format!("{sign}{whole}.{fraction}")
}

#[cfg(test)]
mod tests {
    use polars_arrow::array::Utf8ViewArray;

    use super::*;

    fn plain(dtype: ArrowDataType) -> ArrowField {
        ArrowField::new("d".into(), dtype, true)
    }

    #[test]
    fn the_point_is_set_into_the_digits() {
        for (number, scale, expected) in
            [("12345", 2, "123.45"), ("-5", 3, "-0.005"), ("0", 1, "0.0"), ("-7", 0, "-7"), ("1000", 3, "1.000")]
        {
            assert_eq!(text(number, scale), expected);
        }
    }

    #[test]
    fn decimals_of_32_bytes_keep_each_digit_in_both_orders_of_bytes() {
        for (digits, expected) in [(39, "-0.03"), (20, "")] {
            for little_endian in [true, false] {
                let field = with_decimal_bytes(&plain(ArrowDataType::Decimal256(digits, 2)), little_endian);
                let mut bytes = vec![0xff; 32];
                // -3 in two's complement
                bytes[0] = 0xfd;
                if !little_endian {
                    bytes.reverse();
                }
                let array = FixedSizeBinaryArray::new(field.dtype.clone(), bytes.into(), None);
                let converted = DecimalBytes::of(&field).unwrap().convert(&array).unwrap();
                match converted.as_any().downcast_ref::<Utf8ViewArray>() {
                    Some(texts) => assert_eq!(texts.value(0), expected),
                    None => {
                        let numbers = converted.as_any().downcast_ref::<PrimitiveArray<i128>>().unwrap();
                        assert_eq!((numbers.value(0), numbers.dtype()), (-3, &ArrowDataType::Decimal(20, 2)));
                    }
                }
            }
        }
    }

    #[test]
    fn decimals_of_any_number_of_bytes_are_exact_or_refused() {
        let field = marked(&plain(ArrowDataType::Decimal(38, 2)), ArrowDataType::BinaryView, (38, 2), true);
        let about = DecimalBytes::of(&field).unwrap();
        let convert = |bytes: Option<&[u8]>| {
            let array = about.convert(&BinaryViewArray::from_slice([bytes]))?;
            let numbers = array.as_any().downcast_ref::<PrimitiveArray<i128>>().unwrap();
            Ok(numbers.iter().next().flatten().copied())
        };
        assert_eq!(convert(None), Ok(None));
        assert_eq!(convert(Some(b"\x01\x00")), Ok(Some(256)));
        assert_eq!(convert(Some(b"\xff")), Ok(Some(-1)));
        assert_eq!(convert(Some(b"\x00\xff")), Ok(Some(255)));
        // 40 bytes that repeat the sign
        assert_eq!(convert(Some(&[[0xff; 39].as_slice(), b"\xfe"].concat())), Ok(Some(-2)));
        assert_eq!(convert(Some(&[0x7f; 17])), Err(TOO_LONG));
        assert_eq!(convert(Some(&[b"\x00", [0xff; 32].as_slice()].concat())), Err(TOO_LONG));
        assert_eq!(convert(Some(b"")), Err(NO_BYTES));
    }
}
