//! Tests Parquet files with timestamps of 96 bits (INT96), as Spark, Hive and Impala write them. Each timestamp is
//! exported exactly or refused. In the CSV output of a single column, NULL is `""`, because CSV readers skip empty
//! lines.
//!
//! polars does not write such timestamps. Most tests therefore write decimals of 12 bytes, and change their type in the
//! footer.

use std::path::Path;

use polars::prelude::{
    ArrowDataType, ArrowField, ArrowTimeUnit, Int128Chunked, IntoSeries, ListChunked, NamedFrom, Series, StructChunked,
};
use polars_arrow::datatypes::ArrowSchema;
use polars_parquet::write::schema_to_metadata_key;
use polars_parquet_format::{
    ColumnChunk, ColumnMetaData, CompressionCodec, DataPageHeader, DictionaryPageHeader, Encoding, FieldRepetitionType,
    FileMetaData, KeyValue, PageHeader, PageType, RowGroup, SchemaElement, Type,
    thrift::protocol::TCompactOutputProtocol,
};
use serde_json::json;

use super::{
    super::type_tests::exported,
    footer_tests::{column, write},
    tests::opened,
};
use crate::{error::JobError, format::Csv};

/// A timestamp: the days since 1970-01-01, and the nanoseconds since midnight.
type Moment = (i64, u64);

const LAST_OF_9999: i64 = 2_932_896;
const FIRST_OF_0001: i64 = -719_162;
const NOON: u64 = 43_200_000_000_000;

/// Encodes a timestamp as 12 bytes: the nanoseconds since midnight, and then the Julian day.
fn int96((days, nanos): Moment) -> [u8; 12] {
    let mut bytes = [0; 12];
    bytes[..8].copy_from_slice(&nanos.to_le_bytes());
    bytes[8..].copy_from_slice(&u32::try_from(days + 2_440_588).unwrap().to_le_bytes());
    bytes
}

/// Returns a column of decimals whose bytes are those of the timestamps `moments`.
fn decimals(name: &str, moments: &[Option<Moment>]) -> Series {
    let number = |moment: Moment| int96(moment).into_iter().fold(0, |number, byte| (number << 8) | i128::from(byte));
    let numbers: Int128Chunked = moments.iter().map(|moment| moment.map(number)).collect();
    // 28 digits take 12 bytes
    numbers.into_decimal_unchecked(28, 0).into_series().with_name(name.into())
}

/// Changes the type of all decimals in a footer to timestamps of 96 bits.
fn as_int96(footer: &mut FileMetaData) {
    for leaf in footer.schema.iter_mut().filter(|leaf| leaf.type_ == Some(Type::FIXED_LEN_BYTE_ARRAY)) {
        (leaf.type_, leaf.type_length) = (Some(Type::INT96), None);
        (leaf.converted_type, leaf.logical_type, leaf.precision, leaf.scale) = (None, None, None, None);
    }
    for index in 0..footer.row_groups[0].columns.len() {
        let about = column(footer, index);
        if about.type_ == Type::FIXED_LEN_BYTE_ARRAY {
            (about.type_, about.statistics) = (Type::INT96, None);
        }
    }
}

/// Exports a file as CSV, and returns its rows.
async fn rows(path: &Path) -> Result<Vec<String>, String> {
    let files = opened(path).await.map_err(|e| e.user_message())?;
    match exported(&files, &json!({}), &Csv).await {
        Ok(bytes) => Ok(String::from_utf8(bytes).unwrap().lines().skip(1).map(str::to_owned).collect()),
        Err(JobError::Dataset(error)) => Err(error.user_message()),
        Err(other) => panic!("{other}"),
    }
}

const FAR: &str = "a.parquet: column `at`: a moment of 96 bits lies before 1677-09-22 or after 2262-04-11";

#[tokio::test]
async fn each_digit_of_a_timestamp_of_96_bits_is_exported() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    let moments = [
        Some((0, 1)),
        None,
        Some((-1, 86_399_999_999_999)),
        Some((18_262, 45_296_123_456_789)),
        // the last and the first timestamp that 64 bits can hold
        Some((106_751, 85_636_854_775_807)),
        Some((-106_752, 763_145_224_192)),
    ];
    write(&path, vec![decimals("at", &moments)], as_int96);
    let expected = [
        "1970-01-01T00:00:00.000000001",
        "\"\"",
        "1969-12-31T23:59:59.999999999",
        "2020-01-01T12:34:56.123456789",
        "2262-04-11T23:47:16.854775807",
        "1677-09-21T00:12:43.145224192",
    ];
    assert_eq!(rows(&path).await.unwrap(), expected);
}

#[tokio::test]
async fn a_timestamp_of_96_bits_that_64_bits_can_not_hold_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    for far in [
        (LAST_OF_9999, 0),
        (LAST_OF_9999, 86_399_999_999_999),
        (FIRST_OF_0001, 0),
        (106_751, 85_636_854_775_808),
        (-106_752, 763_145_224_191),
    ] {
        write(&path, vec![decimals("at", &[Some((0, 0)), Some(far)])], as_int96);
        let error = rows(&path).await.unwrap_err();
        assert!(error.starts_with(FAR) && error.contains("write the column as"), "{far:?}: {error}");
    }
}

#[tokio::test]
async fn timestamps_of_96_bits_in_lists_and_records_are_exact_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    for (last, expected) in [((1, NOON + 7), Some("1970-01-02T12:00:00.000000007")), ((LAST_OF_9999, 0), None)] {
        let item = decimals("", &[Some((-1, 9)), None, Some(last)]);
        let list = ListChunked::from_iter([None, Some(item)]).into_series().with_name("at".into());
        write(&path, vec![list], as_int96);
        match expected {
            Some(text) => {
                let row = format!("\"[\"\"1969-12-31T00:00:00.000000009\"\",null,\"\"{text}\"\"]\"");
                assert_eq!(rows(&path).await.unwrap(), ["\"\"".to_owned(), row]);
            }
            None => assert!(rows(&path).await.unwrap_err().starts_with(FAR)),
        }
        let members = [Series::new("n".into(), [1_i64]), decimals("t", &[Some(last)])];
        let record = StructChunked::from_series("at".into(), 1, members.iter()).unwrap().into_series();
        write(&path, vec![record], as_int96);
        match expected {
            Some(text) => {
                let row = format!("\"{{\"\"n\"\":1,\"\"t\"\":\"\"{text}\"\"}}\"");
                assert_eq!(rows(&path).await.unwrap(), [row]);
            }
            None => assert!(rows(&path).await.unwrap_err().starts_with(FAR)),
        }
    }
}

#[tokio::test]
async fn a_stored_unit_gives_far_timestamps_and_cuts_no_digit() {
    use ArrowTimeUnit::{Microsecond, Millisecond, Second};
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    let far = "9999-12-31T12:00:00";
    for (unit, zone, nanos, expected) in [
        (Microsecond, None, 0, Some(far.to_owned())),
        (Microsecond, None, 1_000, Some(format!("{far}.000001"))),
        (Microsecond, Some("Europe/Berlin"), 0, Some(format!("{far}Z"))),
        (Microsecond, Some("+05:30"), 1_000, Some(format!("{far}.000001Z"))),
        (Microsecond, None, 1, None),
        (Microsecond, None, 999, None),
        (Millisecond, None, 1_000_000, Some(format!("{far}.001"))),
        (Millisecond, None, 1_000, None),
        (Second, None, 0, Some(far.to_owned())),
        (Second, None, 1, None),
    ] {
        let dtype = ArrowDataType::Timestamp(unit, zone.map(Into::into));
        let moments = [Some((LAST_OF_9999, NOON + nanos)), Some((FIRST_OF_0001, NOON)), None];
        write(&path, vec![decimals("at", &moments)], |footer| {
            as_int96(footer);
            let schema: ArrowSchema = [ArrowField::new("at".into(), dtype, true)].into_iter().collect();
            let stored = schema_to_metadata_key(&schema);
            footer.key_value_metadata = Some(vec![KeyValue { key: stored.key, value: stored.value }]);
        });
        match expected {
            Some(text) => {
                let read = rows(&path).await.unwrap();
                assert_eq!(read[0], text, "{unit:?} {zone:?}");
                assert!(read[1].starts_with("0001-01-01T12:00:00") && read[2] == "\"\"", "{read:?}");
            }
            None => {
                let error = rows(&path).await.unwrap_err();
                let is_clear = error.contains("more digits than the unit") && error.contains("write the column as");
                assert!(error.starts_with("a.parquet: column `at`: ") && is_clear, "{unit:?} {nanos}: {error}");
            }
        }
    }
}

/// Appends a Parquet page with a header and the bytes `body` to `out`.
fn page(out: &mut Vec<u8>, kind: PageType, body: &[u8], values: i32) {
    let is_dictionary = kind == PageType::DICTIONARY_PAGE;
    let data = DataPageHeader {
        num_values: values,
        encoding: Encoding::RLE_DICTIONARY,
        definition_level_encoding: Encoding::RLE,
        repetition_level_encoding: Encoding::RLE,
        statistics: None,
    };
    let dictionary = DictionaryPageHeader { num_values: values, encoding: Encoding::PLAIN, is_sorted: None };
    let header = PageHeader {
        type_: kind,
        uncompressed_page_size: body.len() as i32,
        compressed_page_size: body.len() as i32,
        crc: None,
        data_page_header: (!is_dictionary).then_some(data),
        index_page_header: None,
        dictionary_page_header: is_dictionary.then_some(dictionary),
        data_page_header_v2: None,
    };
    header.write_to_out_protocol(&mut TCompactOutputProtocol::new(&mut *out)).unwrap();
    out.extend_from_slice(body);
}

/// Returns a Parquet file with a dictionary of timestamps of 96 bits, as Spark writes it. `keys` are the indexes of 8
/// rows in `values`, the dictionary.
fn with_dictionary(values: &[Moment], keys: [u8; 8]) -> Vec<u8> {
    let mut out = b"PAR1".to_vec();
    let begin = out.len();
    let plain: Vec<u8> = values.iter().flat_map(|moment| int96(*moment)).collect();
    page(&mut out, PageType::DICTIONARY_PAGE, &plain, values.len() as i32);
    let data = out.len();
    // indexes of 8 bits in one group of 8 values
    page(&mut out, PageType::DATA_PAGE, &[&[8, 3], keys.as_slice()].concat(), keys.len() as i32);
    let size = (out.len() - begin) as i64;
    let element = |name: &str| SchemaElement {
        type_: None,
        type_length: None,
        repetition_type: Some(FieldRepetitionType::REQUIRED),
        name: name.to_owned(),
        num_children: None,
        converted_type: None,
        scale: None,
        precision: None,
        field_id: None,
        logical_type: None,
    };
    let root = SchemaElement { num_children: Some(1), ..element("root") };
    let leaf = SchemaElement { type_: Some(Type::INT96), ..element("at") };
    let about = ColumnMetaData {
        type_: Type::INT96,
        encodings: vec![Encoding::PLAIN, Encoding::RLE_DICTIONARY],
        path_in_schema: vec!["at".to_owned()],
        codec: CompressionCodec::UNCOMPRESSED,
        num_values: keys.len() as i64,
        total_uncompressed_size: size,
        total_compressed_size: size,
        key_value_metadata: None,
        data_page_offset: data as i64,
        index_page_offset: None,
        dictionary_page_offset: Some(begin as i64),
        statistics: None,
        encoding_stats: None,
        bloom_filter_offset: None,
        bloom_filter_length: None,
        size_statistics: None,
    };
    let chunk = ColumnChunk {
        file_path: None,
        file_offset: begin as i64,
        meta_data: Some(about),
        offset_index_offset: None,
        offset_index_length: None,
        column_index_offset: None,
        column_index_length: None,
        crypto_metadata: None,
        encrypted_column_metadata: None,
    };
    let group = RowGroup {
        columns: vec![chunk],
        total_byte_size: size,
        num_rows: keys.len() as i64,
        sorting_columns: None,
        file_offset: None,
        total_compressed_size: None,
        ordinal: None,
    };
    let footer = FileMetaData {
        version: 1,
        schema: vec![root, leaf],
        num_rows: keys.len() as i64,
        row_groups: vec![group],
        key_value_metadata: None,
        created_by: None,
        column_orders: None,
        encryption_algorithm: None,
        footer_signing_key_metadata: None,
    };
    let footer_at = out.len();
    footer.write_to_out_protocol(&mut TCompactOutputProtocol::new(&mut out)).unwrap();
    let length = (out.len() - footer_at) as u32;
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(b"PAR1");
    out
}

#[tokio::test]
async fn a_dictionary_of_timestamps_of_96_bits_is_exact_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    let keys = [0, 1, 1, 2, 0, 0, 2, 1];
    std::fs::write(&path, with_dictionary(&[(0, 1), (-1, NOON), (20_000, NOON + 123_456_789)], keys)).unwrap();
    let texts = ["1970-01-01T00:00:00.000000001", "1969-12-31T12:00:00", "2024-10-04T12:00:00.123456789"];
    let read = rows(&path).await.unwrap();
    let as_written = |text: &String| text.trim_end_matches(".000000000").to_owned();
    assert_eq!(read.iter().map(as_written).collect::<Vec<_>>(), keys.map(|key| texts[usize::from(key)]));
    std::fs::write(&path, with_dictionary(&[(0, 1), (LAST_OF_9999, 0), (0, 2)], keys)).unwrap();
    assert!(rows(&path).await.unwrap_err().starts_with(FAR));
}
