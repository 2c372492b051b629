//! Tests Arrow files and streams in forms that polars does not write, such as old compression and changed dictionaries.
//! Each value is exported exactly, or the file is refused. In the CSV output of a single column, NULL and the empty
//! string are both `""`, because CSV readers skip empty lines.

use std::{fs::File, path::Path, sync::Arc};

use polars_arrow::{
    array::{Array, DictionaryArray, PrimitiveArray, Utf8Array, Utf8ViewArray},
    datatypes::{ArrowDataType, ArrowSchema, Field as ArrowField, IntegerType},
    io::ipc::{
        format::ipc::{
            Buffer, KeyValue, Message, MessageHeader, MessageRef, RecordBatch,
            planus::{Builder, ReadAsRoot},
        },
        write::{
            Compression, EncodedData, FileWriter, StreamWriter, WriteOptions,
            common_sync::{write_continuation, write_message},
            encode_dictionary_values, encode_record_batch,
        },
    },
    record_batch::RecordBatchT,
};
use serde_json::json;

use super::{tests::opened, type_tests::exported, *};
use crate::{error::JobError, format::Csv};

const NAMES: [&str; 2] = ["a.arrow", "a.arrows"];
const PLAIN: WriteOptions = WriteOptions { compression: None };

fn packed() -> [WriteOptions; 2] {
    [Compression::LZ4, Compression::ZSTD(Default::default())]
        .map(|compression| WriteOptions { compression: Some(compression) })
}

/// Encodes columns as an Arrow record batch.
fn batch(columns: &[(ArrowField, Box<dyn Array>)], options: WriteOptions) -> EncodedData {
    let (fields, arrays): (Vec<_>, Vec<_>) = columns.iter().cloned().unzip();
    let schema: Arc<ArrowSchema> = Arc::new(fields.into_iter().collect());
    let mut encoded = EncodedData::default();
    encode_record_batch(&RecordBatchT::new(arrays[0].len(), schema, arrays), &options, &mut encoded);
    encoded
}

/// Returns an encoded Arrow message after `change` has changed its header.
fn changed(encoded: &EncodedData, change: impl FnOnce(&mut Message)) -> EncodedData {
    let mut message: Message = MessageRef::read_as_root(&encoded.ipc_message).unwrap().try_into().unwrap();
    change(&mut message);
    EncodedData { ipc_message: Builder::new().finish(&message, None).to_vec(), arrow_data: encoded.arrow_data.clone() }
}

fn rows(message: &mut Message) -> &mut RecordBatch {
    match message.header.as_mut().unwrap() {
        MessageHeader::RecordBatch(batch) => batch,
        MessageHeader::DictionaryBatch(dictionary) => dictionary.data.as_mut().unwrap(),
        other => panic!("{other:?}"),
    }
}

fn is_dictionary(encoded: &EncodedData) -> bool {
    let message: Message = MessageRef::read_as_root(&encoded.ipc_message).unwrap().try_into().unwrap();
    matches!(message.header, Some(MessageHeader::DictionaryBatch(_)))
}

/// Writes Arrow messages to a file, and exports its rows as CSV. The extension of `name` selects the file format or the
/// stream format.
async fn csv(dir: &Path, name: &str, field: &ArrowField, messages: &[EncodedData]) -> Result<String, String> {
    let schema: Arc<ArrowSchema> = Arc::new([field.clone()].into_iter().collect());
    let file = File::create(dir.join(name)).unwrap();
    if name.ends_with(".arrows") {
        let mut writer = StreamWriter::new(file, PLAIN);
        writer.start(&schema, None).unwrap();
        let mut file = writer.into_inner();
        for message in messages {
            write_message(&mut file, message).unwrap();
        }
        write_continuation(&mut file, 0).unwrap();
    } else {
        let mut writer = FileWriter::try_new(file, schema, None, PLAIN).unwrap();
        for message in messages {
            if is_dictionary(message) {
                writer.write_encoded_dictionaries(std::slice::from_ref(message)).unwrap();
            } else {
                writer.write_encoded_record_batch(message).unwrap();
            }
        }
        writer.finish().unwrap();
    }
    let files =
        opened("x", Location::Local(dir.join(name)), FileKind::Arrow, &[]).await.map_err(|e| e.user_message())?;
    match exported(&files, &json!({}), &Csv).await {
        Ok(bytes) => Ok(String::from_utf8(bytes).unwrap()),
        Err(JobError::Dataset(error)) => Err(error.user_message()),
        Err(other) => panic!("{other}"),
    }
}

fn numbers() -> (ArrowField, Box<dyn Array>) {
    let values = PrimitiveArray::<i64>::from_vec((0..1_000).collect()).boxed();
    (ArrowField::new("n".into(), ArrowDataType::Int64, true), values)
}

#[tokio::test]
async fn batches_in_the_compressed_form_of_arrow_0_17_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let key =
        |key: &str, value: &str| Some(vec![KeyValue { key: Some(key.to_owned()), value: Some(value.to_owned()) }]);
    for (options, codec) in packed().into_iter().zip(["lz4", "zstd"]) {
        let old = changed(&batch(&[numbers()], options), |message| {
            rows(message).compression = None;
            message.custom_metadata = key("ARROW:experimental_compression", codec);
        });
        let other = changed(&batch(&[numbers()], options), |message| message.custom_metadata = key("other", codec));
        for name in NAMES {
            let error = csv(dir.path(), name, &numbers().0, std::slice::from_ref(&old)).await.unwrap_err();
            let expected =
                format!("{name}: the file is compressed in the form of Apache Arrow 0.17, which is not supported");
            assert!(error.starts_with(&expected) && error.contains("write it again"), "{error}");
            // another key does not change what the batch is
            let read = csv(dir.path(), name, &numbers().0, std::slice::from_ref(&other)).await.unwrap();
            assert!(read.starts_with("n\n0\n1\n") && read.ends_with("\n999\n"), "{name} {codec}: {read}");
        }
    }
}

#[tokio::test]
async fn compressed_views_are_read_or_refused_with_their_column() {
    let dir = tempfile::tempdir().unwrap();
    let field = ArrowField::new("v".into(), ArrowDataType::Utf8View, true);
    let views = |texts: &[Option<&str>]| (field.clone(), Utf8ViewArray::from_slice(texts).boxed());
    let short = views(&[Some("short"), None, Some("")]);
    let long = views(&[Some("a text of more than 12 bytes"), None, Some("short")]);
    // some writers add an empty buffer to a batch without long texts
    let with_empty_buffer = |options| {
        changed(&batch(std::slice::from_ref(&short), options), |message| {
            let end = message.body_length;
            let rows = rows(message);
            assert_eq!(rows.variadic_buffer_counts, Some(vec![0]));
            rows.variadic_buffer_counts = Some(vec![1]);
            rows.buffers.as_mut().unwrap().push(Buffer { offset: end, length: 0 });
        })
    };
    for name in NAMES {
        for options in packed().into_iter().chain([PLAIN]) {
            let read = csv(dir.path(), name, &field, &[batch(std::slice::from_ref(&long), options)]).await;
            assert_eq!(read.unwrap(), "v\na text of more than 12 bytes\n\"\"\nshort\n", "{name} {options:?}");
            let read = csv(dir.path(), name, &field, &[batch(std::slice::from_ref(&short), options)]).await;
            assert_eq!(read.unwrap(), "v\nshort\n\"\"\n\"\"\n", "{name} {options:?}");
            let read = csv(dir.path(), name, &field, &[with_empty_buffer(options)]).await;
            if options == PLAIN {
                assert_eq!(read.unwrap(), "v\nshort\n\"\"\n\"\"\n", "{name}");
            } else {
                let error = read.unwrap_err();
                let is_clear = error.contains("which is not supported") && error.contains("without compression");
                assert!(error.starts_with(&format!("{name}: column `v`: ")) && is_clear, "{error}");
            }
        }
    }
}

/// Returns a column that has the dictionary `values` with the id 0. `keys` has the index of each row's value in the
/// dictionary.
fn keyed(keys: &[i32], values: &[&str]) -> (ArrowField, Box<dyn Array>, Utf8Array<i64>) {
    let values = Utf8Array::<i64>::from_slice(values);
    let dtype = ArrowDataType::Dictionary(IntegerType::Int32, Box::new(values.dtype().clone()), false);
    let keys = PrimitiveArray::from_vec(keys.to_vec());
    let array = DictionaryArray::try_new(dtype.clone(), keys, values.clone().boxed()).unwrap().boxed();
    (ArrowField::new("d".into(), dtype, true), array, values)
}

#[tokio::test]
async fn a_changed_dictionary_is_read_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (field, first, values) = keyed(&[0, 1], &["a", "b"]);
    let (_, second, others) = keyed(&[1, 0], &["x", "y"]);
    let dictionary = |values: &Utf8Array<i64>, is_delta| {
        let whole = encode_dictionary_values(0, values, &PLAIN).unwrap();
        changed(&whole, |message| {
            let Some(MessageHeader::DictionaryBatch(dictionary)) = &mut message.header else { panic!("a dictionary") };
            dictionary.is_delta = is_delta;
        })
    };
    let rows = |array: &dyn Array| batch(&[(field.clone(), array.to_boxed())], PLAIN);
    let one = [dictionary(&values, false), rows(&*first)];
    let replaced = [dictionary(&values, false), rows(&*first), dictionary(&others, false), rows(&*second)];
    let extended = [dictionary(&values, false), rows(&*first), dictionary(&others, true), rows(&*second)];
    for name in NAMES {
        assert_eq!(csv(dir.path(), name, &field, &one).await.unwrap(), "d\na\nb\n");
        let error = csv(dir.path(), name, &field, &extended).await.unwrap_err();
        let expected = "the file extends a dictionary in several steps, which is not supported: write it with whole \
                        dictionaries";
        assert_eq!(error, format!("{name}: {expected}"));
    }
    assert_eq!(csv(dir.path(), "a.arrows", &field, &replaced).await.unwrap(), "d\na\nb\ny\nx\n");
    let error = csv(dir.path(), "a.arrow", &field, &replaced).await.unwrap_err();
    let is_clear = error.contains("is replaced by another one") && error.contains("write one dictionary for all rows");
    assert!(error.starts_with("a.arrow: a dictionary of the file ") && is_clear, "{error}");
}
