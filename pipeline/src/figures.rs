//! Numbers as people read them, in reports, notices and specs.

/// A number with its thousands grouped: `1,234,567`.
pub fn thousands(number: u64) -> String {
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

/// A size in bytes, in the unit that fits it, by powers of 1,000: `12.3 MB`.
pub fn bytes(count: u64) -> String {
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

/// An amount of US dollars with three significant figures, or cents: `$0.000213`, `$12.34`.
pub fn usd(amount: f64) -> String {
    let places = match amount {
        amount if amount >= 1.0 || amount <= 0.0 => 2,
        amount => (2 - amount.log10().floor() as i32).clamp(2, 12) as usize,
    };
    format!("${amount:.places$}")
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
    fn dollars_have_three_figures_or_cents() {
        let cases = [
            (0.0, "$0.00"),
            (0.000_213_4, "$0.000213"),
            (0.000_000_2, "$0.000000200"),
            (0.0999, "$0.0999"),
            (0.5, "$0.500"),
            (1.0, "$1.00"),
            (12.345, "$12.35"),
        ];
        for (amount, text) in cases {
            assert_eq!(usd(amount), text);
        }
    }
}
