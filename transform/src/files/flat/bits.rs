//! Parquet's packing of integers into as few bits as they need, and its runs of repeated ones.

/// So many integers are packed at a time.
pub(super) const PACKED: usize = 32;
/// Codes are bit-packed in groups of so many.
const GROUP: usize = 8;
/// A repetition becomes a run of its own where it would take at least so many bits packed.
const RUN_BITS: usize = 64;

/// How many bits a value needs.
pub(super) fn bit_width(value: u64) -> u32 {
    u64::BITS - value.leading_zeros()
}

/// Writes an unsigned LEB128 integer.
pub(super) fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Writes a signed integer as zigzag LEB128.
pub(super) fn put_zigzag(value: i64, out: &mut Vec<u8>) {
    put_varint(((value << 1) ^ (value >> 63)).cast_unsigned(), out);
}

/// Packs integers of `width` bits, the first into the lowest bits.
pub(super) fn pack(values: &[u64; PACKED], width: u32, out: &mut Vec<u8>) {
    macro_rules! by_width {
        ($($width:literal)*) => {
            match width {
                0 => {}
                $($width => pack_narrow::<$width>(values, out),)*
                _ => pack_wide(values, width, out),
            }
        };
    }
    by_width!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32);
}

/// Widths up to 32, each with a loop of its own: the compiler knows every shift.
fn pack_narrow<const WIDTH: usize>(values: &[u64; PACKED], out: &mut Vec<u8>) {
    let mut words = [[0; 4]; 32];
    let (mut pending, mut bits, mut word) = (0_u64, 0, 0);
    for value in values {
        pending |= value << bits;
        bits += WIDTH;
        if bits >= 32 {
            words[word] = (pending as u32).to_le_bytes();
            word += 1;
            pending >>= 32;
            bits -= 32;
        }
    }
    out.extend_from_slice(words[..WIDTH].as_flattened());
}

fn pack_wide(values: &[u64; PACKED], width: u32, out: &mut Vec<u8>) {
    let (mut pending, mut bits) = (0_u128, 0);
    for value in values {
        pending |= u128::from(*value) << bits;
        bits += width;
        while bits >= 32 {
            out.extend_from_slice(&(pending as u32).to_le_bytes());
            pending >>= 32;
            bits -= 32;
        }
    }
}

/// Writes codes as Parquet's hybrid of runs and bit-packed groups.
pub(super) fn put_codes(codes: &[u32], width: u32, out: &mut Vec<u8>) {
    let run_least = (RUN_BITS / width.max(1) as usize).max(GROUP);
    let (mut packed_from, mut at) = (0, 0);
    while at < codes.len() {
        let run = run_length(&codes[at..]);
        if run >= run_least || (run == codes.len() - at && packed_from == at) {
            put_groups(&codes[packed_from..at], width, out);
            put_run(codes[at], run, width, out);
            at += run;
            packed_from = at;
        } else {
            at = (at + GROUP).min(codes.len());
        }
    }
    put_groups(&codes[packed_from..], width, out);
}

/// Writes a run of one code.
pub(super) fn put_run(code: u32, length: usize, width: u32, out: &mut Vec<u8>) {
    put_varint((length as u64) << 1, out);
    out.extend_from_slice(&code.to_le_bytes()[..width.div_ceil(8) as usize]);
}

/// Writes the header of so many bit-packed groups of eight.
pub(super) fn put_groups_header(groups: usize, out: &mut Vec<u8>) {
    put_varint((groups as u64) << 1 | 1, out);
}

/// Writes bit-packed groups; only a page's last may be filled up.
fn put_groups(codes: &[u32], width: u32, out: &mut Vec<u8>) {
    if codes.is_empty() {
        return;
    }
    let groups = codes.len().div_ceil(GROUP);
    put_groups_header(groups, out);
    let end = out.len() + groups * width as usize;
    let mut values = [0; PACKED];
    for chunk in codes.chunks(PACKED) {
        for (value, code) in values.iter_mut().zip(chunk) {
            *value = u64::from(*code);
        }
        values[chunk.len()..].fill(0);
        pack(&values, width, out);
    }
    out.truncate(end);
}

fn run_length(codes: &[u32]) -> usize {
    let Some(first) = codes.first() else { return 0 };
    codes.iter().position(|code| code != first).unwrap_or(codes.len())
}
