#![allow(clippy::expect_used, reason = "tests fail by panicking")]

use proptest::prelude::*;
use stepwell_pipeline::spec::{CheckedSpec, Format};

use super::{Block, CsvDecoder, Faults, Quoting, TextDecoder};
use crate::column::Fields;

const COLUMNS: usize = 3;

fn spec(delimiter: &str) -> CheckedSpec {
    let text = format!(
        "pipeline: p\nsource: {{ match: \"in/*\", format: csv, csv: {{ header: false, delimiter: \"{delimiter}\" }} }}\n\
         schema:\n  - {{ name: a, type: string }}\n  - {{ name: b, type: string }}\n  - {{ name: c, type: string }}\n\
         load: {{ target: parquet, path: lake/p/ }}\n"
    );
    CheckedSpec::parse("p.yaml", &text).expect("a good spec")
}

/// Records of three fields mostly, quoted or not.
fn records() -> impl Strategy<Value = Vec<Vec<String>>> {
    let field = prop_oneof!["[ab\u{e9}]{0,3}", "\"[ab, \n]{0,3}\"", Just("\"a\"\"b\"".to_owned())];
    let fields = prop_oneof![8 => Just(COLUMNS), 1 => 1..6_usize];
    prop::collection::vec(fields.prop_flat_map(move |fields| prop::collection::vec(field.clone(), fields)), 1..12)
}

proptest! {
    /// The cells of records of the right number of fields are the same, found one by one or at regular places.
    #[test]
    fn regular_cells_are_the_cells(records in records(), delimiter in prop_oneof![Just(","), Just("||")], is_ended: bool) {
        let lines: Vec<String> = records.iter().map(|fields| fields.join(delimiter)).collect();
        let text = lines.join("\n") + if is_ended { "\n" } else { "" };
        let spec = spec(delimiter);
        let mut decoder = CsvDecoder::new(&spec, Format::Csv, "x.csv").expect("a good dialect");
        decoder.index(text.as_bytes(), true).expect("records");
        let block = decoder.block(text.as_bytes());
        let mut faults = Faults::new(block.records());
        block.mark(&mut faults);
        for column in 0..COLUMNS {
            let cells = block.cells(column);
            let Some(regular) = cells.regular() else {
                prop_assert!(decoder.quoting == Quoting::Full || block.records() == 0);
                continue;
            };
            prop_assert_eq!(regular.len(), cells.len());
            for record in 0..cells.len() {
                let cell = regular.get(record);
                prop_assert!(faults.is_bad(record) || cell == cells.get(record), "{column} of {record}: {cell:?}");
            }
        }
    }
}
