//! Tests columns of unsupported types. The error names the column, the type and what to do, and all other columns can
//! be read.

use polars::prelude::{ArrowDataType, ArrowField, DataFrame, ParquetWriter, PlSmallStr, Series};
use polars_arrow::{
    array::{
        Array, DictionaryArray, FixedSizeBinaryArray, FixedSizeListArray, Int8Array, Int32Array, ListArray,
        PrimitiveArray, UnionArray, Utf8Array,
    },
    datatypes::{IntegerType, IntervalUnit, UnionMode, UnionType},
};
use serde_json::json;

use super::{
    readable_tests::{column, write, written},
    tests::opened,
    type_tests::exported,
    *,
};
use crate::{dataset::Dataset, error::JobError, format::Csv};

fn field(dtype: &ArrowDataType) -> ArrowField {
    ArrowField::new("c".into(), dtype.clone(), true)
}

/// Returns a column of two lists. Each list has one item.
fn lists((item, items): (ArrowField, Box<dyn Array>)) -> (ArrowField, Box<dyn Array>) {
    let list_of = |item: ArrowDataType| ArrowDataType::List(Box::new(ArrowField::new("item".into(), item, true)));
    let offsets = vec![0, 1, 2].try_into().unwrap();
    let list = ListArray::<i32>::new(list_of(items.dtype().clone()), offsets, items, None);
    (field(&list_of(item.dtype)), list.boxed())
}

fn unions(mode: UnionMode) -> Box<dyn Array> {
    let fields = vec![
        ArrowField::new("a".into(), ArrowDataType::Int32, true),
        ArrowField::new("s".into(), ArrowDataType::Utf8, true),
    ];
    let members = vec![Int32Array::from_slice([1, 2]).boxed(), Utf8Array::<i32>::from_slice(["x", "y"]).boxed()];
    let offsets = mode.is_dense().then(|| vec![0, 1].into());
    let dtype = ArrowDataType::Union(Box::new(UnionType { fields, ids: None, mode }));
    UnionArray::new(dtype, vec![0_i8, 1].into(), members, offsets).boxed()
}

/// Returns a column of two intervals. Each interval has `width` bytes.
fn intervals(unit: IntervalUnit, width: usize) -> (ArrowField, Box<dyn Array>) {
    let bytes: Vec<u8> = (0..2 * width).map(|byte| byte as u8).collect();
    let array = FixedSizeBinaryArray::new(ArrowDataType::FixedSizeBinary(width), bytes.into(), None);
    (field(&ArrowDataType::Interval(unit)), array.boxed())
}

/// Returns an array of two empty lists of the fixed length 0.
fn empty_lists() -> Box<dyn Array> {
    let dtype = ArrowDataType::FixedSizeList(Box::new(ArrowField::new("item".into(), ArrowDataType::Int8, true)), 0);
    FixedSizeListArray::try_new(dtype, 2, Int8Array::new_empty(ArrowDataType::Int8).boxed(), None).unwrap().boxed()
}

#[tokio::test]
async fn an_unsupported_column_is_named_with_its_kind_and_the_others_are_exported() {
    let dir = tempfile::tempdir().unwrap();
    let plain = |array: Box<dyn Array>| (field(array.dtype()), array);
    let nanos = || intervals(IntervalUnit::MonthDayNano, 16);
    for (unsupported, kind) in [
        (plain(unions(UnionMode::Sparse)), "Union"),
        (plain(unions(UnionMode::Dense)), "Union"),
        (lists(plain(unions(UnionMode::Sparse))), "List of Union"),
        (nanos(), "Interval(MonthDayNano)"),
        (lists(nanos()), "List of Interval(MonthDayNano)"),
        (lists(intervals(IntervalUnit::YearMonth, 4)), "List of Interval(YearMonth)"),
        (lists(intervals(IntervalUnit::DayTime, 8)), "List of Interval(DayTime)"),
        (plain(empty_lists()), "FixedSizeList of length 0"),
        (lists(plain(empty_lists())), "List of FixedSizeList of length 0"),
        (plain(column("v", ArrowDataType::UInt128, &[1_u128, u128::MAX]).1), "UInt128"),
    ] {
        for name in ["a.arrow", "a.arrows"] {
            let columns = vec![
                unsupported.clone(),
                column("n", ArrowDataType::Int32, &[1, 2]),
                column("x", ArrowDataType::Float64, &[0.5, 1.5]),
            ];
            let files = written(dir.path(), name, columns).await;
            let note = format!(
                "column `c` is of the unsupported type {kind}: write it as another type, such as text; the column is not offered"
            );
            assert_eq!(files.info().notes, [note], "{name}");
            let csv = String::from_utf8(exported(&files, &json!({}), &Csv).await.unwrap()).unwrap();
            assert_eq!(csv, "n,x\n1,0.5\n2,1.5\n", "{name}: {kind}");
        }
    }
}

#[tokio::test]
async fn a_dictionary_of_lists_without_length_is_refused_with_its_column() {
    let dir = tempfile::tempdir().unwrap();
    let values = empty_lists();
    let dtype = ArrowDataType::Dictionary(IntegerType::Int8, Box::new(values.dtype().clone()), false);
    let keys = PrimitiveArray::<i8>::from_vec(vec![0, 1]);
    let array = DictionaryArray::try_new(dtype.clone(), keys, values).unwrap().boxed();
    for name in ["a.arrow", "a.arrows"] {
        write(dir.path(), name, vec![(field(&dtype), array.clone()), column("n", ArrowDataType::Int32, &[1, 2])]);
        let location = Location::Local(dir.path().join(name));
        let error = opened("t", location, FileKind::Arrow, &[]).await.unwrap_err();
        assert_eq!(
            error.user_message(),
            format!(
                "{name}: column `c` is of the unsupported type Dictionary of FixedSizeList of length 0: write it as another \
                 type, such as text"
            )
        );
    }
}

#[tokio::test]
async fn a_later_file_with_an_unsupported_type_is_refused_with_its_column() {
    let dir = tempfile::tempdir().unwrap();
    let files = written(dir.path(), "a.arrow", vec![column("c", ArrowDataType::Int32, &[1, 2])]).await;
    let union = unions(UnionMode::Sparse);
    write(dir.path(), "a.arrow", vec![(field(union.dtype()), union)]);
    let Err(JobError::Dataset(error)) = exported(&files, &json!({}), &Csv).await else { panic!("a union") };
    let message = error.user_message();
    assert_eq!(message, "a.arrow: column `c` is of the unsupported type Union: write it as another type, such as text");
}

#[tokio::test]
async fn lists_of_the_fixed_length_0_are_read_from_parquet() {
    let dir = tempfile::tempdir().unwrap();
    let series = |name: &str, array: Box<dyn Array>| Series::try_from((PlSmallStr::from(name), array)).unwrap();
    let lists = lists((field(empty_lists().dtype()), empty_lists())).1;
    let columns = vec![
        series("c", empty_lists()).into(),
        series("l", lists).into(),
        series("n", Int32Array::from_slice([1, 2]).boxed()).into(),
    ];
    let mut frame = DataFrame::new_infer_height(columns).unwrap();
    let path = dir.path().join("a.parquet");
    ParquetWriter::new(std::fs::File::create(&path).unwrap()).finish(&mut frame).unwrap();
    let files = opened("t", Location::Local(path), FileKind::Parquet, &[]).await.unwrap();
    let csv = String::from_utf8(exported(&files, &json!({}), &Csv).await.unwrap()).unwrap();
    assert_eq!(csv, "c,l,n\n[],[[]],1\n[],[[]],2\n");
}
