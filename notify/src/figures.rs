use stepwell_pipeline::store::ObjectRef;

/// `1,234,567`.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `12.3 MB`, in powers of 1,000.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if count < 1000 {
        return format!("{count} bytes");
    }
    let mut tenths = count / 100;
    let mut unit = 0;
    while tenths >= 10_000 && unit + 1 < UNITS.len() {
        tenths /= 1000;
        unit += 1;
    }
    format!("{}.{} {}", thousands(tenths / 10), tenths % 10, UNITS[unit])
}

/// `1,234 read, 5 rejected`, leaving out what is not known.
pub(crate) fn counts(parts: &[(Option<u64>, &str)]) -> String {
    let known = parts.iter().filter_map(|(count, word)| Some(format!("{} {word}", thousands((*count)?))));
    known.collect::<Vec<_>>().join(", ")
}

/// Lines of a name and a value, the values aligned; rows without a value are left out.
pub(crate) fn table(rows: &[(&str, String)]) -> String {
    let lines = rows.iter().filter(|(_, value)| !value.is_empty());
    let label = |name: &str| if name.is_empty() { String::new() } else { format!("{name}:") };
    lines.map(|(name, value)| format!("{:<11}{value}\n", label(name))).collect()
}

/// The last segment of a key, which is what people call the file.
pub(crate) fn file_name(object: &ObjectRef) -> &str {
    object.key.rsplit('/').next().unwrap_or(&object.key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (336_776, "336,776"), (1_234_567, "1,234,567")]
        {
            assert_eq!(thousands(number), text);
        }
    }

    #[test]
    fn sizes_have_a_fitting_unit() {
        let cases = [
            (0, "0 bytes"),
            (999, "999 bytes"),
            (1000, "1.0 kB"),
            (999_999, "999.9 kB"),
            (1_000_000, "1.0 MB"),
            (766_000_000, "766.0 MB"),
            (5_500_000_000_000_000, "5,500.0 TB"),
        ];
        for (count, text) in cases {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        assert_eq!(counts(&[(Some(1000), "read"), (None, "filtered"), (Some(2), "loaded")]), "1,000 read, 2 loaded");
        assert_eq!(table(&[("Run", "r".into()), ("Rejects", String::new())]), "Run:       r\n");
    }
}
