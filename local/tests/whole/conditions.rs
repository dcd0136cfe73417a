//! Conditions on records: the code that each fault has, and the rejects as a person gets them.

use std::fs;

use serde_json::Value;

use crate::folder::Folder;

const SPEC: &str = r#"pipeline: t
source: { match: "in/*.csv" }
schema:
  - { name: id, type: int32, required: true, unique: true }
  - { name: kind, type: string, enum: [a, b], default: a }
  - { name: code, type: string, pattern: "[A-Z]{2}[0-9]", max_length: 3 }
  - { name: word, type: string, min_length: 2, max_length: 4 }
  - { name: day, type: date, format: "%d.%m.%Y", min: "01.01.2020", max: "31.12.2020" }
  - { name: low, type: int8, min: -5 }
  - { name: high, type: int8, check: "high > low AND high <> 9" }
rejects: { tolerate: "90%" }
load: { target: parquet, path: lake/t/ }
"#;

const DATA: &str = "\
id,kind,code,word,day,low,high
1,a,AB1,häßl,01.01.2020,-5,-4
2,,,,,,
,a,AB1,wo,01.06.2020,1,2
x,a,AB1,wo,01.06.2020,1,2
3,c,AB1,wo,01.06.2020,1,2
4,b,ab1,wo,01.06.2020,1,2
5,b,AB1,w,01.06.2020,1,2
6,b,AB1,words,01.06.2020,1,2
7,b,AB1,wo,31.12.2019,1,2
8,b,AB1,wo,01.01.2021,1,2
9,b,AB1,wo,01.06.2020,-6,2
10,b,AB1,wo,01.06.2020,200,2
11,b,AB1,wo,01.06.2020,2,1
1,b,AB1,wo,01.06.2020,1,2
12,b,AB1
13,b,AB1,wo,01.06.2020,1,2,3
14,b,\"A\"B1,wo,01.06.2020,1,2
15,b,AB1,wo,06/01/2020,1,2
16,b,AB1,wo,31.12.2020,,9
";

#[test]
fn each_fault_has_its_code_and_the_rejects_can_be_mended_and_run() {
    let folder = Folder::new("conditions");
    folder.file("a.csv", DATA);
    let run = folder.load(SPEC, "a.csv", [2, 17]);
    assert_eq!(folder.table("t").rows, ["1|a|AB1|häßl|2020-01-01|-5|-4", "2|a|∅|∅|∅|∅|∅"]);

    let path = |name: &str| run["rejects"][name].as_str().expect("a path").to_owned();
    let reasons = fs::read_to_string(path("reasons")).expect("the reasons");
    let reasons: Vec<Value> = reasons.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let found: Vec<(u64, &str, &str)> = reasons
        .iter()
        .map(|reason| {
            let text = |name: &str| reason[name].as_str().unwrap_or_default();
            (reason["line"].as_u64().expect("a line"), text("column"), text("code"))
        })
        .collect();
    let expected = [
        (4, "id", "required_missing"),
        (5, "id", "invalid_value"),
        (6, "kind", "not_allowed"),
        (7, "code", "pattern_mismatch"),
        (8, "word", "invalid_length"),
        (9, "word", "invalid_length"),
        (10, "day", "out_of_bounds"),
        (11, "day", "out_of_bounds"),
        (12, "low", "out_of_bounds"),
        (13, "low", "out_of_range"),
        (14, "high", "check_failed"),
        (15, "id", "not_unique"),
        (16, "", "too_few_fields"),
        (17, "", "too_many_fields"),
        (18, "", "malformed"),
        (19, "day", "invalid_value"),
        (20, "high", "check_failed"),
    ];
    assert_eq!(found, expected);
    for reason in &reasons {
        let offset = reason["byte_offset"].as_u64().expect("an offset") as usize;
        let line = reason["line"].as_u64().expect("a line") as usize;
        assert!(DATA[offset..].starts_with(DATA.lines().nth(line - 1).expect("the line")), "{reason}");
        assert_eq!(reason["object"], "s3://landing/in/a.csv");
    }

    let rejects = fs::read_to_string(path("records")).expect("the rejects");
    let lines: Vec<&str> = DATA.lines().collect();
    assert_eq!(rejects, format!("{}\n{}\n", lines[0], lines[3..].join("\n")));

    let mended =
        rejects.replace(",a,AB1,wo", "31,a,AB1,wo").replace("x31,", "32,").replace("1,b,AB1,wo", "33,b,AB1,wo");
    folder.file("mended.csv", mended);
    folder.load(SPEC, "mended.csv", [3, 14]);
    let ids: Vec<String> =
        folder.table("t").sorted().iter().map(|row| row.split('|').next().unwrap_or_default().to_owned()).collect();
    assert_eq!(ids, ["1", "2", "31", "32", "33"], "they are added to what is there");
}

#[test]
fn the_bytes_of_rejects_are_those_of_the_source_in_its_encoding() {
    let folder = Folder::new("encoding");
    let source: Vec<u8> = "id,name\r\n1,Ann\r\nx,Zo\u{eb}\r\n".chars().map(|letter| letter as u8).collect();
    folder.file("a.csv", &source);
    let spec = "pipeline: t\nsource: { match: \"in/*.csv\", encoding: windows-1252 }\nschema:\n  \
                - { name: id, type: int8 }\n  - { name: name, type: string }\nrejects: { tolerate: 1 }\n\
                load: { target: parquet, path: lake/t/ }\n";
    let run = folder.load(spec, "a.csv", [1, 1]);
    let kept = fs::read(run["rejects"]["records"].as_str().expect("a path")).expect("the rejects");
    assert_eq!(kept, b"id,name\nx,Zo\xeb\n");

    let mut broken = b"id,name\n1,Ann\n2,".to_vec();
    broken.extend([0xff, 0xfe, b'\n']);
    folder.file("b.csv", &broken);
    let run = folder.load(&spec.replace(", encoding: windows-1252", ""), "b.csv", [1, 1]);
    let reasons = fs::read_to_string(run["rejects"]["reasons"].as_str().expect("a path")).expect("the reasons");
    assert!(reasons.contains("\"column\":\"name\",\"code\":\"invalid_encoding\""), "{reasons}");
    let kept = fs::read(run["rejects"]["records"].as_str().expect("a path")).expect("the rejects");
    assert!(kept.ends_with(b"2,\xff\xfe\n"), "{kept:?}");
}

#[test]
fn a_condition_that_makes_no_sense_is_refused_before_anything_runs() {
    let folder = Folder::new("wrong-condition");
    folder.file("wrong.yaml", SPEC.replace("high > low", "hihg > low"));
    let answer = folder.stepwell(&["check", "wrong.yaml"]);
    assert_eq!(answer.code, 2, "{answer:?}");
    assert!(answer.err.contains("wrong.yaml:10:") && answer.err.contains("`high`"), "{}", answer.err);
}
