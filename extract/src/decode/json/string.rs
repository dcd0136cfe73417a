//! Strings of JSON: out of their escapes, and into them.

/// Appends to `out` what a string stands for. The escapes have been checked.
pub(super) fn unescape(out: &mut Vec<u8>, mut string: &[u8]) {
    while let Some(at) = memchr::memchr(b'\\', string) {
        out.extend_from_slice(&string[..at]);
        let escape = &string[at + 1..];
        let (text, bytes) = match escape.first() {
            Some(b'b') => ('\u{8}', 1),
            Some(b'f') => ('\u{c}', 1),
            Some(b'n') => ('\n', 1),
            Some(b'r') => ('\r', 1),
            Some(b't') => ('\t', 1),
            Some(b'u') => unicode(&escape[1..]),
            Some(other) => (char::from(*other), 1),
            None => return,
        };
        out.extend_from_slice(text.encode_utf8(&mut [0; 4]).as_bytes());
        string = &escape[bytes..];
    }
    out.extend_from_slice(string);
}

/// What the digits behind `\u` stand for, a surrogate pair included, and the bytes behind the backslash.
fn unicode(digits: &[u8]) -> (char, usize) {
    let first = hex(digits);
    match char::from_u32(first) {
        Some(character) => (character, 5),
        None => {
            let second = digits.get(6..).map_or(0, hex);
            let code = 0x10000 + ((first & 0x3FF) << 10 | (second & 0x3FF));
            (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 11)
        }
    }
}

fn hex(digits: &[u8]) -> u32 {
    digits.iter().take(4).fold(0, |value, digit| value << 4 | char::from(*digit).to_digit(16).unwrap_or(0))
}

/// Appends `text`, which is UTF-8, to `out` as a JSON string with its quotes.
pub(crate) fn write_string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    let mut copied = 0;
    for (at, byte) in text.iter().enumerate() {
        let letter = match byte {
            b'"' | b'\\' => *byte,
            0x08 => b'b',
            0x0C => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0..0x20 => b'u',
            _ => continue,
        };
        out.extend_from_slice(&text[copied..at]);
        out.extend_from_slice(&[b'\\', letter]);
        if letter == b'u' {
            let digits = b"0123456789abcdef";
            out.extend_from_slice(b"00");
            out.extend_from_slice(&[digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]]);
        }
        copied = at + 1;
    }
    out.extend_from_slice(&text[copied..]);
    out.push(b'"');
}
