//! Tests that the digest of the content depends on the rows alone.

use std::sync::Arc;

use futures::{StreamExt, stream};
use platform::clock::SystemClock;
use polars::prelude::DataFrame;
use protocol::catalog::{Column as CatalogColumn, ColumnType};

use super::{
    ContentDigest, Pipeline,
    tests::{MemorySink, layout, limits, rows, split},
};
use crate::{
    format::{Compression, Csv, Encoding, Format, Parquet, Tsv, Xlsx},
    layout::{Layout, LayoutColumn, Timestamps},
    progress::Meter,
};

/// Runs the rows through a pipeline with this format and layout, and returns the file and the digest of its content.
async fn with_content(
    format: &dyn Format,
    layout: Layout,
    frames: Vec<DataFrame>,
    requested_at: &str,
) -> (String, String) {
    let sink = MemorySink::default();
    let limits = limits(2);
    let encoder = match Tsv.encoding(&ContentDigest::layout(&layout), Compression::None, &limits.format).unwrap() {
        Encoding::Parallel(encoder) => encoder,
        Encoding::Sequential(_) => panic!("TSV has an encoder"),
    };
    let content = ContentDigest::new(encoder);
    let pipeline = Pipeline {
        frames: stream::iter(frames.into_iter().map(Ok)).boxed(),
        encoding: format.encoding(&layout, Compression::None, &limits.format).unwrap(),
        layout: Arc::new(layout),
        compression: Compression::None,
        requested_at: requested_at.parse().unwrap(),
        meter: Arc::new(Meter::start()),
        limits,
        sink: &sink,
        clock: Arc::new(SystemClock),
    };
    let file = pipeline.run_with(Some(content.clone())).await.unwrap();
    (file.seal.sha256, content.finish())
}

#[tokio::test]
async fn the_digest_of_the_content_ignores_timestamps_frames_and_formats_and_sees_each_value() {
    let all = rows();
    let formats: [&dyn Format; 3] = [&Csv, &Parquet, &Xlsx];
    let mut digests = Vec::new();
    for format in formats {
        let mut wide = layout(Timestamps::Columns);
        for name in ["export_requested_at", "export_completed_at"] {
            wide.columns.push(LayoutColumn::plain(CatalogColumn::new(name, ColumnType::Datetime)));
        }
        for layout in [layout(Timestamps::Envelope), wide] {
            let first = split(&all, 1);
            let second = split(&all, 7);
            let one = with_content(format, layout.clone(), first, "2026-11-22T15:26:01.123Z").await;
            let other = with_content(format, layout, second, "2026-11-23T15:26:01.123Z").await;
            assert_ne!(one.0, other.0, "the files have other timestamps");
            digests.extend([one.1, other.1]);
        }
    }
    digests.dedup();
    assert_eq!(digests.len(), 1);

    let mut changed = all.clone();
    let text: Vec<String> =
        (0..40_000).map(|n| if n == 39_999 { "other".into() } else { format!("row {n}, \"{}\"\n", n % 7) }).collect();
    changed.replace("text", polars::prelude::Column::new("text".into(), text)).unwrap();
    let last = with_content(&Csv, layout(Timestamps::Envelope), vec![changed], "2026-11-22T15:26:01.123Z").await;
    assert_ne!(last.1, digests[0]);
    let fewer = vec![all.slice(0, 39_999)];
    let fewer = with_content(&Csv, layout(Timestamps::Envelope), fewer, "2026-11-22T15:26:01.123Z").await;
    assert_ne!(fewer.1, digests[0]);
}
