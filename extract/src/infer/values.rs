use std::collections::BTreeMap;

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};

/// Spellings that mean null wherever they stand.
const NULLS: [&str; 7] = ["", "NULL", "null", "N/A", "n/a", "#N/A", "\\N"];
/// Spellings that mean null where all other values are of a type.
const NULLS_AMONG_TYPED: [&str; 9] = ["NA", "na", "-", "--", ".", "?", "None", "NaN", "nan"];

const DATES: [&str; 8] =
    ["%Y-%m-%d", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%Y/%m/%d", "%d-%b-%Y", "%d %b %Y"];
const TIMES: [&str; 2] = ["%H:%M:%S%.f", "%H:%M"];
/// The first is the spec's default.
const TIMESTAMPS: [&str; 15] = [
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%SZ",
    "%Y-%m-%dT%H:%M:%S%.fZ",
    "%Y-%m-%dT%H:%M:%S%.f%:z",
    "%Y-%m-%d %H:%M:%S%.f%:z",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%d %H:%M",
    "%d/%m/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M",
    "%m/%d/%Y %H:%M",
    "%d.%m.%Y %H:%M:%S",
    "%d.%m.%Y %H:%M",
    "%Y/%m/%d %H:%M:%S",
];
const BOOLEANS: [(&str, &str); 4] = [("true", "false"), ("yes", "no"), ("y", "n"), ("t", "f")];
/// More different values than these are no spellings of booleans.
const SPELLINGS_MAX: usize = 4;

/// What a column's values have in common.
#[derive(Clone, Debug)]
pub(super) struct Values {
    pub(super) count: u64,
    pub(super) nulls: BTreeMap<&'static str, u64>,
    suspects: BTreeMap<&'static str, u64>,
    pub(super) absent: u64,
    spellings: Vec<String>,
    integer: Option<(i128, i128)>,
    is_code: bool,
    is_number: bool,
    decimal: Option<(usize, usize)>,
    has_decimal_comma: bool,
    dates: Vec<&'static str>,
    times: Vec<&'static str>,
    timestamps: Vec<&'static str>,
    is_boolean: bool,
    pub(super) list: Option<Box<Values>>,
    pub(super) is_nested: bool,
    typed: u64,
}

/// A column's type as it is declared, with what a person ought to know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Inferred {
    pub(super) column_type: String,
    /// Further keys and their values in YAML.
    pub(super) keys: Vec<(&'static str, String)>,
    pub(super) remarks: Vec<String>,
}

impl Default for Values {
    fn default() -> Self {
        Self {
            count: 0,
            nulls: BTreeMap::new(),
            suspects: BTreeMap::new(),
            absent: 0,
            spellings: Vec::new(),
            integer: Some((i128::MAX, i128::MIN)),
            is_code: false,
            is_number: true,
            decimal: None,
            has_decimal_comma: true,
            dates: DATES.to_vec(),
            times: TIMES.to_vec(),
            timestamps: TIMESTAMPS.to_vec(),
            is_boolean: false,
            list: None,
            is_nested: false,
            typed: 0,
        }
    }
}

impl Values {
    /// Those of a column that so many records lack.
    pub(super) fn absent(records: u64) -> Self {
        Self { count: records, absent: records, ..Self::default() }
    }

    /// Sees a field of delimited text.
    pub(super) fn see(&mut self, value: &str) {
        self.count += 1;
        if let Some(null) = NULLS.iter().find(|null| **null == value) {
            *self.nulls.entry(null).or_default() += 1;
        } else if let Some(null) = NULLS_AMONG_TYPED.iter().find(|null| **null == value) {
            *self.suspects.entry(null).or_default() += 1;
        } else {
            self.see_number(value);
            self.see_text(value);
        }
    }

    /// Sees a string of JSON, which is never taken for a number.
    pub(super) fn see_string(&mut self, value: &str) {
        self.count += 1;
        self.is_number = false;
        self.integer = None;
        self.has_decimal_comma = false;
        self.see_text(value);
    }

    /// Sees a number of JSON.
    pub(super) fn see_json_number(&mut self, text: &str) {
        self.count += 1;
        self.see_number(text);
        self.see_text(text);
    }

    pub(super) fn see_boolean(&mut self, value: bool) {
        self.see_string(if value { "true" } else { "false" });
    }

    pub(super) fn see_null(&mut self) {
        self.count += 1;
        self.absent += 1;
    }

    fn see_number(&mut self, value: &str) {
        if self.is_number {
            let digits = value.strip_prefix('-').unwrap_or(value);
            let is_padded = digits.len() > 1 && digits.starts_with('0') && digits.as_bytes()[1].is_ascii_digit();
            let is_long = digits.len() > INTEGER_DIGITS_MAX && digits.bytes().all(|byte| byte.is_ascii_digit());
            self.is_code |= is_padded || is_long;
            let begins = digits.starts_with(|letter: char| letter.is_ascii_digit() || letter == '.');
            self.is_number = begins && value.parse::<f64>().is_ok();
            let fraction = digits.split_once('.').map(|(whole, fraction)| (whole.len(), fraction));
            let shape = match fraction {
                Some((whole, fraction)) if fraction.bytes().all(|byte| byte.is_ascii_digit()) => {
                    (whole, fraction.len())
                }
                _ => (digits.len(), 0),
            };
            self.decimal = match self.decimal {
                None if self.typed == 0 => Some(shape),
                Some((whole, scale)) if scale == shape.1 => Some((whole.max(shape.0), scale)),
                _ => None,
            };
        }
        if let Some((least, greatest)) = self.integer {
            let parsed = value.parse::<i128>().ok().filter(|_| !value.starts_with('+'));
            self.integer = parsed.map(|value| (least.min(value), greatest.max(value)));
        }
        self.has_decimal_comma &= is_decimal_comma(value);
    }

    fn see_text(&mut self, value: &str) {
        if self.spellings.len() <= SPELLINGS_MAX && !self.spellings.iter().any(|spelling| spelling == value) {
            self.spellings.push(value.to_owned());
            self.is_boolean = self.boolean().is_some();
        }
        self.typed += 1;
        let is_dated = value.len() <= 40 && value.as_bytes().first().is_some_and(u8::is_ascii_digit);
        if !is_dated {
            self.dates.clear();
            self.times.clear();
            self.timestamps.clear();
        }
        self.dates.retain(|format| is_date(value, format));
        self.times.retain(|format| NaiveTime::parse_from_str(value, format).is_ok());
        self.timestamps.retain(|format| NaiveDateTime::parse_from_str(value, format).is_ok());
    }

    /// The spellings of true and false, where the values are nothing else.
    fn boolean(&self) -> Option<(Vec<String>, Vec<String>)> {
        let (yes, no) = BOOLEANS.iter().find(|(yes, no)| {
            !self.spellings.is_empty()
                && self.spellings.iter().all(|one| one.eq_ignore_ascii_case(yes) || one.eq_ignore_ascii_case(no))
        })?;
        let of = |word: &str| -> Vec<String> {
            self.spellings.iter().filter(|one| one.eq_ignore_ascii_case(word)).cloned().collect()
        };
        let (yes, no) = (of(yes), of(no));
        // One spelling alone may be anything, above all a text of one letter.
        (!yes.is_empty() && !no.is_empty()).then_some((yes, no))
    }

    fn is_typed(&self) -> bool {
        let is_temporal = !(self.dates.is_empty() && self.times.is_empty() && self.timestamps.is_empty());
        self.typed > 0 && (self.is_number || is_temporal || self.is_boolean || self.has_decimal_comma)
    }

    /// Takes texts for nulls that are so in other columns: a source has one list of them.
    pub(super) fn share_nulls(&mut self, nulls: &[&str]) {
        let (shared, others) =
            std::mem::take(&mut self.suspects).into_iter().partition(|(text, _)| nulls.contains(text));
        self.suspects = others;
        let shared: BTreeMap<_, _> = shared;
        self.nulls.extend(shared);
    }

    /// The texts that mean null in this column, and how many of each were seen.
    pub(super) fn null_spellings(&self) -> BTreeMap<&'static str, u64> {
        let mut all = self.nulls.clone();
        if self.is_typed() {
            all.extend(&self.suspects);
        }
        all
    }

    pub(super) fn null_count(&self) -> u64 {
        self.absent + self.null_spellings().values().sum::<u64>()
    }

    /// The type that fits all values, for a column of that name.
    pub(super) fn infer(&self, name: &str) -> Inferred {
        if let Some(item) = &self.list {
            return self.infer_list(item);
        }
        if self.is_nested {
            return string("kept as JSON text: the values are objects or lists of mixed kinds");
        }
        if self.typed == 0 {
            return string("no value was seen");
        }
        if let Some((yes, no)) = self.boolean().filter(|_| self.is_boolean) {
            let list = |spellings: &[String]| {
                let quoted: Vec<_> = spellings.iter().map(|spelling| super::write::quoted(spelling)).collect();
                format!("[{}]", quoted.join(", "))
            };
            let usual = |spellings: &[String]| {
                spellings.iter().all(|one| matches!(one.to_lowercase().as_str(), "true" | "false" | "t" | "f"))
            };
            let is_usual = usual(&yes)
                && usual(&no)
                && yes.iter().chain(&no).all(|one| {
                    one.len() == 1 || matches!(one.as_str(), "true" | "True" | "TRUE" | "false" | "False" | "FALSE")
                });
            let keys = if is_usual { Vec::new() } else { vec![("true", list(&yes)), ("false", list(&no))] };
            return Inferred { column_type: "boolean".to_owned(), keys, ..Inferred::default() };
        }
        if self.is_number {
            return self.infer_number(name);
        }
        if let Some(inferred) = self.infer_temporal() {
            return inferred;
        }
        if self.has_decimal_comma {
            return string(
                "numbers with a decimal comma; in `sql`: CAST(replace(replace(x, '.', ''), ',', '.') AS DOUBLE)",
            );
        }
        let suspects: Vec<_> = self.suspects.iter().map(|(null, count)| format!("{count} × {null:?}")).collect();
        let remarks =
            if suspects.is_empty() { Vec::new() } else { vec![format!("perhaps null: {}", suspects.join(", "))] };
        Inferred { column_type: "string".to_owned(), remarks, ..Inferred::default() }
    }

    fn infer_list(&self, item: &Values) -> Inferred {
        let inferred = item.infer("");
        if item.is_nested || !inferred.keys.is_empty() || self.typed > 0 {
            return string("kept as JSON text: the values are lists of mixed kinds");
        }
        Inferred { column_type: format!("list<{}>", inferred.column_type), ..Inferred::default() }
    }

    fn infer_number(&self, name: &str) -> Inferred {
        if self.is_code {
            return string("digits with leading zeros, or very many: a code, not a number");
        }
        if let Some((least, greatest)) = self.integer {
            return infer_integer(name, least, greatest);
        }
        let column_type = match self.decimal {
            Some((whole, scale)) if scale > 0 && whole + scale + HEADROOM_DIGITS <= 38 => {
                format!("decimal({},{scale})", whole.max(1) + scale + HEADROOM_DIGITS)
            }
            _ => "float64".to_owned(),
        };
        let remark = match self.decimal {
            Some((_, scale)) if column_type != "float64" => Some(format!("every value has {scale} decimals")),
            _ => None,
        };
        Inferred { column_type, remarks: remark.into_iter().collect(), ..Inferred::default() }
    }

    fn infer_temporal(&self) -> Option<Inferred> {
        let (kind, formats, default) = [
            ("date", &self.dates, DATES[0]),
            ("timestamp", &self.timestamps, TIMESTAMPS[0]),
            ("time", &self.times, TIMES[0]),
        ]
        .into_iter()
        .find(|(_, formats, _)| !formats.is_empty())?;
        let format = formats[0];
        let mut keys = Vec::new();
        if format != default {
            keys.push(("format", super::write::quoted(format)));
        }
        let mut remarks = Vec::new();
        if format.ends_with('Z') {
            keys.push(("zone", "UTC".to_owned()));
        } else if kind == "timestamp" && !format.contains("%:z") {
            remarks.push("no offset was seen: give a `zone` if the times are of one place".to_owned());
        }
        let other = if format.starts_with("%d/%m") { "%m/%d" } else { "%d/%m" };
        if formats.iter().any(|candidate| candidate.starts_with("%d/%m"))
            && formats.iter().any(|candidate| candidate.starts_with(other))
        {
            remarks.push("ambiguous: no value tells day from month; it may be %m/%d/%Y".to_owned());
        }
        Some(Inferred { column_type: kind.to_owned(), keys, remarks })
    }
}

/// Longer integers are left as text: no type but a float holds them, and that not exactly.
const INTEGER_DIGITS_MAX: usize = 35;
/// Digits that later values may have more than those seen.
const HEADROOM_DIGITS: usize = 3;

/// The narrowest type that holds twice the range seen.
fn infer_integer(name: &str, least: i128, greatest: i128) -> Inferred {
    if let Some(format) = epoch(name, least, greatest) {
        let remarks = vec![format!("taken for a time from its name and range, {least} to {greatest}")];
        return Inferred { column_type: "timestamp".to_owned(), keys: vec![("format", format.to_owned())], remarks };
    }
    let widest = greatest.max(least.saturating_neg());
    let fits = |bits: u32| widest.saturating_mul(2) < 1_i128 << (bits - 1);
    let column_type = match [8, 16, 32].into_iter().find(|bits| fits(*bits)) {
        Some(bits) => format!("int{bits}"),
        None if i64::try_from(least).is_ok() && i64::try_from(greatest).is_ok() => "int64".to_owned(),
        None if least >= 0 && u64::try_from(greatest).is_ok() => "uint64".to_owned(),
        None => "decimal(38,0)".to_owned(),
    };
    Inferred { column_type, remarks: vec![format!("{least} to {greatest}")], ..Inferred::default() }
}

/// Whether integers of that name and range are times since 1970: between 1990 and 2050.
fn epoch(name: &str, least: i128, greatest: i128) -> Option<&'static str> {
    const EARLIEST_SECONDS: i128 = 631_152_000;
    const LATEST_SECONDS: i128 = 2_524_608_000;
    let name = name.to_lowercase();
    let is_named = ["time", "date", "epoch", "created", "updated"].iter().any(|word| name.contains(word))
        || name == "ts"
        || name.ends_with("_ts")
        || name.ends_with("_at");
    [("epoch_s", 1), ("epoch_ms", 1000), ("epoch_us", 1_000_000)].into_iter().find_map(|(format, unit)| {
        (is_named && least >= EARLIEST_SECONDS * unit && greatest <= LATEST_SECONDS * unit).then_some(format)
    })
}

fn is_date(value: &str, format: &str) -> bool {
    // chrono takes `1-2-3` for a year 1; a person does not.
    let has_long_year = value.split(|letter: char| !letter.is_ascii_digit()).any(|digits| digits.len() == 4);
    has_long_year && NaiveDate::parse_from_str(value, format).is_ok()
}

fn is_decimal_comma(value: &str) -> bool {
    let digits = value.strip_prefix('-').unwrap_or(value);
    let (whole, fraction) = digits.split_once(',').unwrap_or((digits, "0"));
    let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    all_digits(fraction) && whole.split('.').all(all_digits) && whole.split('.').skip(1).all(|group| group.len() == 3)
}

fn string(remark: &str) -> Inferred {
    Inferred { column_type: "string".to_owned(), remarks: vec![remark.to_owned()], ..Inferred::default() }
}
