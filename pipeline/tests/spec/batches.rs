//! Batches, schedules and expected uploads.

use stepwell_pipeline::spec::{BatchLimits, CheckedSpec, Completeness};

/// A spec whose section `source` ends in the given lines, which begin on line 4.
fn spec_of_source(lines: &str) -> Result<CheckedSpec, String> {
    let text = format!(
        "pipeline: p\nsource:\n  match: \"in/**/*.csv\"\n{lines}\nschema:\n  - {{ name: a, type: int8 }}\n\
         load: {{ target: parquet, path: lake/p/ }}\n"
    );
    CheckedSpec::parse("p.yaml", &text).map_err(|errors| errors.to_string())
}

#[test]
fn batches_have_bounds() {
    let hour = std::time::Duration::from_secs(3600);
    for (lines, expected) in [
        ("  batch:", BatchLimits { files_max: 1000, bytes_max: 256 << 20, wait_max: hour / 12 }),
        ("  batch: {}", BatchLimits { files_max: 1000, bytes_max: 256 << 20, wait_max: hour / 12 }),
        (
            "  batch: { max_files: 10, max_bytes: 1000000, max_wait: 1h 30m }",
            BatchLimits { files_max: 10, bytes_max: 1_000_000, wait_max: hour + hour / 2 },
        ),
    ] {
        assert_eq!(spec_of_source(lines).expect(lines).batch, Some(expected), "{lines}");
    }
    assert_eq!(spec_of_source("").expect("no batches").batch, None);
    for (lines, expected) in [
        ("  batch:\n    max_file: 3", "p.yaml:5: unknown key `max_file`; did you mean `max_files`?"),
        ("  batch:\n    max_files: 0", "p.yaml:5: `max_files` is from 1 to 10000, not 0"),
        ("  batch:\n    max_files: 10001", "p.yaml:5: `max_files` is from 1 to 10000, not 10001"),
        ("  batch:\n    max_bytes: lots", "p.yaml:5: `lots` is no number of bytes: write `256 MiB`"),
        ("  batch:\n    max_bytes: 0", "p.yaml:5: `0` is no number of bytes"),
        ("  batch:\n    max_wait: soon", "p.yaml:5: `soon` is no duration: write `5m`, `2h` or `1day`"),
        ("  batch:\n    max_wait: 30s", "p.yaml:5: `max_wait` is from 1m to 7days, not 30s"),
        ("  batch:\n    max_wait: 5M", "p.yaml:5: `max_wait` is from 1m to 7days, not 5M"),
        (
            "  batch: {}\n  schedule: { cron: \"0 6 * * *\", prefix: in/ }",
            "p.yaml:5: `batch` and `schedule` exclude each other",
        ),
    ] {
        let errors = spec_of_source(lines).expect_err(lines);
        assert!(errors.contains(expected), "{lines}\n  expected {expected}\n  got      {errors}");
    }
}

#[test]
fn schedules_are_checked() {
    let schedule = |more: &str| format!("  schedule:\n    cron: \"0 6 * * *\"\n    prefix: in/{{today:%F}}/\n{more}");
    let checked = spec_of_source(&schedule("")).expect("a schedule").schedule.expect("a schedule");
    assert_eq!((checked.completeness, checked.revisit), (None, 1));
    assert_eq!(checked.wait_max, std::time::Duration::from_secs(24 * 3600));
    let whole = schedule(
        "    time_zone: Europe/Zurich\n    complete_when: { files: 24 }\n    wait_max: 30days\n    revisit: 100",
    );
    let checked = spec_of_source(&whole).expect("a schedule").schedule.expect("a schedule");
    assert_eq!((checked.completeness, checked.revisit), (Some(Completeness::Files(24)), 100));
    assert_eq!(checked.wait_max, std::time::Duration::from_secs(30 * 24 * 3600));
    for (right, wrong, expected) in [
        ("cron:", "crn:", "p.yaml:5: unknown key `crn`; did you mean `cron`?"),
        ("0 6 * * *", "0 6 * *", "p.yaml:5: `0 6 * *` is no cron expression: write minute, hour"),
        ("0 6 * * *", "0 0 6 * * *", "p.yaml:5: `0 0 6 * * *` is no cron expression: write minute, hour"),
        ("0 6 * * *", "@daily", "p.yaml:5: `@daily` is no cron expression"),
        ("0 6 * * *", "0 25 * * *", "p.yaml:5: `0 25 * * *` is no cron expression: "),
        ("0 6 * * *", "0 6 31 2 *", "p.yaml:5: `0 6 31 2 *` never occurs"),
        ("today", "todya", "p.yaml:6: unknown period `todya`; did you mean `today`?"),
        ("{today:%F}/", "{today:%F}", "p.yaml:6: `prefix` is a folder: end it in `/`"),
        ("in/{", "/in/{", "p.yaml:6: `/in/{today:%F}/` begins with `/`"),
        ("in/{", "out/{", "p.yaml:6: `match` `in/**/*.csv` fits no key below `out/{today:%F}/`"),
        ("    revisit: 1", "    revisit: 101", "p.yaml:7: `revisit` is at most 100, not 101"),
        ("    revisit: 1", "    wait_max: 31days", "p.yaml:7: `wait_max` is from 0s to 30days, not 31days"),
        (
            "    revisit: 1",
            "    time_zone: Europe/Zuerich",
            "p.yaml:7: unknown time zone `Europe/Zuerich`; did you mean `Europe/Zurich`?",
        ),
        ("    revisit: 1", "    time_zone: Swiss time", "unknown time zone `Swiss time`; write a name such as"),
        (
            "    revisit: 1",
            "    complete_when: {}",
            "p.yaml:7: `complete_when` takes one of `object`, `manifest` and `files`",
        ),
        ("    revisit: 1", "    complete_when: { object: a, files: 1 }", "p.yaml:7: `complete_when` takes one of"),
        ("    revisit: 1", "    complete_when: { files: 0 }", "p.yaml:7: `files` is at least 1"),
        ("    revisit: 1", "    complete_when: { object: a/ }", "p.yaml:7: `a/` is no name of an object"),
        ("    revisit: 1", "    complete_when: { fiels: 1 }", "p.yaml:7: unknown key `fiels`; did you mean `files`?"),
    ] {
        let text = schedule("    revisit: 1");
        assert!(text.contains(right), "{right}");
        let errors = spec_of_source(&text.replacen(right, wrong, 1)).expect_err(wrong);
        assert!(errors.contains(expected), "{wrong}\n  expected {expected}\n  got      {errors}");
    }
    let errors = spec_of_source("  schedule:").expect_err("nothing under it");
    assert!(errors.starts_with("p.yaml:"), "{errors}");
}

#[test]
fn what_tells_of_completeness_is_known_by_its_key() {
    let lines = "  schedule: { cron: \"0 6 * * *\", prefix: \"in/{today:%F}/\", complete_when: { object: _SUCCESS } }";
    let schedule = spec_of_source(lines).expect("a schedule").schedule.expect("a schedule");
    for (key, is_sign) in [
        ("in/2026-11-21/_SUCCESS", true),
        ("in/_SUCCESS", true),
        ("in/2026-11-21/a_SUCCESS", false),
        ("in/2026-11-21/_SUCCESS.csv", false),
        ("out/2026-11-21/_SUCCESS", false),
    ] {
        assert_eq!(schedule.is_sign(key), is_sign, "{key}");
    }
}

#[test]
fn the_json_schema_knows_batches_and_schedules() {
    let definitions = &stepwell_pipeline::spec::json_schema()["$defs"];
    assert_eq!(definitions["BatchSpec"]["properties"]["max_files"]["maximum"], 10_000);
    assert_eq!(definitions["BatchSpec"]["additionalProperties"], false);
    assert_eq!(definitions["ScheduleSpec"]["required"], serde_json::json!(["cron", "prefix"]));
    assert_eq!(definitions["CompleteWhen"]["additionalProperties"], false);
}

#[test]
fn what_a_pipeline_expects_is_a_duration() {
    let spec = |every: &str| {
        let text = format!(
            "pipeline: p\nsource:\n  match: \"in/*.csv\"\n  expect_every: {every}\nschema: [{{ name: id, type: int8 }}]\n\
             load: {{ target: parquet, path: lake/p/ }}\n"
        );
        CheckedSpec::parse("p.yaml", &text)
    };
    let hours = |hours: u64| Some(std::time::Duration::from_secs(hours * 3600));
    for (every, expected) in [("1day", hours(24)), ("1d", hours(24)), ("\"1day 2h\"", hours(26)), ("90m", None)] {
        let expected = expected.or(Some(std::time::Duration::from_secs(5400)));
        assert_eq!(spec(every).expect("valid").expect_every, expected, "{every}");
    }
    for (every, finding) in [
        ("daily", "p.yaml:4: `daily` is no duration: write `5m`, `2h` or `1day`"),
        ("1m", "p.yaml:4: `expect_every` is from 5m to 1year, not 1m"),
    ] {
        assert_eq!(spec(every).expect_err("refused").to_string(), finding);
    }
}
