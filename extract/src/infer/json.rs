use serde_json::Value;
use stepwell_pipeline::spec::Format;

use super::{Seen, Table, values::Values};

/// Columns beyond these are not declared.
const COLUMNS_MAX: usize = 1000;

pub(super) fn read(text: &str, later: &[String], format: Format, is_whole: bool) -> Result<Table, String> {
    let mut table = Table::default();
    if format == Format::Json {
        return read_document(text, is_whole, table);
    }
    for line in text.lines().chain(later.iter().flat_map(|piece| piece.lines())) {
        // A line that the sample cuts is no JSON.
        if let Ok(record @ Value::Object(_)) = serde_json::from_str(line) {
            table.see(&record);
        }
    }
    Ok(table)
}

fn read_document(text: &str, is_whole: bool, mut table: Table) -> Result<Table, String> {
    if let Some(items) = text.trim_start().strip_prefix('[') {
        let mut rest = items;
        loop {
            rest = rest.trim_start_matches(|letter: char| letter.is_whitespace() || letter == ',');
            let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
            let Some(Ok(record)) = values.next() else { return Ok(table) };
            rest = &rest[values.byte_offset()..];
            table.see(&record);
        }
    }
    if !is_whole {
        return Err(
            "the JSON document is too large to find its array of records: declare `records` yourself".to_owned()
        );
    }
    let document: Value = serde_json::from_str(text).map_err(|error| format!("the file is no JSON: {error}"))?;
    let mut steps = Vec::new();
    let Some(records) = records_of(&document, &mut steps) else {
        return Err("the JSON document holds no array of objects".to_owned());
    };
    records.iter().for_each(|record| table.see(record));
    table.options.push(format!("records: {}", super::write::quoted(&steps.join("."))));
    Ok(table)
}

/// The first array of objects, outermost first in the document's order of names.
fn records_of<'a>(value: &'a Value, steps: &mut Vec<String>) -> Option<&'a Vec<Value>> {
    match value {
        Value::Array(items) if items.first().is_some_and(Value::is_object) => Some(items),
        Value::Object(fields) => fields.iter().filter(|(name, _)| !name.is_empty()).find_map(|(name, value)| {
            steps.push(name.clone());
            let found = records_of(value, steps);
            if found.is_none() {
                steps.pop();
            }
            found
        }),
        _ => None,
    }
}

impl Table {
    fn see(&mut self, record: &Value) {
        let Value::Object(fields) = record else { return };
        let seen_before: u64 = self.records;
        self.records += 1;
        // No path leads to a member without a name.
        for (name, value) in fields.iter().filter(|(name, _)| !name.is_empty()) {
            self.see_field(&mut vec![name.clone()], value, seen_before);
        }
        // Columns that this record lacks.
        for column in &mut self.columns {
            if column.values.count < self.records {
                column.values.see_null();
            }
        }
    }

    fn see_field(&mut self, path: &mut Vec<String>, value: &Value, seen_before: u64) {
        // A name with a dot could not be told from a path, and stays one with its parent.
        if let Value::Object(fields) = value
            && !fields.is_empty()
            && fields.keys().all(|name| !name.is_empty() && !name.contains('.'))
            && path.iter().all(|step| !step.contains('.'))
        {
            for (name, value) in fields {
                path.push(name.clone());
                self.see_field(path, value, seen_before);
                path.pop();
            }
            return;
        }
        let joined = path.join(".");
        let place = match self.columns.iter().position(|seen| seen.path.as_deref() == Some(&joined)) {
            Some(place) => place,
            None if self.columns.len() < COLUMNS_MAX => {
                let values = Values::absent(seen_before);
                self.columns.push(Seen { name: path.join("_"), path: Some(joined), values });
                self.columns.len() - 1
            }
            None => return,
        };
        see_value(&mut self.columns[place].values, value);
    }
}

fn see_value(values: &mut Values, value: &Value) {
    match value {
        Value::Null => values.see_null(),
        Value::Bool(value) => values.see_boolean(*value),
        Value::Number(number) => values.see_json_number(&number.to_string()),
        Value::String(text) => values.see_string(text),
        Value::Object(_) => {
            values.is_nested = true;
            values.count += 1;
        }
        Value::Array(items) => {
            values.count += 1;
            let list = values.list.get_or_insert_default();
            items.iter().for_each(|item| see_value(list, item));
        }
    }
}
