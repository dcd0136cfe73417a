//! Texts as codes against texts as they are.

use arrow::array::{Array, ArrayRef, AsArray};
use proptest::prelude::*;

use super::plain;
use crate::column::{cell::Cell, coded::CodedTexts};

type Value = Option<String>;

/// Few different short values, at times more or longer ones.
fn values() -> impl Strategy<Value = Vec<Value>> {
    let few = prop::option::weighted(0.9, "[ab\0]{0,2}");
    let many = prop::option::of("[a-z]{1,3}[\u{e9}a-z]{0,34}");
    (prop::collection::vec(few, 0..60), prop::collection::vec(many, 0..90), any::<bool>())
        .prop_map(|(few, many, last)| if last { [few, many].concat() } else { [many, few].concat() })
}

fn push(texts: &mut CodedTexts, values: &[Value]) {
    for value in values {
        match value {
            // Something else may follow a text in memory.
            Some(text) => {
                let window =
                    format!("{text}, and what else there is in the records behind it, which is no part of the cell");
                texts.push(Cell::new(window.as_bytes(), text.len()));
            }
            None => texts.push_null(),
        }
    }
}

/// What is taken of the values, batch by batch, if they are pushed in blocks and the process changes at times.
fn taken(values: &[Value], batch: usize, block: usize, round: usize) -> Vec<ArrayRef> {
    let mut texts = CodedTexts::default();
    let mut batches = Vec::new();
    for (number, block) in values.chunks(block).enumerate() {
        push(&mut texts, block);
        while texts.len() >= batch && (number + 1) % round != 0 {
            batches.push(texts.take(batch));
        }
        if (number + 1) % round == 0 {
            let coding = texts.coding();
            let rest = plain(texts.take(texts.len()));
            texts = CodedTexts::default();
            texts.resume(coding);
            texts.restore(rest.as_string());
        }
    }
    while texts.len() > 0 {
        batches.push(texts.take(texts.len().min(batch)));
    }
    batches
}

proptest! {
    #[test]
    fn values_are_the_same_coded_or_not(values in values(), batch in 1_usize..40, block in 1_usize..40) {
        let batches = taken(&values, batch, block, usize::MAX);
        let joined: Vec<Value> = batches
            .iter()
            .flat_map(|array| plain(array.clone()).as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect::<Vec<_>>())
            .collect();
        prop_assert_eq!(joined, values);
    }

    /// Neither the blocks nor the rounds show, and dictionaries go on where those before them ended.
    #[test]
    fn how_values_came_does_not_show(values in values(), batch in 1_usize..40, block in 1_usize..40, round in 1_usize..5) {
        let batches = taken(&values, batch, block, round);
        let one_by_one = taken(&values, batch, 1, usize::MAX);
        prop_assert_eq!(batches.len(), one_by_one.len());
        let mut texts = Vec::new();
        let mut is_plain = false;
        for (left, right) in batches.iter().zip(&one_by_one) {
            prop_assert_eq!(left.to_data(), right.to_data());
            let Some(dictionary) = left.as_any_dictionary_opt() else {
                is_plain = true;
                continue;
            };
            prop_assert!(!is_plain, "no dictionaries behind plain texts");
            let now: Vec<_> = dictionary.values().as_string::<i32>().iter().flatten().map(str::to_owned).collect();
            prop_assert!(now.starts_with(&texts));
            texts = now;
        }
    }
}

#[test]
fn many_different_texts_are_not_coded() {
    let few: Vec<Value> = (0..10_000).map(|number| Some((number % 64).to_string())).collect();
    let is_coded = |values: &[Value]| {
        taken(values, 1000, 1000, usize::MAX)
            .iter()
            .map(|array| array.as_any_dictionary_opt().is_some())
            .collect::<Vec<_>>()
    };
    assert_eq!(is_coded(&few), vec![true; 10]);
    let mut more = few.clone();
    more.extend((0..300).map(|number| Some(format!("more {number}"))));
    more.extend(few.clone());
    // 64 texts of the first and 192 of those that come later; then the next batch is plain.
    assert_eq!(is_coded(&more), [vec![true; 10], vec![false; 11]].concat());
    let many: Vec<Value> = (0..3000).map(|number| Some((number % 65).to_string())).collect();
    assert_eq!(is_coded(&many), vec![false; 3]);
}
