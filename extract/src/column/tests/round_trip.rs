//! Blocks, batches and checkpoints: how values are gathered does not depend on where they are cut.

use std::sync::Arc;

use arrow::array::{AsArray, BinaryArray, Decimal128Array, Float64Array};
use arrow::datatypes::Float64Type;
use proptest::prelude::*;
use stepwell_pipeline::spec::{BinaryEncoding, BooleanSpellings, NamedType};

use super::*;

/// The text of a value, by number.
type Spelling = fn(u32) -> String;

/// Every type with texts of it.
fn types() -> Vec<(ColumnType, Spelling)> {
    let number: Spelling = |seed| (seed % 100).to_string();
    let mut types: Vec<(ColumnType, Spelling)> = Vec::new();
    types.extend([8, 16, 32, 64].map(|bits| (ColumnType::Int(bits), number)));
    types.extend([8, 16, 32, 64].map(|bits| (ColumnType::Uint(bits), number)));
    types.extend([32, 64].map(|bits| (ColumnType::Float(bits), number)));
    types.extend(
        [(9, 2), (18, 0), (38, 4)].map(|(precision, scale)| (ColumnType::Decimal { precision, scale }, number)),
    );
    let named = |name: &str, column_type| NamedType { name: name.into(), column_type };
    types.extend([
        (ColumnType::Boolean(BooleanSpellings::default()), (|seed| seed.is_multiple_of(2).to_string()) as Spelling),
        (ColumnType::String, |seed| format!("é{}", "x".repeat(seed as usize % 90))),
        (ColumnType::Binary(BinaryEncoding::Hex), |seed| "0a".repeat(seed as usize % 40 + 1)),
        (ColumnType::Date(ColumnType::ISO_DATE.into()), |seed| format!("20{:02}-02-03", seed % 100)),
        (ColumnType::Time(ColumnType::ISO_TIME.into()), |seed| format!("10:11:{:02}", seed % 60)),
        (timestamp(ColumnType::ISO_TIMESTAMP, None), |seed| format!("20{:02}-02-03T10:11:12", seed % 100)),
        (timestamp(ColumnType::ISO_TIMESTAMP, Some("Asia/Tokyo")), |seed| {
            format!("20{:02}-02-03T10:11:12", seed % 100)
        }),
        (timestamp("epoch_s", None), |seed| seed.to_string()),
        (ColumnType::List(Box::new(ColumnType::Int(16))), |seed| format!("{:?}", vec![7; seed as usize % 4])),
        (
            ColumnType::Struct(vec![
                named("a", ColumnType::String),
                named("b", ColumnType::Decimal { precision: 9, scale: 2 }),
            ]),
            |seed| format!(r#"{{"a":"{seed}","b":{}}}"#, seed % 100),
        ),
    ]);
    types
}

#[derive(Clone, Debug)]
enum Seed {
    Value(u32),
    Null,
    Bad,
}

fn seeds() -> impl Strategy<Value = Vec<Seed>> {
    let seed = prop_oneof![6 => any::<u32>().prop_map(Seed::Value), 1 => Just(Seed::Null), 1 => Just(Seed::Bad)];
    prop::collection::vec(seed, 0..60)
}

fn cell(seed: &Seed, text: Spelling) -> Option<Vec<u8>> {
    match seed {
        Seed::Value(seed) => Some(text(*seed).into_bytes()),
        Seed::Null => Some(Vec::new()),
        Seed::Bad => Some(b"\xff".to_vec()),
    }
}

fn parse_and_keep(parser: &mut ColumnParser, seeds: &[Seed], text: Spelling) {
    let block = Block::new(seeds.iter().map(|seed| cell(seed, text)), seeds.len().is_multiple_of(2));
    let mut faults = Faults::new(seeds.len());
    parser.parse(&block, &mut faults);
    let good = faults.good();
    let selection = if faults.any() { Selection::Some(&good) } else { Selection::All(seeds.len()) };
    parser.keep(&block, &selection);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn cuts_leave_no_trace(blocks in prop::collection::vec(seeds(), 1..6), batch in 1..40_usize, stop in any::<prop::sample::Index>()) {
        let whole: Vec<Seed> = blocks.concat();
        for (column_type, text) in types() {
            let column = Column::new("c", column_type.clone());
            let mut at_once = parser(&column);
            parse_and_keep(&mut at_once, &whole, text);
            let expected = plain(at_once.take(at_once.len()));
            prop_assert_eq!(expected.data_type(), &column_type.staged_type());

            let mut by_blocks = parser(&column);
            let mut taken: Vec<ArrayRef> = Vec::new();
            for (index, block) in blocks.iter().enumerate() {
                parse_and_keep(&mut by_blocks, block, text);
                while by_blocks.len() >= batch {
                    taken.push(plain(by_blocks.take(batch)));
                }
                if index == stop.index(blocks.len()) {
                    let saved = plain(by_blocks.take(by_blocks.len()));
                    by_blocks = parser(&column);
                    by_blocks.restore(&saved).expect("of the column's type");
                    prop_assert_eq!(by_blocks.len(), saved.len());
                }
            }
            prop_assert!(taken.iter().all(|array| array.len() == batch));
            taken.push(plain(by_blocks.take(by_blocks.len())));
            prop_assert_eq!(by_blocks.len(), 0);
            let taken: Vec<&dyn Array> = taken.iter().map(|array| array.as_ref()).collect();
            let joined = arrow::compute::concat(&taken).expect("of one type");
            prop_assert_eq!(&joined, &expected, "{}", column_type);
        }
    }

    #[test]
    fn what_is_printed_is_parsed_again(seeds in seeds()) {
        for (column_type, text) in types() {
            if matches!(column_type, ColumnType::List(_) | ColumnType::Struct(_)) {
                continue;
            }
            let column = match &column_type {
                ColumnType::Timestamp(format) if format.is_instant() => Column::new("c", timestamp("%Y-%m-%dT%H:%M:%S%:z", None)),
                _ => Column::new("c", column_type.clone()),
            };
            let mut first = parser(&Column::new("c", column_type.clone()));
            parse_and_keep(&mut first, &seeds, text);
            let array = plain(first.take(first.len()));
            let block = Block::new(printed(&array), true);
            let mut again = parser(&column);
            let mut faults = Faults::new(block.len());
            again.parse(&block, &mut faults);
            prop_assert!(!faults.any(), "{:?}", faults);
            prop_assert_eq!(&again.block_array(&block), &array, "{}", column_type);
        }
    }

    #[test]
    fn arrays_of_extremes_survive(
        floats in prop::collection::vec(prop::option::of(any::<f64>()), 0..50),
        decimals in prop::collection::vec(prop::option::of(-(10_i128.pow(38) - 1)..10_i128.pow(38)), 0..50),
        bytes in prop::collection::vec(prop::option::of(prop::collection::vec(any::<u8>(), 1..70)), 0..50),
    ) {
        let floats: ArrayRef = Arc::new(Float64Array::from(floats));
        let decimals: ArrayRef = Arc::new(Decimal128Array::from(decimals).with_precision_and_scale(38, 7).expect("in range"));
        let bytes: ArrayRef = Arc::new(BinaryArray::from_iter(bytes));
        for (column_type, array) in [
            (ColumnType::Float(64), floats),
            (ColumnType::Decimal { precision: 38, scale: 7 }, decimals),
            (ColumnType::Binary(BinaryEncoding::Hex), bytes),
        ] {
            let block = Block::new(printed(&array), false);
            let mut again = parser(&Column::new("c", column_type));
            let mut faults = Faults::new(block.len());
            again.parse(&block, &mut faults);
            prop_assert!(!faults.any(), "{:?}", faults);
            again.keep(&block, &Selection::All(block.len()));
            let kept = again.take(block.len());
            match (kept.as_primitive_opt::<Float64Type>(), array.as_primitive_opt::<Float64Type>()) {
                // Not equal to itself: not a number.
                (Some(kept), Some(array)) => prop_assert_eq!(format!("{kept:?}"), format!("{array:?}")),
                _ => prop_assert_eq!(&kept, &array),
            }
        }
    }
}

#[test]
fn another_type_is_not_restored() {
    let strings: ArrayRef = Arc::new(arrow::array::StringArray::from(vec!["a"]));
    for (column_type, _) in types() {
        let mut parser = parser(&Column::new("c", column_type.clone()));
        assert_eq!(parser.restore(&strings).is_err(), column_type != ColumnType::String, "{column_type}");
    }
}
