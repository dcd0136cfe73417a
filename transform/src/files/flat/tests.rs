#![allow(clippy::expect_used, reason = "tests fail by panicking")]

use std::sync::Arc;

use arrow::{
    array::*,
    compute::{cast, concat_batches, filter, is_not_null, kernels::cmp},
    datatypes::*,
};
use bytes::Bytes;
use parquet::{
    arrow::{
        ArrowWriter,
        arrow_reader::{
            ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection, RowSelector,
            statistics::StatisticsConverter,
        },
        arrow_writer::ArrowWriterOptions,
    },
    basic::{Compression, Encoding, ZstdLevel},
    file::{
        metadata::{PageIndexPolicy, ParquetMetaData},
        page_index::column_index::ColumnIndexMetaData,
        properties::WriterProperties,
    },
    schema::types::ColumnPath,
};
use proptest::prelude::*;

use super::{Compressors, FlatWriter};
use crate::files::pages::{FilePages, PagePool};

/// How the values of a column are made.
#[derive(Clone, Copy, Debug)]
struct Shape {
    rows: usize,
    distinct: u64,
    /// Of 100 values, so many are null.
    nulls: u64,
    /// Equal values come so many at a time.
    run: u64,
    seed: u64,
}

fn mixed(number: u64) -> u64 {
    let mut word = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

impl Shape {
    /// The number of each row's value among the different ones; nothing for null.
    fn picks(self) -> impl Iterator<Item = Option<u64>> {
        (0..self.rows as u64).map(move |row| {
            let word = mixed((row / self.run) ^ self.seed);
            (mixed(word ^ 1) % 100 >= self.nulls).then_some(word % self.distinct)
        })
    }

    fn numbers<T: ArrowPrimitiveType>(self, special: &[T::Native], value: impl Fn(u64) -> T::Native) -> ArrayRef {
        let value = |pick: u64| special.get(pick as usize).copied().unwrap_or_else(|| value(mixed(pick)));
        Arc::new(self.picks().map(|pick| pick.map(value)).collect::<PrimitiveArray<T>>())
    }

    fn texts(self) -> StringArray {
        let text = |pick: u64| match pick {
            0 => String::new(),
            1 => "\u{10ffff}".repeat(30),
            2 => "a".repeat(64),
            3 => format!("{}é", "a".repeat(63)),
            pick => {
                let length = [3, 8, 12, 16, 17, 40, 90, 9][pick as usize % 8];
                format!("{:x}żółw{:x}", mixed(pick), mixed(!pick)).chars().cycle().take(length).collect()
            }
        };
        self.picks().map(|pick| pick.map(text)).collect()
    }

    fn bytes(self) -> BinaryArray {
        let bytes = |pick: u64| match pick {
            0 => Vec::new(),
            1 => vec![0xff; 100],
            2 => [vec![0x80; 63], vec![0xff; 9]].concat(),
            pick => mixed(pick).to_le_bytes()[..pick as usize % 8].to_vec(),
        };
        self.picks().map(|pick| pick.map(bytes)).collect()
    }

    /// Columns of every flat type.
    fn columns(self) -> Vec<ArrayRef> {
        let decimal = |digits: u32| move |word: u64| i128::from(word.cast_signed()) % 10_i128.pow(digits);
        let nines = |digits: u32| [10_i128.pow(digits) - 1, 1 - 10_i128.pow(digits)];
        let decimals = |precision: u8| {
            let digits = u32::from(precision);
            let values = self.numbers::<Decimal128Type>(&nines(digits), decimal(digits));
            let values = values.as_primitive::<Decimal128Type>().clone();
            Arc::new(values.with_precision_and_scale(precision, 2).expect("fits")) as ArrayRef
        };
        let floats = [f64::NAN, -0.0, 0.0, f64::INFINITY, f64::NEG_INFINITY, f64::MIN_POSITIVE];
        let floats_32 = floats.map(|float| float as f32);
        let booleans: BooleanArray = self.picks().map(|pick| pick.map(|pick| mixed(pick).is_multiple_of(2))).collect();
        let (texts, bytes) = (Arc::new(self.texts()) as ArrayRef, Arc::new(self.bytes()) as ArrayRef);
        let as_type = |array: &ArrayRef, data_type: DataType| cast(array, &data_type).expect("casts");
        let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        vec![
            Arc::new(booleans),
            self.numbers::<Int8Type>(&[i8::MIN, i8::MAX], |word| word as i8),
            self.numbers::<Int16Type>(&[i16::MIN, i16::MAX], |word| word as i16),
            self.numbers::<Int32Type>(&[i32::MIN, i32::MAX], |word| word as i32),
            self.numbers::<Int64Type>(&[i64::MIN, i64::MAX], |word| word as i64 >> (word % 64)),
            self.numbers::<UInt8Type>(&[0, u8::MAX], |word| word as u8),
            self.numbers::<UInt16Type>(&[0, u16::MAX], |word| word as u16),
            self.numbers::<UInt32Type>(&[0, u32::MAX], |word| word as u32),
            self.numbers::<UInt64Type>(&[0, u64::MAX], |word| word),
            self.numbers::<Date32Type>(&[i32::MIN, i32::MAX], |word| word as i32 % 20_000),
            self.numbers::<Time32SecondType>(&[], |word| (word % 86_400) as i32),
            self.numbers::<Time32MillisecondType>(&[], |word| (word % 86_400_000) as i32),
            self.numbers::<Time64MicrosecondType>(&[], |word| (word % 86_400_000_000) as i64),
            self.numbers::<Time64NanosecondType>(&[], |word| (word % 86_400_000_000_000) as i64),
            self.numbers::<TimestampMillisecondType>(&[i64::MIN, i64::MAX], |word| word as i64 >> 20),
            self.numbers::<TimestampMicrosecondType>(&[i64::MIN, i64::MAX], |word| word as i64 >> 12),
            self.numbers::<TimestampNanosecondType>(&[i64::MIN, i64::MAX], |word| word as i64),
            self.numbers::<Float32Type>(&floats_32, |word| f32::from_bits(word as u32)),
            self.numbers::<Float64Type>(&floats, f64::from_bits),
            decimals(9),
            decimals(18),
            decimals(19),
            decimals(38),
            as_type(&decimals(18), DataType::Decimal64(18, 2)),
            as_type(&decimals(9), DataType::Decimal32(9, 2)),
            texts.clone(),
            as_type(&texts, DataType::LargeUtf8),
            as_type(&texts, DataType::Utf8View),
            as_type(&texts, dictionary),
            bytes.clone(),
            as_type(&bytes, DataType::LargeBinary),
            as_type(&bytes, DataType::BinaryView),
        ]
    }

    fn batch(self) -> RecordBatch {
        let columns = self.columns();
        let field = |(index, array): (usize, &ArrayRef)| {
            Field::new(format!("c{index}"), array.data_type().clone(), self.nulls > 0)
        };
        let fields: Vec<Field> = columns.iter().enumerate().map(field).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("a batch")
    }
}

fn properties(schema: &Schema, has_dictionaries: bool, group_rows: usize) -> WriterProperties {
    let mut builder = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(group_rows));
    for field in schema.fields().iter().filter(|_| !has_dictionaries) {
        let path = ColumnPath::from(field.name().as_str());
        let encoding = match field.data_type() {
            data_type if super::strings::is_strings(data_type) => Encoding::DELTA_LENGTH_BYTE_ARRAY,
            DataType::Float32 | DataType::Float64 | DataType::Boolean => Encoding::PLAIN,
            DataType::Decimal128(19.., _) => Encoding::PLAIN,
            _ => Encoding::DELTA_BINARY_PACKED,
        };
        builder = builder.set_column_dictionary_enabled(path.clone(), false).set_column_encoding(path, encoding);
    }
    builder.build()
}

/// A file written here, in row groups and batches of so many rows.
fn written(batch: &RecordBatch, properties: &WriterProperties, batch_rows: usize) -> Bytes {
    let mut file = Vec::new();
    let options = ArrowWriterOptions::new().with_properties(properties.clone());
    let writer = ArrowWriter::try_new_with_options(&mut file, batch.schema(), options).expect("a writer");
    let (mut writer, _) = writer.into_serialized_writer().expect("a writer");
    let pages = FilePages::new(Arc::new(PagePool::new(20_000)));
    let compressors = Compressors::default();
    let group_rows = properties.max_row_group_row_count().expect("a bound");
    for group in slices(batch, group_rows) {
        let leaves = writer.schema_descr().columns().to_vec();
        let mut row_group = writer.next_row_group().expect("a row group");
        for (leaf, (field, array)) in leaves.iter().zip(batch.schema().fields().iter().zip(group.columns())) {
            let mut column =
                FlatWriter::new(field.data_type(), leaf, properties, pages.column()).expect("a flat column");
            for start in (0..array.len()).step_by(batch_rows) {
                let values = array.slice(start, batch_rows.min(array.len() - start));
                compressors.with(|compressor| column.write(&values, compressor)).expect("writes");
            }
            let chunk = compressors.with(|compressor| column.close(compressor)).expect("closes");
            chunk.append_to_row_group(&mut row_group).expect("appends");
        }
        row_group.close().expect("closes");
    }
    writer.finish().expect("finishes");
    assert_eq!(pages.bytes(), 0);
    drop(writer);
    file.into()
}

/// The same as the general writer writes it.
fn written_generally(batch: &RecordBatch, properties: &WriterProperties) -> Bytes {
    let mut file = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut file, batch.schema(), Some(properties.clone())).expect("a writer");
    writer.write(batch).expect("writes");
    writer.close().expect("closes");
    file.into()
}

fn slices(batch: &RecordBatch, rows: usize) -> impl Iterator<Item = RecordBatch> {
    (0..batch.num_rows()).step_by(rows).map(move |start| batch.slice(start, rows.min(batch.num_rows() - start)))
}

fn reader(file: &Bytes) -> ParquetRecordBatchReaderBuilder<Bytes> {
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
    ParquetRecordBatchReaderBuilder::try_new_with_options(file.clone(), options).expect("a Parquet file")
}

fn read(reader: ParquetRecordBatchReaderBuilder<Bytes>, schema: &SchemaRef) -> RecordBatch {
    let batches: Vec<RecordBatch> = reader.build().expect("reads").map(|batch| batch.expect("reads")).collect();
    concat_batches(schema, &batches).expect("one schema")
}

/// The file gives back what was written, whole and page by page, and says of it what the general writer says.
fn check(batch: &RecordBatch, has_dictionaries: bool, group_rows: usize, batch_rows: usize) {
    let properties = properties(&batch.schema(), has_dictionaries, group_rows);
    let file = written(batch, &properties, batch_rows);
    let schema = batch.schema();
    assert_eq!(read(reader(&file), &schema), *batch);
    let general = written_generally(batch, &properties);
    let (ours, theirs) = (reader(&file).metadata().clone(), reader(&general).metadata().clone());
    assert_eq!(ours.num_row_groups(), theirs.num_row_groups());
    for (group, rows) in slices(batch, group_rows).enumerate() {
        assert_eq!(ours.row_group(group).num_rows(), theirs.row_group(group).num_rows());
        for (index, array) in rows.columns().iter().enumerate() {
            let (our, their) = (ours.row_group(group).column(index), theirs.row_group(group).column(index));
            assert_eq!(our.statistics(), their.statistics(), "{} {index}", array.data_type());
            assert_eq!(our.num_values(), their.num_values());
            assert_eq!(our.unencoded_byte_array_data_bytes(), their.unencoded_byte_array_data_bytes());
            assert_eq!(our.definition_level_histogram(), their.definition_level_histogram());
            check_pages(&ours, group, index, array, &schema);
        }
    }
    check_selection(&file, batch, &ours);
}

/// The column index is there where the general writer would write one, and its bounds hold all values.
fn check_pages(metadata: &ParquetMetaData, group: usize, index: usize, array: &ArrayRef, schema: &Schema) {
    let columns = metadata.column_index().expect("a column index");
    let offsets = metadata.offset_index().expect("an offset index");
    let locations = offsets[group][index].page_locations();
    let starts: Vec<usize> = locations.iter().map(|page| page.first_row_index as usize).collect();
    let ends = starts.iter().skip(1).copied().chain([array.len()]);
    let pages: Vec<ArrayRef> = starts.iter().zip(ends).map(|(start, end)| array.slice(*start, end - start)).collect();
    let numbers: Vec<ArrayRef> = pages.iter().map(without_nan).collect();
    let only_nan = |(page, numbers): (&ArrayRef, &ArrayRef)| numbers.is_empty() && page.null_count() < page.len();
    let of_column = &columns[group][index];
    if pages.iter().zip(&numbers).any(only_nan) {
        assert!(matches!(of_column, ColumnIndexMetaData::NONE), "an index without bounds");
        return;
    }
    let field = schema.field(index);
    let descriptor = metadata.file_metadata().schema_descr();
    let converter = StatisticsConverter::try_new(field.name(), schema, descriptor).expect("a column of the file");
    let mins = converter.data_page_mins(columns, offsets, &[group]).expect("bounds");
    let maxes = converter.data_page_maxes(columns, offsets, &[group]).expect("bounds");
    let nulls = converter.data_page_null_counts(columns, offsets, &[group]).expect("counts");
    assert_eq!(mins.len(), pages.len());
    for (page, (values, numbers)) in pages.iter().zip(&numbers).enumerate() {
        assert_eq!(nulls.value(page), values.null_count() as u64);
        assert_eq!(of_column.is_null_page(page), values.null_count() == values.len());
        if numbers.is_empty() {
            continue;
        }
        let numbers = match numbers.data_type() {
            DataType::Dictionary(_, values) => cast(numbers, values).expect("casts"),
            _ => numbers.clone(),
        };
        let bound = |bounds: &ArrayRef| Scalar::new(cast(&bounds.slice(page, 1), numbers.data_type()).expect("casts"));
        let above = cmp::gt_eq(&numbers, &bound(&mins)).expect("compares");
        let below = cmp::lt_eq(&numbers, &bound(&maxes)).expect("compares");
        assert_eq!(above.true_count(), numbers.len(), "{} of {}", page, field);
        assert_eq!(below.true_count(), numbers.len(), "{} of {}", page, field);
    }
}

fn without_nan(array: &ArrayRef) -> ArrayRef {
    let numbers = match array.data_type() {
        DataType::Float32 => {
            array.as_primitive::<Float32Type>().iter().map(|it| it.is_some_and(|it| !it.is_nan())).collect()
        }
        DataType::Float64 => {
            array.as_primitive::<Float64Type>().iter().map(|it| it.is_some_and(|it| !it.is_nan())).collect()
        }
        _ => is_not_null(array).expect("an array"),
    };
    filter(array, &numbers).expect("filters")
}

/// Rows amid the file are found by skipping pages.
fn check_selection(file: &Bytes, batch: &RecordBatch, metadata: &ParquetMetaData) {
    assert!(metadata.offset_index().is_some());
    let rows = batch.num_rows();
    let (skipped, selected) = (rows / 2 + rows / 7, (rows / 20).max(1).min(rows - rows / 2 - rows / 7));
    let selection = RowSelection::from(vec![
        RowSelector::skip(skipped),
        RowSelector::select(selected),
        RowSelector::skip(rows - skipped - selected),
    ]);
    let found = read(reader(file).with_row_selection(selection), &batch.schema());
    assert_eq!(found, batch.slice(skipped, selected));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn every_flat_type_reads_back_with_the_statistics_of_the_general_writer(
        rows in prop_oneof![1_usize..300, 15_000_usize..60_000],
        distinct in prop_oneof![Just(1_u64), 2_u64..12, 12_u64..3000, Just(u64::MAX)],
        nulls in prop_oneof![Just(0_u64), 1_u64..99, Just(100_u64)],
        run in prop_oneof![Just(1_u64), 2_u64..50, Just(25_000_u64)],
        seed: u64,
        has_dictionaries: bool,
        group_rows in prop_oneof![Just(100_000_usize), 10_000_usize..30_000],
        batch_rows in prop_oneof![Just(8192_usize), 1000_usize..70_000],
    ) {
        let batch = Shape { rows, distinct, nulls, run, seed }.batch();
        check(&batch, has_dictionaries, group_rows, batch_rows);
    }
}

#[test]
fn a_dictionary_that_grows_too_large_is_left() {
    // Of 60,000 different values of 64 bits, 2^17 fit into a dictionary; of the texts, fewer.
    let shape = Shape { rows: 300_000, distinct: u64::MAX, nulls: 3, run: 1, seed: 7 };
    let batch = shape.batch();
    check(&batch, true, 1_000_000, 8192);
    let properties = properties(&batch.schema(), true, 1_000_000);
    let metadata = reader(&written(&batch, &properties, 8192)).metadata().clone();
    let of_column = |name: &str| {
        let index = batch.schema().index_of(name).expect("a column");
        metadata.row_group(0).column(index).encodings().collect::<Vec<_>>()
    };
    for (name, encoding) in [
        ("c3", Encoding::DELTA_BINARY_PACKED),
        ("c4", Encoding::DELTA_BINARY_PACKED),
        ("c18", Encoding::PLAIN),
        ("c25", Encoding::DELTA_LENGTH_BYTE_ARRAY),
    ] {
        assert!(of_column(name).contains(&Encoding::RLE_DICTIONARY), "{name}");
        assert!(of_column(name).contains(&encoding), "{name}");
    }
}

#[test]
fn long_strings_fill_pages_alone() {
    let texts: StringArray = (0..50_usize).map(|row| Some("é".repeat(row * 30_000))).collect();
    let schema = Arc::new(Schema::new(vec![Field::new("c0", DataType::Utf8, true)]));
    let batch = RecordBatch::try_new(schema, vec![Arc::new(texts)]).expect("a batch");
    check(&batch, false, 1_000, 1_000);
    check(&batch, true, 1_000, 1_000);
    let metadata = reader(&written(&batch, &properties(&batch.schema(), false, 1000), 1000)).metadata().clone();
    let pages = metadata.offset_index().expect("an index")[0][0].page_locations().len();
    assert!((30..50).contains(&pages), "{pages}");
}
