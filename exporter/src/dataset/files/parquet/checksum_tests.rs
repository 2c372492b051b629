//! Tests Parquet files with page checksums. Many writers store checksums, but polars does not.

use std::{io::Cursor, ops::Range, path::Path};

use futures::TryStreamExt;
use polars::prelude::{Column as PolarsColumn, DataFrame, ParquetCompression, ParquetWriter};
use polars_parquet_format::{
    FileMetaData, PageHeader, PageType,
    thrift::protocol::{TCompactInputProtocol, TCompactOutputProtocol},
};
use protocol::filter::Filter;
use serde_json::Map;

use super::{tests::opened, *};
use crate::dataset::{Dataset, Query};

/// The number of rows in the Parquet file of each test.
const ROWS: usize = 30_000;

/// Returns a data frame of numbers and texts. The numbers have the plain encoding, so that any changed bit changes a
/// value. The texts have the dictionary encoding.
fn frame() -> DataFrame {
    let words = ["one", "two", "three"];
    DataFrame::new_infer_height(vec![
        PolarsColumn::new("x".into(), (0..ROWS).map(|n| n as f64 / 7.0).collect::<Vec<_>>()),
        PolarsColumn::new("word".into(), (0..ROWS).map(|n| words[n % 3]).collect::<Vec<_>>()),
    ])
    .unwrap()
}

/// Adds a checksum to each page of a Parquet file. Also returns the byte ranges of the pages of each column, without
/// the page headers.
fn with_checksums(file: &[u8]) -> (Vec<u8>, Vec<Vec<Range<usize>>>) {
    let footer_at = file.len() - 8 - u32::from_le_bytes(file[file.len() - 8..][..4].try_into().unwrap()) as usize;
    let mut protocol = TCompactInputProtocol::new(Cursor::new(&file[footer_at..]), usize::MAX);
    let mut footer = FileMetaData::read_from_in_protocol(&mut protocol).unwrap();
    let (mut out, mut places) = (b"PAR1".to_vec(), vec![Vec::new(); footer.schema.len() - 1]);
    for chunks in footer.row_groups.iter_mut().map(|group| &mut group.columns) {
        for (chunk, places) in chunks.iter_mut().zip(&mut places) {
            let about = chunk.meta_data.as_mut().unwrap();
            let mut at = about.dictionary_page_offset.unwrap_or(about.data_page_offset) as usize;
            let end = at + about.total_compressed_size as usize;
            let begin = out.len();
            let mut data = None;
            while at < end {
                let mut header_bytes = Cursor::new(&file[at..end]);
                let mut protocol = TCompactInputProtocol::new(&mut header_bytes, usize::MAX);
                let mut header = PageHeader::read_from_in_protocol(&mut protocol).unwrap();
                let body = &file[at + header_bytes.position() as usize..][..header.compressed_page_size as usize];
                at += header_bytes.position() as usize + body.len();
                header.crc = Some(libdeflater::crc32(body).cast_signed());
                if header.type_ != PageType::DICTIONARY_PAGE {
                    data.get_or_insert(out.len());
                }
                header.write_to_out_protocol(&mut TCompactOutputProtocol::new(&mut out)).unwrap();
                places.push(out.len()..out.len() + body.len());
                out.extend_from_slice(body);
            }
            about.dictionary_page_offset = about.dictionary_page_offset.map(|_| begin as i64);
            about.data_page_offset = data.unwrap() as i64;
            about.total_compressed_size = (out.len() - begin) as i64;
        }
    }
    let footer_at = out.len();
    footer.write_to_out_protocol(&mut TCompactOutputProtocol::new(&mut out)).unwrap();
    let length = (out.len() - footer_at) as u32;
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(b"PAR1");
    (out, places)
}

/// Reads one column of a file, at most `limit` rows. With a limit, the reader decodes fewer rows at a time.
async fn values(path: &Path, column: &str, limit: Option<u64>) -> Result<DataFrame, DatasetError> {
    let file = opened(path).await?;
    let query = Query { columns: vec![column.to_owned()], filter: Filter::all(), params: Map::new(), limit };
    let mut frames = file.open(&query).await?.frames;
    let mut read = DataFrame::empty();
    while let Some(frame) = frames.try_next().await? {
        read = if read.width() == 0 { frame } else { read.vstack(&frame)? };
    }
    Ok(read)
}

#[tokio::test]
async fn a_page_whose_checksum_does_not_match_fails_the_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    let frame = frame();
    // whole row groups, and slices of one
    for group in [7_000, ROWS] {
        let mut plain = Vec::new();
        ParquetWriter::new(&mut plain)
            .with_row_group_size(Some(group))
            .with_data_page_size(Some(20_000))
            .with_compression(ParquetCompression::Uncompressed)
            .finish(&mut frame.clone())
            .unwrap();
        let (good, places) = with_checksums(&plain);
        for (column, places) in ["x", "word"].into_iter().zip(places) {
            assert!(places.len() > 1, "{column}: {places:?}");
            for limit in [None, Some(u64::MAX)] {
                std::fs::write(&path, &good).unwrap();
                let read = values(&path, column, limit).await.unwrap();
                assert!(read.column(column).unwrap().equals_missing(frame.column(column).unwrap()), "{column}");
                for place in [&places[0], &places[places.len() / 2], &places[places.len() - 1]] {
                    // without a checksum, a changed number would go unnoticed
                    let mut bad = good.clone();
                    bad[place.end - 1] ^= 1;
                    std::fs::write(&path, &bad).unwrap();
                    let error = values(&path, column, limit).await.expect_err("it is not what was written");
                    assert!(error.user_message().contains("checksum"), "{column} {place:?}: {error:?}");
                }
            }
        }
    }
}
