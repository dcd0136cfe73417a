use super::{
    super::{
        Dedupe, DedupeSpec, Keep, LoadSpec, MatchGlob, PipelineSpec,
        error::{Findings, unknown},
    },
    check_repeated,
};

/// The sizes of files that a table may ask for, in MiB: below are heaps of tiny files, above readers wait too long.
const FILE_MIB: std::ops::RangeInclusive<u64> = 1..=4096;

/// Checks what there is to check before the SQL's columns are known.
pub(super) fn check(load: &LoadSpec, findings: &mut Findings<'_>) -> Option<Dedupe> {
    check_repeated(&load.partition_by, "partition_by", findings);
    check_repeated(&load.sort_by, "sort_by", findings);
    check_repeated(&load.bloom_filters, "bloom_filters", findings);
    if let Some(file_mib) = load.file_mib.as_ref().filter(|file_mib| !FILE_MIB.contains(&file_mib.value)) {
        let message = format!("`file_mib` is from {} to {}, not {}", FILE_MIB.start(), FILE_MIB.end(), file_mib.value);
        findings.add(file_mib, message);
    }
    load.dedupe.as_ref().and_then(|dedupe| check_dedupe(dedupe, findings))
}

pub(super) fn check_table(spec: &PipelineSpec, match_glob: Option<&MatchGlob>, findings: &mut Findings<'_>) -> String {
    let path = &spec.load.path;
    let (bucket, prefix) = path.value.split_once('/').unwrap_or((&path.value, ""));
    let prefix = if prefix.is_empty() || prefix.ends_with('/') { prefix.to_owned() } else { format!("{prefix}/") };
    match bucket {
        "lake" => {}
        "landing" if match_glob.is_some_and(|glob| glob.may_fit_below(&prefix)) => findings.add(
            path,
            format!(
                "the pipeline's own `match` `{}` could pick up what it writes to `{}`, and run forever; write to `lake/`",
                spec.source.r#match.key.value, path.value
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
    check_repeated(&dedupe.key, "key", findings);
    let keep = match dedupe.keep.value.trim() {
        "first" => Keep::First,
        "last" => Keep::Last,
        other => match other.strip_prefix("max(").and_then(|rest| rest.strip_suffix(')')) {
            Some(column) if !column.trim().is_empty() => Keep::Max(column.trim().to_owned()),
            _ => {
                findings.add(&dedupe.keep, unknown("`keep`", other, ["first", "last", "max(column)"]));
                return None;
            }
        },
    };
    Some(Dedupe { key: dedupe.key.iter().map(|column| column.value.clone()).collect(), keep })
}
