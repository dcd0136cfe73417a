use encoding_rs::{Encoding, UTF_8};
use stepwell_pipeline::spec::Format;

use super::{Seen, Table};

/// Fewer values without a null are no evidence that there are none.
const REQUIRED_RECORDS_MIN: u64 = 100;

pub(super) fn spec(file: &str, format: Format, encoding: &'static Encoding, table: &Table, is_whole: bool) -> String {
    let name = pipeline_name(file);
    let extent = if is_whole { "all" } else { "a sample of" };
    let mut lines = vec![
        format!(
            "# A first spec, from {extent} {} records of {}. To be corrected by a person:",
            count(table.records),
            comment(file)
        ),
        "# the comments say what was seen; `required` stands where no null was.".to_owned(),
        format!("pipeline: {name}"),
        "source:".to_owned(),
        format!("  match: {}", quoted(&pattern(&name, file))),
        format!("  format: {}", format.name()),
    ];
    if encoding != UTF_8 {
        let remark =
            if encoding == encoding_rs::WINDOWS_1252 { "  # not UTF-8; taken for Western European" } else { "" };
        lines.push(format!("  encoding: {}{remark}", encoding.name().to_lowercase()));
    }
    if !table.options.is_empty() {
        let section = if format.is_json() { "json" } else { "csv" };
        lines.push(format!("  {section}: {{ {} }}", table.options.join(", ")));
    }
    lines.extend(table.remarks.iter().map(|remark| format!("# {remark}")));
    lines.push("schema:".to_owned());
    let mut names: Vec<String> = Vec::with_capacity(table.columns.len());
    for seen in &table.columns {
        let mut name = if seen.name.is_empty() { "unnamed".to_owned() } else { seen.name.clone() };
        while names.contains(&name) {
            name.push('_');
        }
        lines.push(column(seen, &name));
        names.push(name);
    }
    lines.push("rejects: { tolerate: \"1%\" }".to_owned());
    lines.push("load:".to_owned());
    lines.push("  target: parquet".to_owned());
    lines.push(format!("  path: lake/{name}/"));
    lines.extend(partition(table, &names));
    lines.push(String::new());
    lines.join("\n")
}

fn column(seen: &Seen, name: &str) -> String {
    let inferred = seen.values.infer(name);
    let mut keys = vec![("name", quoted(name)), ("type", column_type(&inferred.column_type))];
    if let Some(path) = seen.path.as_ref().filter(|path| *path != name) {
        keys.push(("path", quoted(path)));
    } else if seen.path.is_none() && seen.name != name {
        keys.push(("path", quoted(&seen.name)));
    }
    keys.extend(inferred.keys);
    let nulls = seen.values.null_count();
    if nulls == 0 && seen.values.count >= REQUIRED_RECORDS_MIN {
        keys.push(("required", "true".to_owned()));
    }
    let mut remarks = inferred.remarks;
    let total = count(seen.values.count);
    remarks.extend(
        seen.values
            .null_spellings()
            .iter()
            .map(|(null, found)| format!("{} of {total} values are {null:?}", count(*found))),
    );
    if seen.values.absent > 0 {
        remarks.push(format!("{} of {total} are null or absent", count(seen.values.absent)));
    }
    let keys: Vec<_> = keys.into_iter().map(|(key, value)| format!("{key}: {value}")).collect();
    let remark = if remarks.is_empty() { String::new() } else { format!("  # {}", comment(&remarks.join("; "))) };
    format!("  - {{ {} }}{remark}", keys.join(", "))
}

fn column_type(name: &str) -> String {
    if name.contains([',', '<']) { format!("\"{name}\"") } else { name.to_owned() }
}

fn partition(table: &Table, names: &[String]) -> Vec<String> {
    let known: Vec<_> =
        ["year", "month"].into_iter().filter(|wanted| names.iter().any(|name| name == wanted)).collect();
    if known.first() == Some(&"year") {
        return vec![format!("  partition_by: [{}]", known.join(", "))];
    }
    let dated = table.columns.iter().zip(names).find(|(seen, name)| {
        let column_type = seen.values.infer(name).column_type;
        matches!(column_type.as_str(), "date" | "timestamp")
    });
    let Some((_, name)) = dated else { return Vec::new() };
    let name = comment(name);
    vec![
        format!(
            "  # To partition by month, derive it in `transform: {{ sql: … }}`, as in SELECT *, date_part('year', \"{name}\")"
        ),
        format!(
            "  # AS year, date_part('month', \"{name}\") AS month FROM input, and write: partition_by: [year, month]"
        ),
    ]
}

/// A name's first words, without dates and numbers.
fn pipeline_name(file: &str) -> String {
    let stem = file.split('.').next().unwrap_or_default().to_lowercase();
    let words: Vec<&str> = stem
        .split(|letter: char| !letter.is_ascii_alphanumeric())
        .filter(|word| word.bytes().any(|byte| byte.is_ascii_alphabetic()))
        .collect();
    let name: String = words.join("-").chars().take(40).collect();
    let name = name.trim_end_matches('-');
    if name.is_empty() { "data".to_owned() } else { name.to_owned() }
}

/// Files of the same ending in a folder of the pipeline's name; `*` at the end lets compression come and go.
fn pattern(name: &str, file: &str) -> String {
    let ending = file.split('.').skip(1).find(|part| Format::of_name(&format!("x.{part}")).is_some());
    match ending {
        Some(ending) => format!("{name}/*.{ending}*"),
        None => format!("{name}/*"),
    }
}

/// A YAML scalar that is read as this text. JSON's strings are YAML's.
pub(super) fn quoted(text: &str) -> String {
    let is_plain = text.starts_with(|letter: char| letter.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.".contains(&byte))
        && !matches!(text.to_lowercase().as_str(), "true" | "false" | "null" | "yes" | "no" | "y" | "n" | "on" | "off");
    if is_plain {
        return text.to_owned();
    }
    let escaped = |letter: char| match is_printable(letter) {
        true => letter.to_string(),
        false => format!("\\u{:04x}", u32::from(letter)),
    };
    serde_json::Value::from(text).to_string().chars().map(escaped).collect()
}

/// Whether YAML lets a character stand as it is (YAML 1.2, 5.1, "Character set").
fn is_printable(letter: char) -> bool {
    !letter.is_control() && !matches!(letter, '\u{feff}' | '\u{fffe}' | '\u{ffff}' | '\u{2028}' | '\u{2029}')
}

/// Text that cannot end a comment.
fn comment(text: &str) -> String {
    text.chars().map(|letter| if is_printable(letter) { letter } else { ' ' }).collect()
}

fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}
