use std::hash::{DefaultHasher, Hash, Hasher};

use arrow::{
    array::{ArrayRef, AsArray},
    compute::cast,
    datatypes::{DataType, Decimal32Type, Decimal64Type, Decimal128Type, Int64Type},
};
use parquet::basic::Encoding;

/// Decimals of so many digits are 64-bit integers in Parquet.
const DECIMAL64_PRECISION_MAX: u8 = 18;
/// Values of this many at a time have a minimum of their own in DELTA_BINARY_PACKED, a quarter of them a width.
const DELTA_BLOCK: usize = 128;
const DELTA_MINIBLOCK: usize = 32;

/// The encoding that suits a column, judged by its first values; nothing for a dictionary.
pub(super) fn encoding(data_type: &DataType, arrays: &[ArrayRef]) -> Option<Encoding> {
    match data_type {
        DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View
        | DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView => {
            let (distinct, values) = distinct_texts(arrays);
            is_mostly_unique(distinct, values).then_some(Encoding::DELTA_LENGTH_BYTE_ARRAY)
        }
        DataType::Float32 | DataType::Float64 => {
            let (distinct, values) = distinct_texts(arrays);
            is_mostly_unique(distinct, values).then_some(Encoding::PLAIN)
        }
        DataType::Decimal128(precision, _) if *precision > DECIMAL64_PRECISION_MAX => {
            let mut values: Vec<i128> =
                arrays.iter().flat_map(|array| array.as_primitive::<Decimal128Type>().iter().flatten()).collect();
            let count = values.len();
            values.sort_unstable();
            values.dedup();
            is_mostly_unique(values.len(), count).then_some(Encoding::PLAIN)
        }
        _ => integers(data_type, arrays).and_then(|values| of_integers(&values)),
    }
}

fn is_mostly_unique(distinct: usize, values: usize) -> bool {
    values > 0 && distinct * 2 > values
}

fn of_integers(values: &[i64]) -> Option<Encoding> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let distinct = sorted.len();
    if distinct < 2 {
        return None;
    }
    let dictionary_bits = u64::from(usize::BITS - (distinct - 1).leading_zeros()) * values.len() as u64;
    let delta_suits = is_mostly_unique(distinct, values.len()) || delta_bits(values) <= dictionary_bits;
    delta_suits.then_some(Encoding::DELTA_BINARY_PACKED)
}

/// How many bits the values take as DELTA_BINARY_PACKED, headers aside.
fn delta_bits(values: &[i64]) -> u64 {
    let deltas: Vec<i64> = values.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
    let of_block = |block: &[i64]| {
        let least = block.iter().copied().min().unwrap_or_default();
        let width = |part: &[i64]| {
            part.iter().map(|delta| u64::BITS - delta.wrapping_sub(least).cast_unsigned().leading_zeros()).max()
        };
        block
            .chunks(DELTA_MINIBLOCK)
            .map(|part| u64::from(width(part).unwrap_or_default()) * part.len() as u64)
            .sum::<u64>()
    };
    deltas.chunks(DELTA_BLOCK).map(of_block).sum()
}

/// The values that are not null, as Parquet's integers; nothing for other types.
fn integers(data_type: &DataType, arrays: &[ArrayRef]) -> Option<Vec<i64>> {
    let mut values = Vec::new();
    for array in arrays {
        match data_type {
            DataType::Decimal128(..) => {
                // Eighteen digits fit.
                values.extend(array.as_primitive::<Decimal128Type>().iter().flatten().map(|value| value as i64));
            }
            DataType::Decimal64(..) => values.extend(array.as_primitive::<Decimal64Type>().iter().flatten()),
            DataType::Decimal32(..) => {
                values.extend(array.as_primitive::<Decimal32Type>().iter().flatten().map(i64::from))
            }
            DataType::Date32 | DataType::Time64(_) | DataType::Timestamp(..) => {
                values.extend(cast(array, &DataType::Int64).ok()?.as_primitive::<Int64Type>().iter().flatten());
            }
            other if other.is_integer() => {
                values.extend(cast(array, &DataType::Int64).ok()?.as_primitive::<Int64Type>().iter().flatten());
            }
            _ => return None,
        }
    }
    Some(values)
}

/// How many different values there are, and how many that are not null.
fn distinct_texts(arrays: &[ArrayRef]) -> (usize, usize) {
    let mut hashes = Vec::new();
    for array in arrays {
        let Ok(bytes) = cast(array, &DataType::Utf8)
            .and_then(|text| cast(&text, &DataType::Binary))
            .or_else(|_| cast(array, &DataType::Binary))
        else {
            return (0, 0);
        };
        let bytes = bytes.as_binary::<i32>();
        for value in bytes.iter().flatten() {
            let mut hasher = DefaultHasher::new();
            value.hash(&mut hasher);
            hashes.push(hasher.finish());
        }
    }
    let values = hashes.len();
    hashes.sort_unstable();
    hashes.dedup();
    (hashes.len(), values)
}
