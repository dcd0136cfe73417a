use std::collections::BTreeMap;

use serde_saphyr::Spanned;

use super::super::{
    FieldCondition, Format, MatchGlob, MatchSpec, ObjectConditions, PipelineSpec, UnknownColumns,
    error::{Findings, unknown},
    object_match::{FieldValues, spelt},
};

pub(super) fn check_glob(written: &MatchSpec, findings: &mut Findings<'_>) -> Option<MatchGlob> {
    let pattern = &written.key;
    if pattern.value.is_empty() || pattern.value.starts_with('/') || pattern.value.contains("://") {
        findings.add(
            pattern,
            format!("`{}` fits no key: write the glob as keys are, without bucket or leading slash", pattern.value),
        );
        return None;
    }
    let suffixes = written.suffix.as_ref().map(|suffix| suffix.value.clone()).unwrap_or_default();
    let glob = MatchGlob::new(&pattern.value).map_err(|message| findings.add(pattern, message)).ok()?;
    Some(glob.with_suffixes(suffixes))
}

pub(super) fn check(spec: &PipelineSpec, text: &str, findings: &mut Findings<'_>) -> ObjectConditions {
    let written = &spec.source.r#match;
    if let Some(suffix) = &written.suffix
        && (suffix.value.is_empty() || suffix.value.iter().any(String::is_empty))
    {
        findings
            .add(suffix, "`suffix` lists what keys may end in, such as `[.json, .json.gz]`; leave it out for any end");
    }
    let min_bytes = written.min_bytes.as_ref().map_or(0, |min| min.value);
    let max_bytes = written.max_bytes.as_ref().map_or(u64::MAX, |max| max.value);
    if let Some(max) = written.max_bytes.as_ref().filter(|max| max.value < min_bytes.max(1)) {
        let message = match &written.min_bytes {
            Some(min) if max.value > 0 => format!("`max_bytes` {} is less than `min_bytes` {}", max.value, min.value),
            _ => "no object fits `max_bytes: 0`, since empty objects start nothing".to_owned(),
        };
        findings.add(max, message);
    }
    let fields = written.r#where.as_ref().map(|fields| check_where(spec, text, fields, findings)).unwrap_or_default();
    ObjectConditions { bytes: min_bytes..=max_bytes, fields }
}

fn check_where(
    spec: &PipelineSpec,
    text: &str,
    fields: &Spanned<BTreeMap<String, Spanned<FieldValues>>>,
    findings: &mut Findings<'_>,
) -> Vec<FieldCondition> {
    let format = spec.source.expected_format();
    if fields.value.is_empty() {
        findings.add(fields, "`where` asks for nothing; write fields and their values, such as `{ type: orders }`");
    }
    if let Some(format) = format.filter(|format| !format.is_text()) {
        let message = format!("`where` looks into text (csv, tsv, json, ndjson), not into `{}`", format.name());
        findings.add(fields, message);
    }
    let key = spec.source.r#match.key.value.to_ascii_lowercase();
    if let Some(packing) =
        [".zip", ".bz2", ".bzip2"].iter().find(|packing| key.trim_end_matches('*').ends_with(**packing))
    {
        findings.add(fields, format!("`where` looks into plain, gzip and zstd text, not into `{packing}`"));
    }
    let fields = fields.value.iter();
    fields
        .map(|(name, values)| {
            let accepted = spelt(values, text);
            check_name(spec, format, name, values, findings);
            if accepted.is_empty() {
                findings.add(values, format!("`where`: `{name}` lists no value that would fit"));
            }
            FieldCondition { name: name.clone(), values: accepted }
        })
        .collect()
}

/// Of delimited text it is known which columns there are, where others are refused or no header names them.
fn check_name<T>(
    spec: &PipelineSpec,
    format: Option<Format>,
    name: &str,
    at: &Spanned<T>,
    findings: &mut Findings<'_>,
) {
    let columns = spec.schema.iter().map(|column| column.path.as_ref().unwrap_or(&column.name).value.as_str());
    let is_delimited = format.is_some_and(Format::is_delimited);
    let are_all_known = spec.unknown_columns == UnknownColumns::Reject || !spec.source.csv.header;
    if is_delimited && are_all_known {
        if !columns.clone().any(|column| column == name) {
            findings.add(at, format!("`where`: {}", unknown("column", name, columns)));
        }
    } else if !is_delimited && name.split('.').any(str::is_empty) {
        let message =
            format!("`where`: `{name}` is no path: write the names from the record inwards, as in `meta.kind`");
        findings.add(at, message);
    }
}
