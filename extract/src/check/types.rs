use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, Decimal128Array, Float64Array, Int64Array, StringArray},
    compute::{CastOptions, cast_with_options},
    datatypes::{DataType, TimeUnit},
};

use super::evaluate::{Node, null};

/// A node and the type of its values.
#[derive(Clone, Debug)]
pub(super) struct Typed {
    pub(super) node: Node,
    pub(super) data_type: DataType,
}

impl Typed {
    pub(super) fn new(node: Node, data_type: DataType) -> Self {
        Self { node, data_type }
    }

    pub(super) fn boolean(node: Node) -> Self {
        Self::new(node, DataType::Boolean)
    }

    pub(super) fn null() -> Self {
        Self::new(null(&DataType::Null), DataType::Null)
    }

    /// A number as written: an integer or a decimal, exactly; with an exponent, a float.
    pub(super) fn number(text: &str) -> Result<Self, String> {
        let array: ArrayRef = if let Ok(integer) = text.parse::<i64>() {
            Arc::new(Int64Array::from(vec![integer]))
        } else if let Some(decimal) = decimal(text) {
            Arc::new(decimal)
        } else {
            let float = text.parse::<f64>().map_err(|_| format!("`{text}` is no number"))?;
            Arc::new(Float64Array::from(vec![float]))
        };
        Ok(Self::literal(array, text))
    }

    pub(super) fn string(text: &str) -> Self {
        Self::literal(Arc::new(StringArray::from(vec![text])), text)
    }

    fn literal(array: ArrayRef, text: &str) -> Self {
        let data_type = array.data_type().clone();
        Self::new(Node::Literal { array, text: Some(text.to_owned()) }, data_type)
    }

    /// A literal string, which SQL takes for any type.
    fn is_string_literal(&self) -> bool {
        matches!(&self.node, Node::Literal { text: Some(_), .. }) && self.data_type == DataType::Utf8
    }

    /// The same value as another type.
    pub(super) fn coerced(self, target: &DataType) -> Result<Self, String> {
        if self.data_type == *target {
            return Ok(self);
        }
        let node = match self.node {
            _ if self.data_type == DataType::Null => null(target),
            Node::Literal { array, text: Some(text) } => {
                Node::Literal { array: read_literal(&array, &text, target)?, text: Some(text) }
            }
            node => Node::Cast(Box::new(node), target.clone()),
        };
        Ok(Self::new(node, target.clone()))
    }
}

fn decimal(text: &str) -> Option<Decimal128Array> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all = format!("{whole}{fraction}");
    let significant = all.trim_start_matches('0').len().max(fraction.len()).max(1);
    if significant > 38 || all.is_empty() || !all.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value: i128 = all.parse().ok()?;
    let array = Decimal128Array::from(vec![if negative { -value } else { value }]);
    array.with_precision_and_scale(significant as u8, fraction.len() as i8).ok()
}

/// A literal as another type, from how it is written: a float is the nearest to the text, not to some decimal.
fn read_literal(array: &ArrayRef, text: &str, target: &DataType) -> Result<ArrayRef, String> {
    if *target == DataType::Float64
        && let Ok(float) = text.trim().parse::<f64>()
    {
        return Ok(Arc::new(Float64Array::from(vec![float])));
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let read = cast_with_options(array, target, &options).ok().filter(|read| read.is_valid(0));
    read.ok_or_else(|| format!("`{text}` is no {}", name(target)))
}

/// Both values as the type in which they can be compared.
pub(super) fn alike(left: Typed, right: Typed, whole: &str) -> Result<(Typed, Typed), String> {
    let target = if left.is_string_literal() && right.data_type != DataType::Null {
        Some(without_zone(&right.data_type))
    } else if right.is_string_literal() && left.data_type != DataType::Null {
        Some(without_zone(&left.data_type))
    } else {
        common(&left.data_type, &right.data_type)
    };
    let Some(target) = target else {
        let (left, right) = (name(&left.data_type), name(&right.data_type));
        return Err(format!("{left} and {right} do not go together in `{whole}`"));
    };
    Ok((left.coerced(&target)?, right.coerced(&target)?))
}

/// Instants are kept in UTC; they are compared as UTC's date and time of day.
fn without_zone(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Timestamp(unit, _) => DataType::Timestamp(*unit, None),
        other => other.clone(),
    }
}

/// The type that holds the values of both exactly, or as a float where one is a float.
pub(super) fn common(left: &DataType, right: &DataType) -> Option<DataType> {
    use DataType::{Date32, Null, Timestamp};
    Some(match (left, right) {
        _ if left == right => left.clone(),
        (Null, other) | (other, Null) => other.clone(),
        _ if left.is_floating() && is_number(right) || right.is_floating() && is_number(left) => DataType::Float64,
        _ if is_number(left) && is_number(right) => exact(left, right)?,
        (Date32 | Timestamp(..), Timestamp(..)) | (Timestamp(..), Date32) => Timestamp(TimeUnit::Microsecond, None),
        _ => return None,
    })
}

fn exact(left: &DataType, right: &DataType) -> Option<DataType> {
    let has_uint64 = [left, right].contains(&&DataType::UInt64);
    if left.is_integer() && right.is_integer() && !has_uint64 {
        return Some(DataType::Int64);
    }
    let ((left_whole, left_scale), (right_whole, right_scale)) = (digits(left)?, digits(right)?);
    let scale = left_scale.max(right_scale);
    let precision = left_whole.max(right_whole) + scale;
    Some(match precision {
        0..=38 => DataType::Decimal128(precision, scale.cast_signed()),
        _ => DataType::Decimal256(precision.min(76), scale.cast_signed()),
    })
}

/// The digits before and after the point that a number has at most.
fn digits(data_type: &DataType) -> Option<(u8, u8)> {
    Some(match data_type {
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            let scale = u8::try_from(*scale).ok()?;
            (precision.saturating_sub(scale), scale)
        }
        DataType::UInt64 => (20, 0),
        integer if integer.is_integer() => (19, 0),
        _ => return None,
    })
}

pub(super) fn is_number(data_type: &DataType) -> bool {
    data_type.is_numeric()
}

/// The type in which a number is reckoned with.
pub(super) fn reckoned(data_type: &DataType) -> DataType {
    match data_type {
        DataType::UInt64 => DataType::Decimal128(20, 0),
        integer if integer.is_integer() => DataType::Int64,
        other => other.clone(),
    }
}

/// What a spec calls a type.
pub(super) fn name(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 => "string".to_owned(),
        DataType::Date32 => "date".to_owned(),
        DataType::Time64(_) => "time".to_owned(),
        DataType::Timestamp(..) => "timestamp".to_owned(),
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            format!("decimal({precision},{scale})")
        }
        other => other.to_string().to_lowercase(),
    }
}
