use schemars::JsonSchema;
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::unlocated;

/// What a pipeline reads.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceSpec {
    /// A glob on the object's key: `*` stays within a segment, `**` crosses segments.
    #[schemars(with = "String")]
    pub r#match: Spanned<String>,
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
    #[serde(default)]
    pub csv: CsvDialect,
    /// Where in a JSON source the records are.
    #[serde(default)]
    pub json: JsonLayout,
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
}

/// A dialect of CSV, as written.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CsvDialect {
    /// What separates fields: one character, or up to eight bytes of them. By default a comma, for TSV a tab.
    #[schemars(with = "Option<String>")]
    pub delimiter: Option<Spanned<String>>,
    /// What encloses fields that hold delimiters or line ends: one ASCII character; empty for none.
    #[schemars(with = "String")]
    pub quote: Spanned<String>,
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
    /// The spellings of null; a column's own `nulls` go before.
    pub nulls: Vec<String>,
    /// Whether white space around values is left out; a column's own `trim` goes before.
    pub trim: bool,
}

impl Default for CsvDialect {
    fn default() -> Self {
        Self {
            delimiter: None,
            quote: unlocated("\"".into()),
            escape: None,
            comment: None,
            skip_lines: 0,
            header: true,
            nulls: vec![String::new()],
            trim: false,
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
    pub nulls: Vec<String>,
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
