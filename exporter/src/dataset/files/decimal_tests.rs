//! Tests decimals of more than 128 bits in Parquet and Arrow files. The export has each digit of the file. In the CSV
//! output of a single column, NULL is `""`, because CSV readers skip empty lines.

use std::{fs::File, path::Path, sync::Arc};

use polars_arrow::{
    array::{Array, FixedSizeBinaryArray, ListArray},
    datatypes::{ArrowDataType, ArrowSchema, Field as ArrowField},
    io::ipc::write::{FileWriter as ArrowWriter, StreamWriter, WriteOptions as ArrowOptions},
    record_batch::RecordBatchT,
};
use polars_parquet::write::{
    CompressionOptions, Encoding, FileWriter, SchemaDescriptor, StatisticsOptions, Version, WriteOptions,
    row_group_iter, to_parquet_schema,
};
use serde_json::json;

use super::{tests::opened, type_tests::exported, *};
use crate::{error::JobError, format::Csv};

/// For each length from 17 to 32 bytes, the maximum number of digits such that all numbers with so many digits fit into
/// the length.
const DIGITS: [usize; 16] = [40, 43, 45, 47, 50, 52, 55, 57, 59, 62, 64, 67, 69, 71, 74, 76];

/// Encodes a whole number in two's complement in 32 bytes, with the least significant byte first.
fn encoded(number: &str) -> [u8; 32] {
    let mut bytes = [0_u8; 32];
    for digit in number.trim_start_matches('-').bytes() {
        let mut carry = u16::from(digit - b'0');
        for byte in &mut bytes {
            carry += u16::from(*byte) * 10;
            *byte = carry as u8;
            carry >>= 8;
        }
        assert_eq!(carry, 0, "{number} has at most 256 bits");
    }
    if number.starts_with('-') {
        let mut carry = true;
        for byte in &mut bytes {
            (*byte, carry) = (!*byte).overflowing_add(u8::from(carry));
        }
    }
    bytes
}

/// Returns whole numbers with up to `digits` digits, including numbers at the limit of 128 bits.
fn numbers(digits: usize) -> Vec<String> {
    let most = "9".repeat(digits);
    let large = format!("1{}", "0".repeat(digits - 1));
    let around = ["170141183460469231731687303715884105728", "170141183460469231731687303715884105727"];
    let some = [most.as_str(), &large, "1234567890", "5", "0"].into_iter().chain(around).filter(|n| n.len() <= digits);
    some.flat_map(|number| [number.to_owned(), format!("-{number}")]).filter(|number| number != "-0").collect()
}

/// Returns the text of a whole number with a decimal point before its last `scale` digits.
fn with_point(number: &str, scale: usize) -> String {
    let (sign, digits) = number.strip_prefix('-').map_or(("", number), |digits| ("-", digits));
    let mut digits = digits.to_owned();
    while digits.len() <= scale {
        digits.insert(0, '0');
    }
    if scale > 0 {
        digits.insert(digits.len() - scale, '.');
    }
    sign.to_owned() + &digits
}

/// Returns an array with the 32 bytes of each number, and NULL at the end.
fn bytes(numbers: &[String]) -> Box<dyn Array> {
    let mut bytes: Vec<u8> = numbers.iter().flat_map(|number| encoded(number)).collect();
    bytes.extend([7; 32]);
    let is_some: Vec<_> = (0..=numbers.len()).map(|row| row < numbers.len()).collect();
    FixedSizeBinaryArray::new(ArrowDataType::FixedSizeBinary(32), bytes.into(), Some(is_some.into())).boxed()
}

/// Returns an array of two lists. The first list has one value, and the second list has all other values.
fn list_of(item: ArrowDataType, values: Box<dyn Array>) -> Box<dyn Array> {
    let dtype = ArrowDataType::LargeList(Box::new(ArrowField::new("item".into(), item, true)));
    let offsets = vec![0, 1, values.len() as i64].try_into().unwrap();
    ListArray::<i64>::new(dtype, offsets, values, None).boxed()
}

/// Exports a file as CSV, and returns its rows.
async fn rows(dir: &Path, name: &str) -> Result<Vec<String>, String> {
    let kind = FileKind::from_name(name).unwrap();
    let files = opened("d", Location::Local(dir.join(name)), kind, &[]).await.map_err(|e| e.user_message())?;
    match exported(&files, &json!({}), &Csv).await {
        Ok(bytes) => Ok(String::from_utf8(bytes).unwrap().lines().skip(1).map(str::to_owned).collect()),
        Err(JobError::Dataset(error)) => Err(error.user_message()),
        Err(other) => panic!("{other}"),
    }
}

/// Writes a column to an Arrow file or stream. polars can't write decimals of 256 bits. Therefore `array` has 32 bytes
/// in place of each decimal of `field`; both types have the same bytes in a file.
fn write_arrow(dir: &Path, name: &str, field: ArrowField, array: Box<dyn Array>) {
    let schema: Arc<ArrowSchema> = Arc::new([field].into_iter().collect());
    let stored = ArrowField::new("d".into(), array.dtype().clone(), true);
    let batch = RecordBatchT::new(array.len(), Arc::new([stored].into_iter().collect()), vec![array]);
    let (file, options) = (File::create(dir.join(name)).unwrap(), ArrowOptions { compression: None });
    if name.ends_with(".arrows") {
        let mut writer = StreamWriter::new(file, options);
        writer.start(&schema, None).unwrap();
        writer.write(&batch, None).unwrap();
        writer.finish().unwrap();
    } else {
        let mut writer = ArrowWriter::try_new(file, schema, None, options).unwrap();
        writer.write(&batch, None).unwrap();
        writer.finish().unwrap();
    }
}

/// Writes the values `array` to the only column of a Parquet file. `field` is the Arrow field of the column, and
/// `message` is the Parquet schema.
fn write_parquet(dir: &Path, message: &str, field: ArrowField, array: Box<dyn Array>) {
    let arrow: ArrowSchema = [field].into_iter().collect();
    let options = WriteOptions {
        statistics: StatisticsOptions::empty(),
        version: Version::V1,
        compression: CompressionOptions::Uncompressed,
        data_page_size: None,
    };
    let kinds = to_parquet_schema(&arrow).unwrap().fields().to_vec();
    let schema = SchemaDescriptor::try_from_message(message).unwrap();
    let rows = array.len();
    let batch = RecordBatchT::new(rows, Arc::new(arrow.clone()), vec![array]);
    let group = row_group_iter(batch, vec![vec![Encoding::Plain]].into(), kinds, options);
    let file = File::create(dir.join("a.parquet")).unwrap();
    let mut writer = FileWriter::new_with_parquet_schema(file, arrow, schema, options);
    writer.write(rows as u64, group).unwrap();
    writer.end(Some(Vec::new())).unwrap();
}

#[tokio::test]
async fn decimals_of_17_to_32_bytes_in_parquet_keep_each_digit() {
    let dir = tempfile::tempdir().unwrap();
    for (width, most) in (17..=32).zip(DIGITS) {
        // decimals of at most 38 digits stay decimals
        for (digits, scale) in [(most, 0), (most, 7), (most, most), (39, 12), (38, 5), (20, 20)] {
            let numbers = numbers(digits);
            let mut bytes: Vec<u8> = numbers
                .iter()
                .flat_map(|number| encoded(number)[..width].iter().rev().copied().collect::<Vec<_>>())
                .collect();
            bytes.extend(vec![7; width]);
            let is_some: Vec<_> = (0..=numbers.len()).map(|row| row < numbers.len()).collect();
            let dtype = ArrowDataType::FixedSizeBinary(width);
            let array = FixedSizeBinaryArray::new(dtype.clone(), bytes.into(), Some(is_some.into())).boxed();
            let message =
                format!("message m {{ optional fixed_len_byte_array({width}) d (DECIMAL({digits}, {scale})); }}");
            write_parquet(dir.path(), &message, ArrowField::new("d".into(), dtype, true), array);
            let mut expected: Vec<_> = numbers.iter().map(|number| with_point(number, scale)).collect();
            expected.push("\"\"".to_owned());
            assert_eq!(rows(dir.path(), "a.parquet").await.unwrap(), expected, "{width} bytes, {digits} digits");
        }
    }
}

#[tokio::test]
async fn decimals_of_256_bits_in_lists_of_arrow_keep_each_digit() {
    let dir = tempfile::tempdir().unwrap();
    for (digits, scale) in [(39, 0), (39, 39), (76, 2), (76, 76)] {
        let numbers = numbers(digits);
        let item = ArrowField::new("item".into(), ArrowDataType::Decimal256(digits, scale), true);
        let field = ArrowField::new("d".into(), ArrowDataType::LargeList(Box::new(item)), true);
        let stored = list_of(ArrowDataType::FixedSizeBinary(32), bytes(&numbers));
        write_arrow(dir.path(), "a.arrow", field.clone(), stored.clone());
        write_arrow(dir.path(), "a.arrows", field, stored);
        let texts: Vec<_> = numbers.iter().map(|number| format!("\"\"{}\"\"", with_point(number, scale))).collect();
        let expected = [format!("\"[{}]\"", texts[0]), format!("\"[{},null]\"", texts[1..].join(","))];
        for name in ["a.arrow", "a.arrows"] {
            assert_eq!(rows(dir.path(), name).await.unwrap(), expected, "{name}, {digits} digits");
        }
    }
}

#[tokio::test]
async fn decimals_of_256_bits_in_arrow_keep_each_digit() {
    let dir = tempfile::tempdir().unwrap();
    for (digits, scale) in [(39, 0), (39, 1), (39, 39), (57, 30), (76, 0), (76, 38), (76, 76), (38, 3), (5, 5)] {
        let numbers = numbers(digits);
        let field = ArrowField::new("d".into(), ArrowDataType::Decimal256(digits, scale), true);
        let mut expected: Vec<_> = numbers.iter().map(|number| with_point(number, scale)).collect();
        expected.push("\"\"".to_owned());
        for name in ["a.arrow", "a.arrows"] {
            write_arrow(dir.path(), name, field.clone(), bytes(&numbers));
            assert_eq!(rows(dir.path(), name).await.unwrap(), expected, "{name}, {digits} digits, {scale}");
        }
    }
}
