//! The README's pipeline is one that runs.

use crate::folder::Folder;

#[test]
fn the_pipeline_of_the_readme_runs() {
    let readme = include_str!("../../../README.md");
    let (_, rest) = readme.split_once("```yaml\n").expect("a pipeline");
    let (spec, _) = rest.split_once("```\n").expect("its end");
    let folder = Folder::new("readme").with_hash_key("a key");
    folder.file("a.csv", "id;mail;price;ordered;note\n1;a@x.org;1,5;31.12.2023 23:30;x\n2;;1.50;01.07.2024 00:30;\n");
    folder.load(&spec.replace("1%", "50%"), "a.csv", [1, 1]);
    assert_eq!(folder.table("orders").rows, [r#"2|∅|1.50|2024-06-30T22:30:00Z|{"note":""}"#]);
}
