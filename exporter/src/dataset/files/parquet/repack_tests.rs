//! Tests Parquet files with pages in forms that polars does not write, such as several gzip members, other encodings
//! and wrong counts.

use std::{
    io::{Cursor, Write},
    path::Path,
};

use flate2::{Compression as Level, write::GzEncoder};
use futures::TryStreamExt;
use polars::prelude::{Column as PolarsColumn, DataFrame, DataType, ParquetCompression, ParquetWriter};
use polars_parquet::parquet::encoding::delta_byte_array;
use polars_parquet_format::{
    CompressionCodec, DataPageHeaderV2, Encoding, FileMetaData, PageHeader, PageType, Type,
    thrift::protocol::{TCompactInputProtocol, TCompactOutputProtocol},
};
use protocol::filter::Filter;
use serde_json::Map;

use super::tests::opened;
use crate::dataset::{Dataset, Query};

const ROWS: usize = 5_000;

/// Returns a data frame with decimals of 16 bytes, numbers and texts. Each column has NULLs.
fn frame() -> DataFrame {
    let some = |row: usize| !row.is_multiple_of(7);
    let numbers: Vec<_> = (0..ROWS as i64).map(|row| some(row as usize).then_some(row * 7_919 - 9_000)).collect();
    let texts: Vec<_> = (0..ROWS).map(|row| some(row + 1).then(|| format!("text {row}"))).collect();
    let decimals = PolarsColumn::new("d".into(), &numbers).cast(&DataType::Decimal(38, 2)).unwrap();
    DataFrame::new_infer_height(vec![
        decimals,
        PolarsColumn::new("n".into(), numbers),
        PolarsColumn::new("t".into(), texts),
    ])
    .unwrap()
}

/// Writes the data frame to a Parquet file without compression, and changes each page. `change` receives the header and
/// the body of a page and the physical type of its column, and returns the new body.
fn changed(
    frame: &DataFrame,
    codec: CompressionCodec,
    change: impl Fn(&mut PageHeader, &[u8], Type) -> Vec<u8>,
) -> Vec<u8> {
    let mut file = Vec::new();
    ParquetWriter::new(&mut file)
        .with_row_group_size(Some(2_000))
        .with_data_page_size(Some(4_000))
        .with_compression(ParquetCompression::Uncompressed)
        .finish(&mut frame.clone())
        .unwrap();
    let footer_at = file.len() - 8 - u32::from_le_bytes(file[file.len() - 8..][..4].try_into().unwrap()) as usize;
    let mut protocol = TCompactInputProtocol::new(Cursor::new(&file[footer_at..]), usize::MAX);
    let mut footer = FileMetaData::read_from_in_protocol(&mut protocol).unwrap();
    let mut out = b"PAR1".to_vec();
    for chunk in footer.row_groups.iter_mut().flat_map(|group| &mut group.columns) {
        let about = chunk.meta_data.as_mut().unwrap();
        let mut at = about.dictionary_page_offset.unwrap_or(about.data_page_offset) as usize;
        let end = at + about.total_compressed_size as usize;
        let (begin, mut data) = (out.len(), None);
        while at < end {
            let mut cursor = Cursor::new(&file[at..end]);
            let mut protocol = TCompactInputProtocol::new(&mut cursor, usize::MAX);
            let mut header = PageHeader::read_from_in_protocol(&mut protocol).unwrap();
            at += cursor.position() as usize;
            let body = &file[at..at + header.compressed_page_size as usize];
            at += body.len();
            if header.type_ != PageType::DICTIONARY_PAGE {
                data.get_or_insert(out.len());
            }
            let body = change(&mut header, body, about.type_);
            header.compressed_page_size = body.len() as i32;
            header.write_to_out_protocol(&mut TCompactOutputProtocol::new(&mut out)).unwrap();
            out.extend_from_slice(&body);
        }
        about.dictionary_page_offset = about.dictionary_page_offset.map(|_| begin as i64);
        about.data_page_offset = data.unwrap() as i64;
        about.total_compressed_size = (out.len() - begin) as i64;
        about.codec = codec;
    }
    let footer_at = out.len();
    footer.write_to_out_protocol(&mut TCompactOutputProtocol::new(&mut out)).unwrap();
    let length = (out.len() - footer_at) as u32;
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(b"PAR1");
    out
}

/// Writes the bytes `file`, and reads them in whole row groups and in small row windows. Both results must equal
/// `frame`.
async fn check(path: &Path, file: Vec<u8>, frame: &DataFrame) {
    std::fs::write(path, file).unwrap();
    for limit in [None, Some(u64::MAX)] {
        let files = opened(path).await.unwrap();
        let columns = frame.get_column_names().iter().map(ToString::to_string).collect();
        let query = Query { columns, filter: Filter::all(), params: Map::new(), limit };
        let frames: Vec<_> = files.open(&query).await.unwrap().frames.try_collect().await.unwrap();
        let read = frames.into_iter().reduce(|all, frame| all.vstack(&frame).unwrap()).unwrap();
        assert!(read.equals_missing(frame), "{limit:?}: {read:?}");
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Level::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Splits the body of a data page into its definition levels and its values. The page has version 1 and belongs to an
/// optional column.
fn split(body: &[u8]) -> (&[u8], &[u8]) {
    let length = u32::from_le_bytes(body[..4].try_into().unwrap()) as usize;
    body[4..].split_at(length)
}

#[tokio::test]
async fn a_page_of_several_gzip_members_is_read_whole() {
    let dir = tempfile::tempdir().unwrap();
    let frame = frame();
    for members in [1, 2, 3] {
        let file = changed(&frame, CompressionCodec::GZIP, |_, body, _| {
            body.chunks(body.len().div_ceil(members)).flat_map(gzip).collect()
        });
        check(&dir.path().join("a.parquet"), file, &frame).await;
    }
}

#[tokio::test]
async fn values_of_a_fixed_length_are_read_in_each_encoding() {
    let dir = tempfile::tempdir().unwrap();
    let frame = frame();
    for encoding in [Encoding::BYTE_STREAM_SPLIT, Encoding::DELTA_BYTE_ARRAY] {
        let file = changed(&frame, CompressionCodec::UNCOMPRESSED, |header, body, kind| {
            let page = header.data_page_header.as_mut();
            let Some(page) = page.filter(|_| kind == Type::FIXED_LEN_BYTE_ARRAY) else { return body.to_vec() };
            assert_eq!(page.encoding, Encoding::PLAIN);
            page.encoding = encoding;
            let (_, values) = split(body);
            let mut out = body[..body.len() - values.len()].to_vec();
            if encoding == Encoding::DELTA_BYTE_ARRAY {
                delta_byte_array::encode(values.chunks(16), &mut out);
            } else {
                out.extend((0..16).flat_map(|byte| values.chunks(16).map(move |value| value[byte])));
            }
            header.uncompressed_page_size = out.len() as i32;
            out
        });
        check(&dir.path().join("a.parquet"), file, &frame).await;
    }
}

#[tokio::test]
async fn a_page_that_counts_no_null_keeps_the_nulls_of_its_levels() {
    let dir = tempfile::tempdir().unwrap();
    let frame = frame();
    for codec in [CompressionCodec::UNCOMPRESSED, CompressionCodec::GZIP] {
        let file = changed(&frame, codec, |header, body, _| {
            let stored = |bytes: &[u8]| if codec == CompressionCodec::GZIP { gzip(bytes) } else { bytes.to_vec() };
            let Some(page) = header.data_page_header.take() else { return stored(body) };
            let (levels, values) = split(body);
            header.type_ = PageType::DATA_PAGE_V2;
            header.uncompressed_page_size = (levels.len() + values.len()) as i32;
            header.data_page_header_v2 = Some(DataPageHeaderV2 {
                num_values: page.num_values,
                num_nulls: 0,
                num_rows: page.num_values,
                encoding: page.encoding,
                definition_levels_byte_length: levels.len() as i32,
                repetition_levels_byte_length: 0,
                is_compressed: None,
                statistics: None,
            });
            [levels, &stored(values)].concat()
        });
        check(&dir.path().join("a.parquet"), file, &frame).await;
    }
}

#[tokio::test]
async fn what_is_unsupported_is_called_so_with_its_column() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    let message = async |file: Vec<u8>| {
        std::fs::write(&path, file).unwrap();
        let files = opened(&path).await.unwrap();
        let query = Query { columns: vec!["n".into()], filter: Filter::all(), params: Map::new(), limit: None };
        let read: Result<Vec<_>, _> = files.open(&query).await.unwrap().frames.try_collect().await;
        read.unwrap_err().user_message()
    };
    let codec = changed(&frame(), CompressionCodec::LZO, |_, body, _| body.to_vec());
    let refused = message(codec).await;
    assert!(refused.starts_with("a.parquet: column `n`: ") && refused.contains("not supported"), "{refused}");
    let encoding = changed(&frame(), CompressionCodec::UNCOMPRESSED, |header, body, _| {
        if let Some(page) = &mut header.data_page_header {
            page.encoding = Encoding::DELTA_BYTE_ARRAY;
        }
        body.to_vec()
    });
    let refused = message(encoding).await;
    let expected = "a.parquet: column `n`: the encoding DELTA_BYTE_ARRAY is not supported for the type of this column: \
                    write it with another one";
    assert_eq!(refused, expected);
    let damaged = changed(&frame(), CompressionCodec::GZIP, |_, body, _| body.to_vec());
    let damaged = message(damaged).await;
    assert!(damaged.starts_with("a.parquet: column `n`: malformed data: a page of the file is damaged: "), "{damaged}");
    let encrypted = [b"PARE", [7; 20].as_slice(), &20_u32.to_le_bytes(), b"PARE"].concat();
    std::fs::write(&path, encrypted).unwrap();
    let refused = opened(&path).await.unwrap_err().user_message();
    assert_eq!(refused, "a.parquet: the file is encrypted, which is not supported: write it without encryption");
}
