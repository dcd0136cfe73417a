mod batch;
mod column;
mod load;
mod object_match;
mod source;

use std::collections::BTreeMap;

use serde_saphyr::Spanned;

use super::{
    CheckedSpec, PipelineSpec, ReferenceSpec, SpecErrors, Tolerance,
    error::{Findings, unknown},
};

pub(super) fn check(file: &str, text: &str, digest: String, spec: PipelineSpec) -> Result<CheckedSpec, SpecErrors> {
    let mut findings = Findings::new(file);
    check_name(&spec.pipeline, &mut findings);
    let match_glob = object_match::check_glob(&spec.source.r#match, &mut findings);
    let conditions = object_match::check(&spec, text, &mut findings);
    let dialect = source::check(&spec.source, &mut findings);
    let columns = column::check(&spec, &mut findings);
    let tolerance = check_tolerance(&spec, &mut findings);
    if spec.transform.sql.value.trim().is_empty() {
        findings.add(&spec.transform.sql, "`sql` is empty; leave it out to keep every column as it is");
    }
    check_references(&spec.transform.references, &mut findings);
    let table_prefix = load::check_table(&spec, match_glob.as_ref(), &mut findings);
    let dedupe = load::check(&spec.load, &mut findings);
    let batch = spec.source.batch.as_ref().and_then(|batch| batch::check(batch, &mut findings));
    let scheduled = spec.source.schedule.as_ref();
    let schedule = scheduled.and_then(|schedule| batch::check_schedule(schedule, match_glob.as_ref(), &mut findings));
    if let (Some(_), Some(schedule)) = (&spec.source.batch, scheduled) {
        findings.add(
            &schedule.cron,
            "`batch` and `schedule` exclude each other: uploads are gathered, or wait for their time",
        );
    }
    if let Some(schedule) = scheduled
        && !conditions.fields.is_empty()
    {
        let message = "`where` and `schedule` exclude each other: a scheduled batch takes whatever its prefix holds";
        findings.add(&schedule.cron, message);
    }
    let expected = spec.source.expect_every.as_ref();
    let expect_every = expected.and_then(|every| batch::check_expectation(every, &mut findings));
    findings.into_result()?;
    let Some(match_glob) = match_glob else { return Err(SpecErrors(Vec::new())) };
    Ok(CheckedSpec {
        text: text.to_owned(),
        file: file.to_owned(),
        digest,
        match_glob,
        conditions,
        columns,
        dialect,
        tolerance,
        table_prefix,
        dedupe,
        batch,
        schedule,
        expect_every,
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

fn check_tolerance(spec: &PipelineSpec, findings: &mut Findings<'_>) -> Tolerance {
    let Some(tolerate) = &spec.rejects.tolerate else { return Tolerance::default() };
    Tolerance::parse(&tolerate.value).unwrap_or_else(|| {
        findings.add(
            tolerate,
            format!(
                "`{}` is no bound: write a share from 0% to 100%, such as `1%`, or a number of records",
                tolerate.value
            ),
        );
        Tolerance::default()
    })
}

fn check_references(references: &[ReferenceSpec], findings: &mut Findings<'_>) {
    let mut lines = BTreeMap::new();
    for ReferenceSpec { name, path } in references {
        let word = &name.value;
        if !is_identifier(word) {
            let message = format!("`{word}` is no name of a table: letters, digits and `_`, a letter or `_` first");
            findings.add(name, message);
        } else if word.eq_ignore_ascii_case("input") {
            findings.add(name, "`input` is the table of the object's own records; call the reference something else");
        } else if let Some(line) = lines.insert(word.to_ascii_lowercase(), name.referenced.line()) {
            findings.add(name, format!("the reference `{word}` is declared twice, first on line {line}"));
        }
        check_reference_path(path, findings);
    }
}

fn is_identifier(word: &str) -> bool {
    let mut letters = word.chars();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

fn check_reference_path(path: &Spanned<String>, findings: &mut Findings<'_>) {
    let (bucket, key) = path.value.split_once('/').unwrap_or((&path.value, ""));
    if !matches!(bucket, "lake" | "work") {
        let message = unknown("bucket", bucket, ["lake", "work"]);
        findings.add(path, format!("a reference's `path` begins with its bucket: {message}"));
    } else if key.is_empty() {
        findings.add(path, format!("`{}` names a bucket and nothing in it", path.value));
    } else if crate::store::path(key).is_err() {
        findings.add(path, format!("`{}` has an empty, `.` or `..` segment or a control character", path.value));
    } else if key.contains(['*', '?']) {
        findings
            .add(path, format!("`{}` is no key: write a file's key, or a folder's prefix ending in `/`", path.value));
    }
}

/// Adds a finding for every name that a list has twice.
fn check_repeated(names: &[Spanned<String>], key: &str, findings: &mut Findings<'_>) {
    for (index, name) in names.iter().enumerate() {
        if names[..index].iter().any(|earlier| earlier.value == name.value) {
            findings.add(name, format!("`{}` stands twice in `{key}`", name.value));
        }
    }
}
