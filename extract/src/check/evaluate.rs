use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, Datum, Int64Array, StringArray, new_null_array},
    compute::{
        self, CastOptions, and_kleene, cast_with_options, is_null,
        kernels::{cmp, numeric, zip::zip},
        not, or_kleene,
    },
    datatypes::{ArrowPrimitiveType, DataType, Decimal128Type, Float32Type, Float64Type, Int64Type},
    error::ArrowError,
};

/// A node of a compiled condition. The types of its operands go together: see `compile`.
#[derive(Clone, Debug)]
pub(super) enum Node {
    /// The column at that place of the arrays given.
    Column(usize),
    /// One value. `text` is how a number or string was written.
    Literal {
        array: ArrayRef,
        text: Option<String>,
    },
    Cast(Box<Node>, DataType),
    Compare(Comparison, Box<Node>, Box<Node>),
    Like {
        text: Box<Node>,
        pattern: Box<Node>,
        ignores_case: bool,
    },
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Not(Box<Node>),
    IsNull(Box<Node>),
    Arithmetic(Operator, Box<Node>, Box<Node>),
    Negate(Box<Node>),
    Function(Function, Box<Node>),
    /// The second where the first is true, else the third.
    If(Box<Node>, Box<Node>, Box<Node>),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Comparison {
    Eq,
    NotEq,
    Less,
    LessEq,
    Greater,
    GreaterEq,
    Distinct,
    NotDistinct,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl Operator {
    pub(super) fn apply(self, left: &dyn Datum, right: &dyn Datum) -> Result<ArrayRef, ArrowError> {
        match self {
            Self::Add => numeric::add(left, right),
            Self::Subtract => numeric::sub(left, right),
            Self::Multiply => numeric::mul(left, right),
            Self::Divide => numeric::div(left, right),
            Self::Remainder => numeric::rem(left, right),
        }
    }
}

/// A function of one value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Function {
    /// The number of characters.
    Length,
    Lower,
    Upper,
    Abs,
}

/// One value a record, or one for all of them.
#[derive(Debug)]
pub(super) struct Value {
    array: ArrayRef,
    is_scalar: bool,
}

impl Datum for Value {
    fn get(&self) -> (&dyn Array, bool) {
        (&*self.array, self.is_scalar)
    }
}

impl Value {
    fn of(array: ArrayRef, is_scalar: bool) -> Self {
        Self { array, is_scalar }
    }

    fn map(&self, apply: impl FnOnce(&ArrayRef) -> Result<ArrayRef, ArrowError>) -> Result<Self, ArrowError> {
        Ok(Self { array: apply(&self.array)?, is_scalar: self.is_scalar })
    }

    /// One boolean a record.
    pub(super) fn into_booleans(self, records: usize) -> Result<BooleanArray, ArrowError> {
        let booleans = self
            .array
            .as_boolean_opt()
            .ok_or_else(|| ArrowError::InvalidArgumentError("a condition is true or false".to_owned()))?;
        if !self.is_scalar {
            return Ok(booleans.clone());
        }
        let value = booleans.is_valid(0).then(|| booleans.value(0));
        Ok((0..records).map(|_| value).collect())
    }
}

impl Node {
    /// The value for each of `records` records.
    ///
    /// # Errors
    /// The value of at least one record cannot be computed.
    pub(super) fn evaluate(&self, columns: &[ArrayRef], records: usize) -> Result<Value, ArrowError> {
        let value = |node: &Node| node.evaluate(columns, records);
        match self {
            Self::Column(place) => Ok(Value::of(columns[*place].clone(), false)),
            Self::Literal { array, .. } => Ok(Value::of(array.clone(), true)),
            Self::Cast(inner, data_type) => {
                let options = CastOptions { safe: false, ..CastOptions::default() };
                value(inner)?.map(|array| cast_with_options(array, data_type, &options))
            }
            Self::Compare(comparison, left, right) => compare(*comparison, &value(left)?, &value(right)?),
            Self::Like { text, pattern, ignores_case } => {
                let (text, pattern) = (value(text)?, value(pattern)?);
                let like = if *ignores_case { compute::ilike } else { compute::like };
                paired(&text, &pattern, |left, right| Ok(Arc::new(like(left, right)?)))
            }
            Self::And(left, right) => either(value(left), || value(right), false, records),
            Self::Or(left, right) => either(value(left), || value(right), true, records),
            Self::Not(inner) => {
                let inner = value(inner)?.into_booleans(records)?;
                Ok(Value::of(Arc::new(not(&inner)?), false))
            }
            Self::IsNull(inner) => value(inner)?.map(|array| Ok(Arc::new(is_null(array)?))),
            Self::Arithmetic(operator, left, right) => {
                paired(&value(left)?, &value(right)?, |left, right| operator.apply(left, right))
            }
            Self::Negate(inner) => value(inner)?.map(|array| numeric::neg(array)),
            Self::Function(function, inner) => value(inner)?.map(|array| call(*function, array)),
            Self::If(condition, then, otherwise) => {
                let mask = value(condition)?.into_booleans(records)?;
                // A branch that no record takes may well not be computable: `CASE WHEN b <> 0 THEN a / b END`.
                match mask.true_count() {
                    0 => value(otherwise),
                    count if count == records => value(then),
                    _ => Ok(Value::of(zip(&mask, &value(then)?, &value(otherwise)?)?, false)),
                }
            }
        }
    }
}

/// AND (`decisive` false) and OR (`decisive` true) in three-valued logic. For a single record, an operand that decides
/// alone makes up for the other one that cannot be computed, wherever it stands: `b = 0 OR a / b > 2`.
fn either(
    left: Result<Value, ArrowError>,
    right: impl FnOnce() -> Result<Value, ArrowError>,
    decisive: bool,
    records: usize,
) -> Result<Value, ArrowError> {
    let left = left.and_then(|value| value.into_booleans(records));
    let decides = |value: &BooleanArray| value.len() == 1 && value.is_valid(0) && value.value(0) == decisive;
    if let Ok(left) = &left
        && decides(left)
    {
        return Ok(Value::of(Arc::new(left.clone()), false));
    }
    let right = right()?.into_booleans(records)?;
    if decides(&right) {
        return Ok(Value::of(Arc::new(right), false));
    }
    let combine = if decisive { or_kleene } else { and_kleene };
    Ok(Value::of(Arc::new(combine(&left?, &right)?), false))
}

fn compare(comparison: Comparison, left: &Value, right: &Value) -> Result<Value, ArrowError> {
    let kernel = match comparison {
        Comparison::Eq => cmp::eq,
        Comparison::NotEq => cmp::neq,
        Comparison::Less => cmp::lt,
        Comparison::LessEq => cmp::lt_eq,
        Comparison::Greater => cmp::gt,
        Comparison::GreaterEq => cmp::gt_eq,
        Comparison::Distinct => cmp::distinct,
        Comparison::NotDistinct => cmp::not_distinct,
    };
    paired(left, right, |left, right| Ok(Arc::new(kernel(left, right)?)))
}

/// Applies a kernel of two operands; of two values for all records comes one for all.
fn paired(
    left: &Value,
    right: &Value,
    kernel: impl FnOnce(&dyn Datum, &dyn Datum) -> Result<ArrayRef, ArrowError>,
) -> Result<Value, ArrowError> {
    Ok(Value::of(kernel(left, right)?, left.is_scalar && right.is_scalar))
}

fn call(function: Function, array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    Ok(match function {
        Function::Abs => return absolute(array),
        Function::Length => {
            let lengths = strings(array)?.iter().map(|text| text.map(|text| text.chars().count() as i64));
            Arc::new(lengths.collect::<Int64Array>())
        }
        Function::Lower => Arc::new(mapped(array, str::to_lowercase)?),
        Function::Upper => Arc::new(mapped(array, str::to_uppercase)?),
    })
}

fn strings(array: &ArrayRef) -> Result<&StringArray, ArrowError> {
    array.as_string_opt::<i32>().ok_or_else(|| ArrowError::InvalidArgumentError("no string".to_owned()))
}

fn mapped(array: &ArrayRef, apply: impl Fn(&str) -> String) -> Result<StringArray, ArrowError> {
    Ok(strings(array)?.iter().map(|text| text.map(&apply)).collect())
}

fn absolute(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    match array.data_type() {
        DataType::Int64 => magnitudes::<Int64Type>(array, i64::checked_abs),
        DataType::Decimal128(..) => magnitudes::<Decimal128Type>(array, i128::checked_abs),
        DataType::Float32 => magnitudes::<Float32Type>(array, |value| Some(value.abs())),
        DataType::Float64 => magnitudes::<Float64Type>(array, |value| Some(value.abs())),
        other => Err(ArrowError::InvalidArgumentError(format!("abs of {other}"))),
    }
}

fn magnitudes<T: ArrowPrimitiveType>(
    array: &ArrayRef,
    absolute: impl Fn(T::Native) -> Option<T::Native>,
) -> Result<ArrayRef, ArrowError> {
    let overflow = || ArrowError::ArithmeticOverflow("abs overflows".to_owned());
    let values = array.as_primitive::<T>().try_unary::<_, T, _>(|value| absolute(value).ok_or_else(overflow))?;
    Ok(Arc::new(values.with_data_type(array.data_type().clone())))
}

/// A literal that is null.
pub(super) fn null(data_type: &DataType) -> Node {
    Node::Literal { array: new_null_array(data_type, 1), text: None }
}

/// `COALESCE(left, right)`.
pub(super) fn coalesce(left: Node, right: Node) -> Node {
    let is_null = Node::IsNull(Box::new(left.clone()));
    Node::If(Box::new(Node::Not(Box::new(is_null))), Box::new(left), Box::new(right))
}
