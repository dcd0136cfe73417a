use std::collections::{BTreeMap, BTreeSet};

use serde_saphyr::Spanned;

use super::{
    BooleanSpellings, CheckedSpec, Column, ColumnSpec, ColumnType, CsvDialect, Dedupe, DedupeSpec, Dialect, Format,
    Keep, MatchGlob, PipelineSpec, SpecErrors, Tolerance,
    error::{Findings, unknown},
};

pub(super) fn check(file: &str, text: &str, digest: String, spec: PipelineSpec) -> Result<CheckedSpec, SpecErrors> {
    let mut findings = Findings::new(file);
    check_name(&spec.pipeline, &mut findings);
    let match_glob = check_match(&spec.source.r#match, &mut findings);
    let dialect = check_dialect(&spec.source.csv, spec.source.format, &mut findings);
    let columns = check_columns(&spec, &mut findings);
    let tolerance = check_tolerance(&spec, &mut findings);
    let table_prefix = check_table(&spec, match_glob.as_ref(), &mut findings);
    let dedupe = spec.load.dedupe.as_ref().and_then(|dedupe| check_dedupe(dedupe, &mut findings));
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
        dialect,
        tolerance,
        table_prefix,
        dedupe,
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

fn check_dialect(csv: &CsvDialect, format: Option<Format>, findings: &mut Findings<'_>) -> Dialect {
    let delimiter = match &csv.delimiter {
        None => vec![if format == Some(Format::Tsv) { b'\t' } else { b',' }],
        Some(delimiter) => {
            let bytes = delimiter.value.as_bytes();
            if bytes.is_empty() || bytes.len() > 8 || bytes.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
                let message =
                    format!("`delimiter` is one to eight bytes without a line end, not {:?}", delimiter.value);
                findings.add(delimiter, message);
            }
            bytes.to_vec()
        }
    };
    let quote = if csv.quote.value.is_empty() { None } else { check_ascii(&csv.quote, "quote", findings) };
    let escape = csv.escape.as_ref().and_then(|escape| check_ascii(escape, "escape", findings));
    let comment = csv.comment.as_ref().and_then(|comment| check_ascii(comment, "comment", findings));
    if quote.is_some_and(|quote| delimiter.contains(&quote)) {
        findings.add(&csv.quote, "`quote` and `delimiter` are the same character");
    }
    if let (Some(at), Some(escape)) = (&csv.escape, escape)
        && delimiter.contains(&escape)
    {
        findings.add(at, "`escape` and `delimiter` are the same character");
    }
    Dialect { delimiter, quote, escape: escape.filter(|escape| Some(*escape) != quote), comment }
}

fn check_ascii(value: &Spanned<String>, what: &str, findings: &mut Findings<'_>) -> Option<u8> {
    match value.value.as_bytes() {
        [byte] if byte.is_ascii() && !matches!(byte, b'\n' | b'\r') => Some(*byte),
        _ => {
            findings
                .add(value, format!("`{what}` is one ASCII character other than a line end, not {:?}", value.value));
            None
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
        let text = |text: &Option<Spanned<String>>| text.as_ref().map(|text| text.value.clone());
        match ColumnType::parse(&column.r#type.value, text(&column.format).as_deref(), text(&column.zone).as_deref()) {
            Ok(column_type) => columns.push(understood(spec, column, column_type)),
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
    let is_json = matches!(spec.source.format, Some(Format::Ndjson | Format::Json));
    let nulls = if is_json { &spec.source.json.nulls } else { &spec.source.csv.nulls };
    let scalar = |scalar: &Option<Spanned<super::Scalar>>| scalar.as_ref().map(|scalar| scalar.value.0.clone());
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

fn check_dedupe(dedupe: &DedupeSpec, findings: &mut Findings<'_>) -> Option<Dedupe> {
    if dedupe.key.is_empty() {
        findings.add(&dedupe.keep, "`dedupe` needs a `key` of at least one column");
    }
    let keep = match dedupe.keep.value.trim() {
        "first" => Keep::First,
        "last" => Keep::Last,
        other => match other.strip_prefix("max(").and_then(|rest| rest.strip_suffix(')')) {
            Some(column) if !column.trim().is_empty() => Keep::Max(column.trim().to_owned()),
            _ => {
                findings.add(&dedupe.keep, format!("`keep` is `first`, `last` or `max(column)`, not `{other}`"));
                return None;
            }
        },
    };
    Some(Dedupe { key: dedupe.key.iter().map(|column| column.value.clone()).collect(), keep })
}
