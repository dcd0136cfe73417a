use std::{collections::BTreeMap, fmt::Write as _};

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime};
use serde_saphyr::Spanned;

use super::super::{
    BooleanSpellings, Column, ColumnSpec, ColumnType, EXTRA, Format, Pii, PipelineSpec, Scalar, UnknownColumns,
    error::Findings,
};

/// The columns, understood; what is wrong with them goes to `findings`.
pub(super) fn check(spec: &PipelineSpec, findings: &mut Findings<'_>) -> Vec<Column> {
    if spec.schema.is_empty() {
        findings.add(&spec.pipeline, "`schema` declares no column");
    }
    let mut lines = BTreeMap::new();
    let mut columns = Vec::with_capacity(spec.schema.len());
    for column in &spec.schema {
        let name = &column.name.value;
        if name.is_empty() {
            findings.add(&column.name, "a column has an empty name");
        }
        if name == EXTRA && spec.unknown_columns == UnknownColumns::Keep {
            let message =
                format!("`{EXTRA}` is where `unknown_columns: keep` keeps them; call this column something else");
            findings.add(&column.name, message);
        }
        if let Some(line) = lines.insert(name, column.name.referenced.line()) {
            findings.add(&column.name, format!("column `{name}` is declared twice, first on line {line}"));
        }
        let text = |text: &Option<Spanned<String>>| text.as_ref().map(|text| text.value.clone());
        match ColumnType::parse(&column.r#type.value, text(&column.format).as_deref(), text(&column.zone).as_deref()) {
            Ok(column_type) => {
                let understood = understood(spec, column, column_type);
                Checker { spec, column, understood: &understood, findings }.check();
                columns.push(understood);
            }
            Err(message) => findings.add(&column.r#type, format!("column `{name}`: {message}")),
        }
    }
    columns
}

fn understood(spec: &PipelineSpec, column: &ColumnSpec, mut column_type: ColumnType) -> Column {
    let name = &column.name.value;
    if let ColumnType::Boolean(spellings) = &mut column_type {
        let default = BooleanSpellings::default();
        *spellings = BooleanSpellings {
            yes: column.r#true.clone().unwrap_or(default.yes),
            no: column.r#false.clone().unwrap_or(default.no),
        };
    }
    let is_json = match spec.source.expected_format() {
        Some(format) => format.is_json(),
        None => spec.source.json.given.is_some() && spec.source.csv.given.is_none(),
    };
    let nulls = if is_json { &spec.source.json.nulls } else { &spec.source.csv.nulls };
    let scalar = |scalar: &Option<Spanned<Scalar>>| scalar.as_ref().map(|scalar| scalar.value.0.clone());
    Column {
        name: name.clone(),
        path: match &column.path {
            Some(path) if is_json => path.value.split('.').map(str::to_owned).collect(),
            Some(path) => vec![path.value.clone()],
            None => vec![name.clone()],
        },
        column_type,
        required: column.required,
        nulls: column.nulls.as_ref().unwrap_or(nulls).clone(),
        trim: column.trim.unwrap_or(spec.source.csv.trim),
        default: scalar(&column.default),
        unique: column.unique,
        check: column.check.clone(),
        allowed: column.r#enum.iter().flat_map(|allowed| &allowed.value).map(|allowed| allowed.0.clone()).collect(),
        pattern: column.pattern.as_ref().map(|pattern| pattern.value.clone()),
        min: scalar(&column.min),
        max: scalar(&column.max),
        min_length: column.min_length.as_ref().map(|length| length.value),
        max_length: column.max_length.as_ref().map(|length| length.value),
        pii: column.pii,
    }
}

/// Checks whether a column's keys go with its type and with the source's format.
struct Checker<'a, 'f> {
    spec: &'a PipelineSpec,
    column: &'a ColumnSpec,
    understood: &'a Column,
    findings: &'a mut Findings<'f>,
}

impl Checker<'_, '_> {
    fn check(&mut self) {
        self.check_format();
        self.check_path();
        self.check_source_types();
        self.check_spellings();
        self.check_conditions();
        self.check_lengths();
        if self.is_nested() {
            self.check_nested();
        }
    }

    fn add<T>(&mut self, at: &Spanned<T>, message: impl AsRef<str>) {
        let message = format!("column `{}`: {}", self.column.name.value, message.as_ref());
        self.findings.add(at, message);
    }

    fn is_nested(&self) -> bool {
        matches!(self.understood.column_type, ColumnType::List(_) | ColumnType::Struct(_))
    }

    fn check_format(&mut self) {
        let column = self.column;
        if let Some(format) = &column.format
            && let Some(message) = incomplete(&self.understood.column_type)
        {
            self.add(format, message);
        }
        if let (Some(zone), ColumnType::Timestamp(format)) = (&column.zone, &self.understood.column_type)
            && ColumnType::EPOCHS.contains(&format.pattern.as_str())
        {
            self.add(zone, format!("`zone` does not go with `{}`, which counts in UTC", format.pattern));
        }
    }

    fn check_path(&mut self) {
        let column = self.column;
        let Some(path) = &column.path else { return };
        let format = self.spec.source.expected_format();
        if path.value.is_empty() || (format.is_some_and(Format::is_json) && path.value.split('.').any(str::is_empty)) {
            self.add(
                path,
                format!("`{}` is no path: write names with dots between them, as in `user.city`", path.value),
            );
        } else if format.is_none() && path.value.contains('.') {
            let message = "with a dot, `path` means nested values in JSON and a name in other formats: declare the source's `format`";
            self.add(path, message);
        } else if format.is_some_and(Format::is_delimited) && !self.spec.source.csv.header {
            self.add(path, "`path` names a column of the header, but `header` is false: the schema's order counts");
        }
    }

    fn check_source_types(&mut self) {
        let delimited = self.spec.source.expected_format().filter(|format| format.is_delimited());
        if let Some(format) = delimited.filter(|_| self.is_nested()) {
            let at = &self.column.r#type;
            self.add(
                at,
                format!(
                    "`{}` does not go with `{}`, which has no nested values; declare `string`",
                    at.value,
                    format.name()
                ),
            );
        }
    }

    fn check_spellings(&mut self) {
        let (column, understood) = (self.column, self.understood);
        let ColumnType::Boolean(spellings) = &understood.column_type else {
            for (key, given) in [("true", &column.r#true), ("false", &column.r#false)] {
                if given.is_some() {
                    self.add(
                        &column.r#type,
                        format!("`{key}` goes with `boolean`, not with `{}`", column.r#type.value),
                    );
                }
            }
            return;
        };
        for (key, list) in [("true", &spellings.yes), ("false", &spellings.no)] {
            if list.is_empty() {
                self.add(&column.r#type, format!("`{key}` has no spelling; leave it out for the usual ones"));
            }
            if let Some(null) = list.iter().find(|spelling| understood.nulls.contains(spelling)) {
                let message = format!("{null:?} is spelt for null and for `{key}`; give the column `nulls` of its own");
                self.add(&column.r#type, message);
            }
        }
        if let Some(both) = spellings.yes.iter().find(|spelling| spellings.no.contains(spelling)) {
            self.add(&column.r#type, format!("{both:?} is spelt for `true` and for `false`; declare both keys"));
        }
    }

    fn check_conditions(&mut self) {
        let (column, understood) = (self.column, self.understood);
        if let Some(allowed) = &column.r#enum {
            if allowed.value.is_empty() {
                self.add(allowed, "`enum` is empty, so that no value is allowed");
            }
            let twice = |index: usize| allowed.value[..index].contains(&allowed.value[index]);
            if let Some(index) = (0..allowed.value.len()).find(|index| twice(*index)) {
                self.add(allowed, format!("`{}` stands twice in `enum`", allowed.value[index].0));
            }
        }
        if let Some(check) = column.check.as_ref().filter(|check| check.value.trim().is_empty()) {
            self.add(check, "`check` is empty; write a condition such as `distance > 0`, or leave it out");
        }
        if let Some(pattern) = &column.pattern
            && understood.column_type != ColumnType::String
        {
            self.add(pattern, format!("`pattern` goes with `string`, not with `{}`", column.r#type.value));
        }
        let unordered = matches!(
            understood.column_type,
            ColumnType::Boolean(_) | ColumnType::Binary(_) | ColumnType::List(_) | ColumnType::Struct(_)
        );
        for (key, bound) in [("min", &column.min), ("max", &column.max)] {
            if let Some(bound) = bound.as_ref().filter(|_| unordered) {
                self.add(bound, format!("`{key}` does not go with `{}`", column.r#type.value));
            }
        }
        if let (Some(min), Some(max), true) = (&column.min, &column.max, understood.column_type.is_number())
            && let (Ok(least), Ok(greatest)) = (min.value.0.parse::<f64>(), max.value.0.parse::<f64>())
            && least > greatest
        {
            self.add(min, format!("`min` {} is greater than `max` {}", min.value.0, max.value.0));
        }
    }

    fn check_lengths(&mut self) {
        let column = self.column;
        for (key, length) in [("min_length", &column.min_length), ("max_length", &column.max_length)] {
            if let Some(length) = length.as_ref().filter(|_| self.understood.column_type != ColumnType::String) {
                self.add(length, format!("`{key}` goes with `string`, not with `{}`", column.r#type.value));
            }
        }
        if let (Some(min), Some(max)) = (&column.min_length, &column.max_length)
            && min.value > max.value
        {
            self.add(min, format!("`min_length` {} is greater than `max_length` {}", min.value, max.value));
        }
    }

    fn check_nested(&mut self) {
        let column = self.column;
        if column.unique {
            self.add(&column.r#type, format!("`unique` does not go with `{}`", column.r#type.value));
        }
        if column.pii == Some(Pii::Hash) {
            let message = format!(
                "`pii: hash` does not go with `{}`; declare a `string`, `redact` or `drop`",
                column.r#type.value
            );
            self.add(&column.r#type, message);
        }
        if let Some(allowed) = &column.r#enum {
            self.add(allowed, format!("`enum` does not go with `{}`", column.r#type.value));
        }
    }
}

/// What a format of a date, time or timestamp lacks, so that no text in it could be understood.
fn incomplete(column_type: &ColumnType) -> Option<String> {
    let (pattern, kind) = match column_type {
        ColumnType::Date(pattern) => (pattern, "day"),
        ColumnType::Time(pattern) => (pattern, "time of day"),
        ColumnType::Timestamp(format) if ColumnType::EPOCHS.contains(&format.pattern.as_str()) => return None,
        ColumnType::Timestamp(format) => (&format.pattern, "day and time of day"),
        _ => return None,
    };
    let sample = DateTime::parse_from_rfc3339("2001-02-03T04:05:06+00:00").ok()?;
    let mut text = String::new();
    let understood = write!(text, "{}", sample.format(pattern)).is_ok()
        && match column_type {
            ColumnType::Time(_) => NaiveTime::parse_from_str(&text, pattern).is_ok(),
            ColumnType::Date(_) => NaiveDate::parse_from_str(&text, pattern).is_ok(),
            // A day without a time of day means its midnight.
            _ => {
                NaiveDateTime::parse_from_str(&text, pattern).is_ok()
                    || (!has_time(pattern) && NaiveDate::parse_from_str(&text, pattern).is_ok())
            }
        };
    (!understood).then(|| format!("`{pattern}` does not tell the whole {kind}"))
}

fn has_time(pattern: &str) -> bool {
    ["%H", "%I", "%k", "%l", "%M", "%S", "%p", "%P", "%T", "%R", "%r", "%X"].iter().any(|item| pattern.contains(item))
}
