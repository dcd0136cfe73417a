use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use serde_saphyr::{Location, Spanned};

use super::{BatchSpec, MatchSpec, Scalar, ScheduleSpec, batch, object_match::MatchShape, schedule, unlocated};

/// What a pipeline reads.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceSpec {
    /// Which objects: a glob on the key, or a glob and further conditions.
    #[schemars(with = "MatchShape")]
    pub r#match: MatchSpec,
    /// The format of the objects; by default what their content and then their suffix say. Compression (gzip, zstd,
    /// bzip2) and zip archives are always told from the content.
    #[serde(default)]
    pub format: Option<Format>,
    /// The character encoding of text, by its WHATWG name (`utf-8`, `utf-16le`, `latin1`, `windows-1252`, …); by
    /// default what the byte order mark says, else UTF-8.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub encoding: Option<Spanned<String>>,
    /// The dialect of CSV and TSV sources.
    #[serde(default, deserialize_with = "csv_given")]
    #[schemars(with = "CsvDialect")]
    pub csv: CsvDialect,
    /// Where in a JSON source the records are.
    #[serde(default, deserialize_with = "json_given")]
    #[schemars(with = "JsonLayout")]
    pub json: JsonLayout,
    /// Gathers uploads into batches, each loaded by one run; not together with `schedule`.
    #[serde(default, deserialize_with = "batch::given")]
    pub batch: Option<BatchSpec>,
    /// Loads all objects of a period by one run, at set times; uploads alone then start nothing.
    #[serde(default, deserialize_with = "schedule::given")]
    pub schedule: Option<ScheduleSpec>,
    /// The longest time between two uploads that is normal, such as `1day`; longer, and there is an alarm. By default none
    /// is expected.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub expect_every: Option<Spanned<String>>,
}

impl SourceSpec {
    /// The format as far as it can be told without an object: as declared, else by the ending of `match`.
    pub fn expected_format(&self) -> Option<Format> {
        self.format.or_else(|| Format::of_name(self.r#match.key.value.trim_end_matches('*')))
    }
}

/// Marks a section as written, so that one without effect can be refused.
fn csv_given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<CsvDialect, D::Error> {
    let section = Spanned::<CsvDialect>::deserialize(deserializer)?;
    Ok(CsvDialect { given: Some(at(section.referenced)), ..section.value })
}

fn json_given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<JsonLayout, D::Error> {
    let section = Spanned::<JsonLayout>::deserialize(deserializer)?;
    Ok(JsonLayout { given: Some(at(section.referenced)), ..section.value })
}

fn at(location: Location) -> Spanned<()> {
    Spanned::new((), location, location)
}

/// The format of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Fields separated by a delimiter, one record a line, quoted where needed (RFC 4180).
    Csv,
    /// CSV whose delimiter is, unless `csv.delimiter` says otherwise, a tab.
    Tsv,
    /// One JSON object a line (JSON Lines).
    Ndjson,
    /// One JSON document: an array of objects, or an object that holds one (`json.records`).
    Json,
    /// Apache Parquet.
    Parquet,
    /// Apache Avro object container files.
    Avro,
}

impl Format {
    /// The format's name, as it stands in a spec.
    pub fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Tsv => "tsv",
            Self::Ndjson => "ndjson",
            Self::Json => "json",
            Self::Parquet => "parquet",
            Self::Avro => "avro",
        }
    }

    /// The format that a file's name ends in, whatever compression follows: `a.csv.gz` is CSV.
    pub fn of_name(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let mut stem = name.as_str();
        while let Some(shorter) = COMPRESSED.iter().find_map(|ending| stem.strip_suffix(ending)) {
            stem = shorter;
        }
        let (_, ending) = stem.rsplit_once('.')?;
        Some(match ending {
            "csv" => Self::Csv,
            "tsv" | "tab" => Self::Tsv,
            "ndjson" | "jsonl" => Self::Ndjson,
            "json" => Self::Json,
            "parquet" => Self::Parquet,
            "avro" => Self::Avro,
            _ => return None,
        })
    }

    /// The format of delimited text that nothing else tells: with tabs where its first lines hold more of them than of
    /// commas, both outside of quotes.
    pub fn of_delimited(text: &[u8]) -> Self {
        let (mut quoted, mut tabs, mut commas, mut lines) = (false, 0, 0, 0);
        for byte in text {
            match byte {
                b'"' => quoted = !quoted,
                b'\t' if !quoted => tabs += 1,
                b',' if !quoted => commas += 1,
                b'\n' if !quoted => lines += 1,
                _ => {}
            }
            if lines == 10 {
                break;
            }
        }
        if tabs > commas { Self::Tsv } else { Self::Csv }
    }

    /// Whether records are lines of delimited fields.
    pub fn is_delimited(self) -> bool {
        matches!(self, Self::Csv | Self::Tsv)
    }

    /// Whether records are JSON objects.
    pub fn is_json(self) -> bool {
        matches!(self, Self::Ndjson | Self::Json)
    }

    /// Whether the format is text, and so has a character encoding.
    pub fn is_text(self) -> bool {
        self.is_delimited() || self.is_json()
    }
}

/// The endings of compressed files.
const COMPRESSED: [&str; 7] = [".gz", ".gzip", ".zst", ".zstd", ".bz2", ".bzip2", ".zip"];

/// A dialect of CSV, as written.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CsvDialect {
    /// What separates fields: one character, or up to eight bytes of them. By default a comma, for TSV a tab.
    #[schemars(with = "Option<String>")]
    pub delimiter: Option<Spanned<String>>,
    /// What encloses fields that hold delimiters or line ends: one ASCII character, by default `"`; empty or null for none.
    #[schemars(with = "Option<String>")]
    pub quote: Option<Spanned<String>>,
    /// The character that makes the next one literal, often `\`. By default a quote is doubled to stand for itself.
    #[schemars(with = "Option<String>")]
    pub escape: Option<Spanned<String>>,
    /// The character with which lines begin that are comments; by default there are none.
    #[schemars(with = "Option<String>")]
    pub comment: Option<Spanned<String>>,
    /// Lines before the header, or before the first record, that are not part of the table.
    pub skip_lines: u64,
    /// Whether the first record names the columns. If not, the schema's order counts.
    pub header: bool,
    /// The spellings of null; a column's own `nulls` go before. By default the empty text.
    #[schemars(with = "Vec<Scalar>")]
    pub nulls: Vec<String>,
    /// Whether white space around values is left out; a column's own `trim` goes before.
    pub trim: bool,
    /// Where the section is written, if it is.
    #[serde(skip)]
    pub(super) given: Option<Spanned<()>>,
}

impl Default for CsvDialect {
    fn default() -> Self {
        Self {
            delimiter: None,
            quote: Some(unlocated("\"".into())),
            escape: None,
            comment: None,
            skip_lines: 0,
            header: true,
            nulls: vec![String::new()],
            trim: false,
            given: None,
        }
    }
}

/// Where in a JSON source the records are.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct JsonLayout {
    /// The path of the array of records in a JSON document, such as `data.items`; by default the document is the array.
    #[schemars(with = "Option<String>")]
    pub records: Option<Spanned<String>>,
    /// Texts that mean null, beside JSON's own null; by default none.
    #[schemars(with = "Vec<Scalar>")]
    pub nulls: Vec<String>,
    /// Where the section is written, if it is.
    #[serde(skip)]
    pub(super) given: Option<Spanned<()>>,
}

/// A dialect of CSV, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// What separates fields, in UTF-8; one to eight bytes.
    pub delimiter: Vec<u8>,
    /// What encloses fields, if anything.
    pub quote: Option<u8>,
    /// What makes the next byte literal; where absent, a quote is doubled.
    pub escape: Option<u8>,
    /// What comment lines begin with.
    pub comment: Option<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_name_tells_its_format_whatever_compression_follows() {
        for (name, format) in [
            ("in/a.csv", Some(Format::Csv)),
            ("in/A.CSV.GZ", Some(Format::Csv)),
            ("a.tsv.zst", Some(Format::Tsv)),
            ("a.tab", Some(Format::Tsv)),
            ("a.ndjson.bz2", Some(Format::Ndjson)),
            ("a.jsonl.zip", Some(Format::Ndjson)),
            ("a.json.gz.gz", Some(Format::Json)),
            ("a.parquet", Some(Format::Parquet)),
            ("a.avro", Some(Format::Avro)),
            ("a.gz", None),
            ("a.csv.old", None),
            ("csv", None),
        ] {
            assert_eq!(Format::of_name(name), format, "{name}");
        }
    }

    #[test]
    fn delimited_text_has_tabs_where_its_first_lines_hold_more_of_them_than_of_commas() {
        let late = |lines: usize| format!("{}\t\n", "a\n".repeat(lines));
        for (text, format) in [
            ("", Format::Csv),
            ("a\n1\n", Format::Csv),
            ("a\tb\n1\t2\n", Format::Tsv),
            ("a\tb,c\n", Format::Csv),
            ("a\tb\tc,d\n", Format::Tsv),
            ("a\tb\n1,0\t2,5\n", Format::Csv),
            ("\"a, b, c\"\td\n", Format::Tsv),
            ("\"a\tb\tc\",d\n", Format::Csv),
            // A line end in quotes ends no line.
            (&format!("\"{}\"\tb\n", "\n".repeat(20)), Format::Tsv),
            (&late(9), Format::Tsv),
            (&late(10), Format::Csv),
        ] {
            assert_eq!(Format::of_delimited(text.as_bytes()), format, "{text:?}");
        }
    }
}
