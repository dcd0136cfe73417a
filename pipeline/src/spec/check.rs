use std::collections::{BTreeMap, BTreeSet};

use serde_saphyr::Spanned;

use super::{
    CheckedSpec, Column, ColumnType, MatchGlob, PipelineSpec, SpecErrors, Tolerance,
    error::{Findings, unknown},
};

pub(super) fn check(file: &str, text: &str, digest: String, spec: PipelineSpec) -> Result<CheckedSpec, SpecErrors> {
    let mut findings = Findings::new(file);
    check_name(&spec.pipeline, &mut findings);
    let match_glob = check_match(&spec.source.r#match, &mut findings);
    let delimiter = check_ascii(&spec.source.csv.delimiter, "delimiter", &mut findings);
    let quote = check_ascii(&spec.source.csv.quote, "quote", &mut findings);
    if delimiter == quote {
        findings.add(&spec.source.csv.quote, "`quote` and `delimiter` are the same character");
    }
    let columns = check_columns(&spec, &mut findings);
    let tolerance = check_tolerance(&spec, &mut findings);
    let table_prefix = check_table(&spec, match_glob.as_ref(), &mut findings);
    let mut partitions = BTreeSet::new();
    for column in &spec.load.partition_by {
        if !partitions.insert(column.value.as_str()) {
            findings.add(column, format!("`{}` stands twice in `partition_by`", column.value));
        }
    }
    if spec.transform.sql.value.trim().is_empty() {
        findings.add(&spec.transform.sql, "`sql` is empty; leave it out to keep every column as it is");
    }
    findings.into_result()?;
    let Some(match_glob) = match_glob else { return Err(SpecErrors(Vec::new())) };
    Ok(CheckedSpec {
        text: text.to_owned(),
        file: file.to_owned(),
        digest,
        match_glob,
        columns,
        delimiter,
        quote,
        tolerance,
        table_prefix,
        spec,
    })
}

fn check_name(name: &Spanned<String>, findings: &mut Findings<'_>) {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.value.as_bytes();
    let ok = bytes.first().is_some_and(|byte| legal(*byte))
        && bytes.len() <= 40
        && bytes.iter().all(|byte| legal(*byte) || b"-_".contains(byte));
    if !ok {
        findings.add(
            name,
            format!(
                "`{}` is no pipeline name: 1 to 40 lowercase letters, digits, `-` and `_`, a letter or digit first",
                name.value
            ),
        );
    }
}

fn check_match(pattern: &Spanned<String>, findings: &mut Findings<'_>) -> Option<MatchGlob> {
    if pattern.value.is_empty() || pattern.value.starts_with('/') || pattern.value.contains("://") {
        findings.add(
            pattern,
            format!("`{}` fits no key: write the glob as keys are, without bucket or leading slash", pattern.value),
        );
        return None;
    }
    MatchGlob::new(&pattern.value).map_err(|message| findings.add(pattern, message)).ok()
}

fn check_ascii(value: &Spanned<String>, what: &str, findings: &mut Findings<'_>) -> u8 {
    match value.value.as_bytes() {
        [byte] if byte.is_ascii() && !matches!(byte, b'\n' | b'\r') => *byte,
        _ => {
            findings
                .add(value, format!("`{what}` is one ASCII character other than a line end, not {:?}", value.value));
            0
        }
    }
}

fn check_columns(spec: &PipelineSpec, findings: &mut Findings<'_>) -> Vec<Column> {
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
        if let Some(line) = lines.insert(name, column.name.referenced.line()) {
            findings.add(&column.name, format!("column `{name}` is declared twice, first on line {line}"));
        }
        let format = column.format.as_ref().map(|format| format.value.as_str());
        match ColumnType::parse(&column.r#type.value, format) {
            Ok(column_type) => columns.push(Column { name: name.clone(), column_type, required: column.required }),
            Err(message) => findings.add(&column.r#type, format!("column `{name}`: {message}")),
        }
    }
    columns
}

fn check_tolerance(spec: &PipelineSpec, findings: &mut Findings<'_>) -> Tolerance {
    let Some(tolerate) = &spec.rejects.tolerate else { return Tolerance::default() };
    Tolerance::parse(&tolerate.value).unwrap_or_else(|| {
        findings.add(
            tolerate,
            format!("`{}` is no bound: write a share from 0% to 100% or a number of records", tolerate.value),
        );
        Tolerance::default()
    })
}

fn check_table(spec: &PipelineSpec, match_glob: Option<&MatchGlob>, findings: &mut Findings<'_>) -> String {
    let path = &spec.load.path;
    let (bucket, prefix) = path.value.split_once('/').unwrap_or((&path.value, ""));
    let prefix = if prefix.is_empty() || prefix.ends_with('/') { prefix.to_owned() } else { format!("{prefix}/") };
    match bucket {
        "lake" => {}
        "landing" if match_glob.is_some_and(|glob| glob.may_fit_below(&prefix)) => findings.add(
            path,
            format!(
                "the pipeline's own `match` `{}` could pick up what it writes to `{}`, and run forever; write to `lake/`",
                spec.source.r#match.value, path.value
            ),
        ),
        "landing" => findings.add(
            path,
            format!("what is written to `{}` would start runs, since objects arrive there; write to `lake/`", path.value),
        ),
        other => findings.add(path, format!("`path` begins with its bucket: {}", unknown("bucket", other, ["lake"]))),
    }
    if prefix.is_empty() {
        findings.add(
            path,
            "`path` names a bucket and no prefix; a table needs a prefix of its own, such as `lake/flights/`",
        );
    } else if crate::store::path(&prefix).is_err() {
        findings.add(path, format!("`{}` has an empty, `.` or `..` segment or a control character", path.value));
    }
    prefix
}
