use encoding_rs::{Encoding, UTF_8};
use stepwell_pipeline::{figures::thousands, spec::Format};

use super::{Seen, Table};

/// Fewer values without a null are no evidence that there are none.
const REQUIRED_RECORDS_MIN: u64 = 100;

/// What a spec is written from.
pub(super) struct Draft<'a> {
    /// The object's name, without folders.
    pub(super) file: &'a str,
    pub(super) format: Format,
    /// What was looked at.
    pub(super) basis: String,
    /// Further lines of the source section.
    pub(super) source: Vec<String>,
    /// Comments before the schema.
    pub(super) remarks: &'a [String],
    /// The lines of the schema.
    pub(super) columns: Vec<String>,
    /// The columns' names and types.
    pub(super) typed: Vec<(String, String)>,
}

/// The spec of files of text.
pub(super) fn text_spec(
    file: &str,
    format: Format,
    encoding: &'static Encoding,
    table: &Table,
    is_whole: bool,
) -> String {
    let extent = if is_whole { "all" } else { "a sample of" };
    let mut source = Vec::new();
    if encoding != UTF_8 {
        let remark =
            if encoding == encoding_rs::WINDOWS_1252 { "  # not UTF-8; taken for Western European" } else { "" };
        source.push(format!("  encoding: {}{remark}", encoding.name().to_lowercase()));
    }
    if !table.options.is_empty() {
        let section = if format.is_json() { "json" } else { "csv" };
        source.push(format!("  {section}: {{ {} }}", table.options.join(", ")));
    }
    let mut columns = Vec::with_capacity(table.columns.len());
    let mut typed: Vec<(String, String)> = Vec::with_capacity(table.columns.len());
    for seen in &table.columns {
        let mut name = if seen.name.is_empty() { "unnamed".to_owned() } else { seen.name.clone() };
        while typed.iter().any(|(known, _)| *known == name) {
            name.push('_');
        }
        columns.push(column(seen, &name));
        typed.push((name.clone(), seen.values.infer(&name).column_type));
    }
    let basis = format!("{extent} {} records", thousands(table.records));
    spec(Draft { file, format, basis, source, remarks: &table.remarks, columns, typed })
}

/// Writes a spec out.
pub(super) fn spec(draft: Draft<'_>) -> String {
    let name = pipeline_name(draft.file);
    let mut lines = vec![
        format!("# A first spec, from {} of {}. To be corrected by a person:", draft.basis, comment(draft.file)),
        "# the comments say what was seen; `required` stands where no null was.".to_owned(),
        format!("pipeline: {name}"),
        "source:".to_owned(),
        format!("  match: {}", quoted(&pattern(&name, draft.file))),
        format!("  format: {}", draft.format.name()),
    ];
    lines.extend(draft.source);
    lines.extend(draft.remarks.iter().map(|remark| format!("# {remark}")));
    lines.push("schema:".to_owned());
    lines.extend(draft.columns);
    lines.push("rejects: { tolerate: \"1%\" }".to_owned());
    lines.push("load:".to_owned());
    lines.push("  target: parquet".to_owned());
    lines.push(format!("  path: lake/{name}/"));
    lines.extend(partition(&draft.typed));
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
    let total = thousands(seen.values.count);
    remarks.extend(
        seen.values
            .null_spellings()
            .iter()
            .map(|(null, found)| format!("{} of {total} values are {null:?}", thousands(*found))),
    );
    if seen.values.absent > 0 {
        remarks.push(format!("{} of {total} are null or absent", thousands(seen.values.absent)));
    }
    column_line(&keys, &remarks)
}

/// A line of the schema.
pub(super) fn column_line(keys: &[(&str, String)], remarks: &[String]) -> String {
    let keys: Vec<_> = keys.iter().map(|(key, value)| format!("{key}: {value}")).collect();
    let remark = if remarks.is_empty() { String::new() } else { format!("  # {}", comment(&remarks.join("; "))) };
    format!("  - {{ {} }}{remark}", keys.join(", "))
}

/// A type as YAML.
pub(super) fn column_type(name: &str) -> String {
    if name.contains([',', '<']) { format!("\"{name}\"") } else { name.to_owned() }
}

fn partition(typed: &[(String, String)]) -> Vec<String> {
    let known: Vec<_> =
        ["year", "month"].into_iter().filter(|wanted| typed.iter().any(|(name, _)| name == wanted)).collect();
    if known.first() == Some(&"year") {
        return vec![format!("  partition_by: [{}]", known.join(", "))];
    }
    let dated = typed.iter().find(|(_, column_type)| matches!(column_type.as_str(), "date" | "timestamp"));
    let Some((name, _)) = dated else { return Vec::new() };
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
    if file.to_ascii_lowercase().ends_with(".zip") {
        return format!("{name}/*{}", &file[file.len() - ".zip".len()..]);
    }
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
