use super::{Seen, Table, values::Values};

const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];
/// Longer records are not sampled, nor what follows them.
const RECORD_BYTES_MAX: usize = 1 << 20;
/// How many records decide on the delimiter.
const PROBED_RECORDS: usize = 200;

pub(super) fn read(text: &str, later: &[String], is_whole: bool) -> Result<Table, String> {
    let comment = text.lines().take(20).any(|line| line.starts_with('#')).then_some(b'#');
    let body = without_comments(text, comment);
    let quote = quote_of(&body);
    let guess = |delimiter: u8| Guess::new(&body, delimiter, quote);
    let best =
        DELIMITERS.into_iter().map(guess).reduce(|best, guess| if guess.score() > best.score() { guess } else { best });
    let best = best.ok_or("there is no delimiter")?;
    let mut records = split(skip_lines(&body, best.skipped), best.delimiter, quote, usize::MAX);
    if !is_whole {
        records.pop();
    }
    records.retain(|record| record.len() == best.fields);
    if records.is_empty() {
        return Err("the file is empty".to_owned());
    }
    let has_header = is_header(&records);
    let header = if has_header { Some(records.remove(0)) } else { None };
    let names = (0..best.fields).map(|index| match &header {
        Some(header) => header[index].clone(),
        None => format!("column_{}", index + 1),
    });
    let mut columns: Vec<Seen> = names.map(|name| Seen { name, path: None, values: Values::default() }).collect();
    for piece in later {
        let mut piece = split(&without_comments(piece, comment), best.delimiter, quote, usize::MAX);
        piece.pop();
        // A piece that begins within a quoted field gives records of other lengths.
        records.extend(piece.into_iter().filter(|record| record.len() == best.fields));
    }
    for record in &records {
        for (seen, field) in columns.iter_mut().zip(record) {
            seen.values.see(field.trim());
        }
    }
    let is_padded = records.iter().flatten().any(|field| field.trim().len() != field.len());
    let mut table = Table { columns, records: records.len() as u64, ..Table::default() };
    describe(&mut table, &best, quote, comment, has_header, is_padded);
    Ok(table)
}

fn describe(table: &mut Table, best: &Guess, quote: u8, comment: Option<u8>, has_header: bool, is_padded: bool) {
    let mut option = |key: &str, value: String| table.options.push(format!("{key}: {value}"));
    option("delimiter", super::write::quoted(&char::from(best.delimiter).to_string()));
    if quote != b'"' {
        option("quote", super::write::quoted(&char::from(quote).to_string()));
    }
    if let Some(comment) = comment {
        option("comment", super::write::quoted(&char::from(comment).to_string()));
    }
    if best.skipped > 0 {
        option("skip_lines", best.skipped.to_string());
    }
    if !has_header {
        option("header", "false".to_owned());
    }
    if is_padded {
        option("trim", "true".to_owned());
    }
    let mut nulls: Vec<&str> = vec![""];
    for seen in &table.columns {
        let more: Vec<_> = seen.values.null_spellings().into_keys().filter(|null| !nulls.contains(null)).collect();
        nulls.extend(more);
    }
    table.columns.iter_mut().for_each(|seen| seen.values.share_nulls(&nulls));
    let nulls: Vec<_> = nulls.into_iter().map(super::write::quoted).collect();
    table.options.push(format!("nulls: [{}]", nulls.join(", ")));
}

fn without_comments(text: &str, comment: Option<u8>) -> String {
    let Some(comment) = comment else { return text.to_owned() };
    text.split_inclusive('\n').filter(|line| line.as_bytes().first() != Some(&comment)).collect()
}

fn skip_lines(text: &str, lines: usize) -> &str {
    let skipped: usize = text.split_inclusive('\n').take(lines).map(str::len).sum();
    &text[skipped..]
}

fn quote_of(text: &str) -> u8 {
    let head: String = text.lines().take(PROBED_RECORDS).collect::<Vec<_>>().join("\n");
    let opened = DELIMITERS.iter().any(|delimiter| head.contains(&format!("{}'", char::from(*delimiter))));
    if !head.contains('"') && opened && head.matches('\'').count().is_multiple_of(2) { b'\'' } else { b'"' }
}

/// How the text looks with a delimiter.
struct Guess {
    delimiter: u8,
    fields: usize,
    /// The share of records with that many fields, in thousandths.
    agreeing: usize,
    /// Lines before the first such record.
    skipped: usize,
}

impl Guess {
    fn new(text: &str, delimiter: u8, quote: u8) -> Self {
        let records = split(text, delimiter, quote, PROBED_RECORDS);
        let count = |fields: usize| records.iter().filter(|record| record.len() == fields).count();
        let fields = records.iter().map(Vec::len).max_by_key(|fields| (count(*fields), *fields)).unwrap_or(0);
        let lines = text.lines().take(PROBED_RECORDS);
        let fits = |line: &str| split(line, delimiter, quote, 1).first().is_some_and(|record| record.len() == fields);
        let skipped = if fields > 1 { lines.take_while(|line| !fits(line)).count().min(PROBED_RECORDS / 2) } else { 0 };
        Self { delimiter, fields, agreeing: count(fields) * 1000 / records.len().max(1), skipped }
    }

    fn score(&self) -> usize {
        if self.fields < 2 { 0 } else { self.agreeing * 100 + self.fields.min(99) }
    }
}

/// At most so many records, without the empty lines. A last one that the sample cuts is among them.
fn split(text: &str, delimiter: u8, quote: u8, records_max: usize) -> Vec<Vec<String>> {
    let mut reader = csv_core::ReaderBuilder::new().delimiter(delimiter).quote(quote).build();
    let (mut output, mut ends) = (vec![0; text.len().min(RECORD_BYTES_MAX)], vec![0; 1 << 16]);
    let mut input = text.as_bytes();
    let mut records = Vec::new();
    while records.len() < records_max {
        let (result, read, written, count) = reader.read_record(input, &mut output, &mut ends);
        input = &input[read..];
        match result {
            csv_core::ReadRecordResult::Record => records.push(fields(&output, &ends[..count])),
            csv_core::ReadRecordResult::InputEmpty => {
                // An empty input tells the reader that the text ends; what it holds is the last record.
                let (result, _, _, more) = reader.read_record(&[], &mut output[written..], &mut ends[count..]);
                if result == csv_core::ReadRecordResult::Record {
                    records.push(fields(&output, &ends[..count + more]));
                }
                break;
            }
            _ => break,
        }
    }
    records
}

fn fields(output: &[u8], ends: &[usize]) -> Vec<String> {
    let mut start = 0;
    ends.iter()
        .map(|end| String::from_utf8_lossy(&output[std::mem::replace(&mut start, *end)..*end]).into_owned())
        .collect()
}

/// Whether the first record names the columns: distinct texts, none of which looks like a value.
fn is_header(records: &[Vec<String>]) -> bool {
    let first = &records[0];
    let is_name = |field: &String| {
        let field = field.trim();
        let begins = field.chars().next().is_some_and(|letter| letter.is_alphabetic() || letter == '_');
        begins && field.chars().count() <= 128
    };
    let is_distinct = first.iter().enumerate().all(|(index, field)| !first[..index].contains(field));
    let recurs = records.iter().skip(1).any(|record| record.iter().zip(first).any(|(field, name)| field == name));
    is_distinct && first.iter().all(is_name) && !recurs
}
