//! Tests Parquet files whose footers have forms that only some writers use. Damaged and unsupported footers are refused
//! with an error that states the reason.

use std::path::Path;

use futures::TryStreamExt;
use polars::prelude::{
    DataFrame, IntoColumn, IntoSeries, NamedFrom, ParquetCompression, ParquetWriter, Series, StructChunked,
};
use polars_parquet_format::{
    AesGcmV1, ColumnMetaData, ConvertedType, EncryptionAlgorithm, FieldRepetitionType, FileMetaData, SchemaElement,
    thrift::protocol::{TCompactInputProtocol, TCompactOutputProtocol},
};
use protocol::filter::Filter;
use serde_json::Map;

use super::tests::opened;
use crate::dataset::{Dataset, Query};

/// The number of bytes after a footer: four for its length, and four for the magic number.
const TAIL: usize = 8;

/// Writes `columns` to a Parquet file without compression, and then applies `change` to its footer.
pub(super) fn write(path: &Path, columns: Vec<Series>, change: impl FnOnce(&mut FileMetaData)) {
    let columns: Vec<_> = columns.into_iter().map(IntoColumn::into_column).collect();
    let mut frame = DataFrame::new(columns[0].len(), columns).unwrap();
    let mut file = Vec::new();
    ParquetWriter::new(&mut file).with_compression(ParquetCompression::Uncompressed).finish(&mut frame).unwrap();
    let end = file.len() - TAIL;
    let begin = end - u32::from_le_bytes(file[end..end + 4].try_into().unwrap()) as usize;
    let mut input = TCompactInputProtocol::new(&file[begin..end], usize::MAX);
    let mut footer = FileMetaData::read_from_in_protocol(&mut input).unwrap();
    // the stored Arrow schema would restore the types of the frame
    footer.key_value_metadata = None;
    change(&mut footer);
    file.truncate(begin);
    footer.write_to_out_protocol(&mut TCompactOutputProtocol::new(&mut file)).unwrap();
    let length = (file.len() - begin) as u32;
    file.extend_from_slice(&length.to_le_bytes());
    file.extend_from_slice(b"PAR1");
    std::fs::write(path, file).unwrap();
}

pub(super) fn column(footer: &mut FileMetaData, index: usize) -> &mut ColumnMetaData {
    footer.row_groups[0].columns[index].meta_data.as_mut().unwrap()
}

/// Changes a leaf column of the schema to decimals with two digits after the point.
pub(super) fn as_decimal(leaf: &mut SchemaElement, digits: i32) {
    (leaf.converted_type, leaf.logical_type) = (Some(ConvertedType::DECIMAL), None);
    (leaf.precision, leaf.scale) = (Some(digits), Some(2));
}

/// Reads all rows of a file twice: in whole row groups, and in small row windows. Returns each value as text, or the
/// text of the error.
pub(super) async fn read(path: &Path) -> Result<Vec<Vec<String>>, String> {
    let files = opened(path).await.map_err(|e| e.user_message())?;
    let columns: Vec<_> = files.info().columns.iter().map(|column| column.name.clone()).collect();
    let mut found = None;
    for limit in [None, Some(u64::MAX)] {
        let query = Query { columns: columns.clone(), filter: Filter::all(), params: Map::new(), limit };
        let frames: Vec<_> =
            files.open(&query).await.unwrap().frames.try_collect().await.map_err(|e| e.user_message())?;
        let frame = frames.into_iter().reduce(|all, frame| all.vstack(&frame).unwrap()).unwrap();
        let rows = (0..frame.height()).map(|row| frame.columns().iter().map(|column| shown(column, row)).collect());
        let rows: Vec<Vec<String>> = rows.collect();
        assert_eq!(*found.get_or_insert_with(|| rows.clone()), rows);
    }
    Ok(found.unwrap())
}

fn shown(column: &polars::prelude::Column, row: usize) -> String {
    let value = column.get(row).unwrap();
    value.get_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[tokio::test]
async fn a_dictionary_whose_header_is_not_counted_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    let texts: Vec<_> = (0..500).map(|at| format!("text {}", at % 3)).collect();
    let of = |uncounted: i64| {
        let columns = vec![Series::new("t".into(), &texts), Series::new("n".into(), (0..500_i64).collect::<Vec<_>>())];
        write(&path, columns, |footer| {
            let about = column(footer, 0);
            assert!(about.dictionary_page_offset.is_some());
            about.total_compressed_size -= uncounted;
        });
        read(&path)
    };
    let rows = of(15).await.unwrap();
    assert_eq!((rows.len(), rows[499][0].as_str(), rows[499][1].as_str()), (500, "text 1", "499"));
    let error = of(101).await.unwrap_err();
    assert!(error.starts_with("a.parquet: column `t`: ") && error.contains("damaged"), "{error}");
}

#[tokio::test]
async fn a_column_outside_of_the_file_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    for offset in [i64::MAX - 1_000, 1 << 40] {
        write(&path, vec![Series::new("n".into(), [1_i64, 2])], |footer| {
            let about = column(footer, 0);
            (about.data_page_offset, about.dictionary_page_offset) = (offset, None);
        });
        let error = read(&path).await.unwrap_err();
        assert!(error.starts_with("a.parquet: column `n`: ") && error.contains("outside of the file"), "{error}");
    }
}

#[tokio::test]
async fn an_encrypted_column_is_called_encrypted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    write(&path, vec![Series::new("n".into(), [1_i64, 2])], |footer| {
        column(footer, 0).data_page_offset = 1 << 40;
        column(footer, 0).dictionary_page_offset = None;
        // encrypted bytes are not UTF-8
        footer.row_groups[0].columns[0].encrypted_column_metadata = Some(vec![0xff; 20]);
        let algorithm = AesGcmV1 { aad_prefix: None, aad_file_unique: Some(vec![0xfe; 8]), supply_aad_prefix: None };
        footer.encryption_algorithm = Some(EncryptionAlgorithm::AESGCMV1(algorithm));
    });
    let error = read(&path).await.unwrap_err();
    assert!(error.contains("encrypted"), "{error}");
}

#[tokio::test]
async fn decimals_of_any_number_of_bytes_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    let bytes = |name: &str, values: [Option<&[u8]>; 3]| Series::new(name.into(), values);
    let values = [Some(&b"\x30\x39"[..]), None, Some(b"\xff")];
    for digits in [38, 76] {
        write(&path, vec![bytes("d", values)], |footer| as_decimal(&mut footer.schema[1], digits));
        assert_eq!(read(&path).await.unwrap(), [["123.45"], ["null"], ["-0.01"]], "{digits}");
        let members = [bytes("d", values), bytes("other", values)];
        let record = StructChunked::from_series("r".into(), 3, members.iter()).unwrap().into_series();
        write(&path, vec![record], |footer| as_decimal(&mut footer.schema[2], digits));
        let rows = read(&path).await.unwrap();
        let expected =
            [r#"{"d":"123.45","other":"\\x3039"}"#, r#"{"d":null,"other":null}"#, r#"{"d":"-0.01","other":"\\xff"}"#];
        assert_eq!(rows.concat(), expected, "{digits}");
    }
    write(&path, vec![bytes("d", [Some(b""), None, Some(b"\x01")])], |footer| as_decimal(&mut footer.schema[1], 9));
    let error = read(&path).await.unwrap_err();
    assert!(error.starts_with("a.parquet: column `d`: a decimal has no bytes"), "{error}");
}

#[tokio::test]
async fn a_text_that_is_not_utf8_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    let texts = Series::new("t".into(), [&b"caf\xc3\xa9"[..], b"caf\xe9", b"tea"]);
    write(&path, vec![texts], |footer| footer.schema[1].converted_type = Some(ConvertedType::UTF8));
    let error = read(&path).await.unwrap_err();
    assert!(error.starts_with("a.parquet: column `t`: a text is not UTF-8"), "{error}");
}

#[tokio::test]
async fn a_record_without_members_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    write(&path, vec![Series::new("n".into(), [1_i64])], |footer| {
        let mut group = footer.schema[1].clone();
        (group.name, group.type_, group.num_children) = ("nothing".to_owned(), None, Some(0));
        (group.logical_type, group.repetition_type) = (None, Some(FieldRepetitionType::OPTIONAL));
        footer.schema.push(group);
        footer.schema[0].num_children = Some(2);
    });
    let error = read(&path).await.unwrap_err();
    assert!(error.contains("column `nothing`: it is a record without members"), "{error}");
}
