use arrow::{
    array::new_empty_array,
    datatypes::{DataType, TimeUnit},
};
use sqlparser::{
    ast::{
        BinaryOperator, CaseWhen, DataType as SqlType, Expr, Function as Call, FunctionArg, FunctionArgExpr,
        FunctionArguments, Ident, UnaryOperator, Value, ValueWithSpan,
    },
    dialect::GenericDialect,
    parser::Parser,
    tokenizer::Token,
};
use stepwell_pipeline::spec::{Column, nearest};

use super::{
    evaluate::{Comparison, Function, Node, Operator, coalesce},
    types::{Typed, alike, common, is_number, name, reckoned},
};

const SUPPORTED: &str = "supported are the record's columns, numbers, strings, TRUE, FALSE, NULL, DATE, TIME and \
    TIMESTAMP literals, comparisons, AND, OR, NOT, IS [NOT] NULL, BETWEEN, IN, LIKE, ILIKE, + - * / %, CASE, and the \
    functions length, lower, upper, abs and coalesce";

/// The longest condition, in bytes, and the deepest: what is compiled and evaluated recursively must not use up the stack.
const CONDITION_BYTES_MAX: usize = 8192;
const DEPTH_MAX: usize = 128;

/// Compiles a condition; the second is the columns that it needs, in the order of [`Node::Column`].
pub(super) fn compile(text: &str, columns: &[Column]) -> Result<(Node, Vec<usize>), String> {
    if text.len() > CONDITION_BYTES_MAX {
        return Err(format!("the condition has more than {CONDITION_BYTES_MAX} bytes"));
    }
    let mut parser = Parser::new(&GenericDialect {}).try_with_sql(text).map_err(|error| syntax(&error.to_string()))?;
    let expression = parser.parse_expr().map_err(|error| syntax(&error.to_string()))?;
    let rest = parser.peek_token();
    if rest.token != Token::EOF {
        return Err(format!("`{}` stands after the end of the condition", excerpt(&rest.token.to_string())));
    }
    let mut compiler = Compiler { columns, needed: Vec::new(), depth: 0 };
    let root = compiler.condition(&expression)?;
    if compiler.needed.is_empty() {
        return Err("the condition names no column of the record".to_owned());
    }
    Ok((root, compiler.needed))
}

fn syntax(message: &str) -> String {
    let message = message.strip_prefix("sql parser error: ").unwrap_or(message);
    format!("no SQL condition: {}", excerpt(message))
}

fn excerpt(text: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 120;
    let shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    if shown.len() < text.len() { format!("{shown}…") } else { shown }
}

fn unsupported(what: &impl ToString) -> String {
    format!("`{}` is not supported; {SUPPORTED}", excerpt(&what.to_string()))
}

struct Compiler<'a> {
    columns: &'a [Column],
    needed: Vec<usize>,
    depth: usize,
}

impl Compiler<'_> {
    fn typed(&mut self, expression: &Expr) -> Result<Typed, String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(format!("the condition is nested more than {DEPTH_MAX} deep; use IN for long lists"));
        }
        let typed = self.dispatch(expression);
        self.depth -= 1;
        typed
    }

    fn dispatch(&mut self, expression: &Expr) -> Result<Typed, String> {
        match expression {
            Expr::Nested(inner) => self.typed(inner),
            Expr::Identifier(ident) => self.column(ident),
            Expr::Value(value) => literal(value),
            Expr::TypedString(typed) => typed_string(&typed.data_type, &typed.value),
            Expr::UnaryOp { op, expr } => self.unary(*op, expr, expression),
            Expr::BinaryOp { left, op, right } => self.binary(left, op, right, expression),
            Expr::IsNull(inner) => Ok(Typed::boolean(is_null(self.typed(inner)?))),
            Expr::IsNotNull(inner) => Ok(negated(Typed::boolean(is_null(self.typed(inner)?)), true)),
            Expr::IsUnknown(inner) => Ok(Typed::boolean(Node::IsNull(Box::new(self.condition(inner)?)))),
            Expr::IsNotUnknown(inner) => {
                Ok(negated(Typed::boolean(Node::IsNull(Box::new(self.condition(inner)?))), true))
            }
            Expr::IsTrue(inner) => self.is_boolean(inner, true, false),
            Expr::IsNotTrue(inner) => self.is_boolean(inner, true, true),
            Expr::IsFalse(inner) => self.is_boolean(inner, false, false),
            Expr::IsNotFalse(inner) => self.is_boolean(inner, false, true),
            Expr::IsDistinctFrom(left, right) => self.compare(Comparison::Distinct, left, right, expression),
            Expr::IsNotDistinctFrom(left, right) => self.compare(Comparison::NotDistinct, left, right, expression),
            Expr::InList { expr, list, negated: is_negated } => {
                let one = self.typed(expr)?;
                let mut any: Option<Node> = None;
                for candidate in list {
                    let candidate = self.typed(candidate)?;
                    let equal = compared(Comparison::Eq, one.clone(), candidate, expression)?.node;
                    any = Some(match any {
                        Some(before) => Node::Or(Box::new(before), Box::new(equal)),
                        None => equal,
                    });
                }
                let any = any.ok_or_else(|| unsupported(expression))?;
                Ok(negated(Typed::boolean(any), *is_negated))
            }
            Expr::Between { expr, negated: is_negated, low, high } => {
                let one = self.typed(expr)?;
                let (low, high) = (self.typed(low)?, self.typed(high)?);
                let low = compared(Comparison::GreaterEq, one.clone(), low, expression)?;
                let high = compared(Comparison::LessEq, one, high, expression)?;
                Ok(negated(Typed::boolean(Node::And(Box::new(low.node), Box::new(high.node))), *is_negated))
            }
            Expr::Like { negated: is_negated, any: false, expr, pattern, escape_char: None } => {
                self.like(expr, pattern, false, *is_negated, expression)
            }
            Expr::ILike { negated: is_negated, any: false, expr, pattern, escape_char: None } => {
                self.like(expr, pattern, true, *is_negated, expression)
            }
            Expr::Function(call) => self.call(call),
            Expr::Case { operand, conditions, else_result, .. } => {
                self.case(operand.as_deref(), conditions, else_result.as_deref(), expression)
            }
            other => Err(unsupported(other)),
        }
    }

    /// An expression that is true or false.
    fn condition(&mut self, expression: &Expr) -> Result<Node, String> {
        let typed = self.typed(expression)?;
        match typed.data_type {
            DataType::Boolean => Ok(typed.node),
            DataType::Null => Ok(typed.coerced(&DataType::Boolean)?.node),
            other => {
                let text = excerpt(&expression.to_string());
                Err(format!("a condition is true or false, but `{text}` is {}", name(&other)))
            }
        }
    }

    fn column(&mut self, ident: &Ident) -> Result<Typed, String> {
        let names = self.columns.iter().map(|column| column.name.as_str());
        let Some(index) = names.clone().position(|name| name == ident.value) else {
            let word = excerpt(&ident.value);
            return Err(match nearest(&ident.value, names) {
                Some(meant) if meant.contains(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_') => {
                    format!("unknown column `{word}`; did you mean `\"{meant}\"`?")
                }
                Some(meant) => format!("unknown column `{word}`; did you mean `{meant}`?"),
                None => format!("unknown column `{word}`; texts are written in single quotes"),
            });
        };
        let place = self.needed.iter().position(|needed| *needed == index).unwrap_or_else(|| {
            self.needed.push(index);
            self.needed.len() - 1
        });
        Ok(Typed::new(Node::Column(place), self.columns[index].column_type.arrow_type()))
    }

    fn unary(&mut self, operator: UnaryOperator, operand: &Expr, whole: &Expr) -> Result<Typed, String> {
        match operator {
            UnaryOperator::Not => Ok(negated(Typed::boolean(self.condition(operand)?), true)),
            UnaryOperator::Plus => self.number(operand, whole),
            UnaryOperator::Minus => {
                // Otherwise the least integer could not be written.
                if let Expr::Value(ValueWithSpan { value: Value::Number(text, _), .. }) = operand {
                    return Typed::number(&format!("-{text}"));
                }
                let typed = self.number(operand, whole)?;
                let data_type = reckoned(&typed.data_type);
                let operand = typed.coerced(&data_type)?;
                Ok(Typed::new(Node::Negate(Box::new(operand.node)), data_type))
            }
            _ => Err(unsupported(whole)),
        }
    }

    fn number(&mut self, operand: &Expr, whole: &Expr) -> Result<Typed, String> {
        let typed = self.typed(operand)?;
        match &typed.data_type {
            DataType::Null => typed.coerced(&DataType::Int64),
            number if is_number(number) => Ok(typed),
            other => {
                let message = format!("`{}` needs a number, not a {}", excerpt(&whole.to_string()), name(other));
                Err(message)
            }
        }
    }

    fn binary(&mut self, left: &Expr, op: &BinaryOperator, right: &Expr, whole: &Expr) -> Result<Typed, String> {
        let comparison = match op {
            BinaryOperator::Eq => Comparison::Eq,
            BinaryOperator::NotEq => Comparison::NotEq,
            BinaryOperator::Lt => Comparison::Less,
            BinaryOperator::LtEq => Comparison::LessEq,
            BinaryOperator::Gt => Comparison::Greater,
            BinaryOperator::GtEq => Comparison::GreaterEq,
            BinaryOperator::And | BinaryOperator::Or => {
                let (left, right) = (Box::new(self.condition(left)?), Box::new(self.condition(right)?));
                let is_and = *op == BinaryOperator::And;
                return Ok(Typed::boolean(if is_and { Node::And(left, right) } else { Node::Or(left, right) }));
            }
            BinaryOperator::Plus => return self.arithmetic(Operator::Add, left, right, whole),
            BinaryOperator::Minus => return self.arithmetic(Operator::Subtract, left, right, whole),
            BinaryOperator::Multiply => return self.arithmetic(Operator::Multiply, left, right, whole),
            BinaryOperator::Divide => return self.arithmetic(Operator::Divide, left, right, whole),
            BinaryOperator::Modulo => return self.arithmetic(Operator::Remainder, left, right, whole),
            _ => return Err(unsupported(whole)),
        };
        self.compare(comparison, left, right, whole)
    }

    fn compare(&mut self, comparison: Comparison, left: &Expr, right: &Expr, whole: &Expr) -> Result<Typed, String> {
        let (left, right) = (self.typed(left)?, self.typed(right)?);
        compared(comparison, left, right, whole)
    }

    fn arithmetic(&mut self, operator: Operator, left: &Expr, right: &Expr, whole: &Expr) -> Result<Typed, String> {
        let (left, right) = (self.number(left, whole)?, self.number(right, whole)?);
        let is_float = left.data_type.is_floating() || right.data_type.is_floating();
        let as_operand = |typed: Typed, other: DataType| {
            let data_type = reckoned(&typed.data_type);
            let target = match (&data_type, reckoned(&other)) {
                _ if is_float => DataType::Float64,
                (DataType::Int64, DataType::Decimal128(..)) => DataType::Decimal128(19, 0),
                _ => data_type,
            };
            typed.coerced(&target)
        };
        let (left_type, right_type) = (left.data_type.clone(), right.data_type.clone());
        let (left, right) = (as_operand(left, right_type)?, as_operand(right, left_type)?);
        // The kernels know best what comes of decimals.
        let result = operator
            .apply(&new_empty_array(&left.data_type), &new_empty_array(&right.data_type))
            .map_err(|error| format!("`{}`: {error}", excerpt(&whole.to_string())))?;
        let node = Node::Arithmetic(operator, Box::new(left.node), Box::new(right.node));
        Ok(Typed::new(node, result.data_type().clone()))
    }

    fn is_boolean(&mut self, inner: &Expr, value: bool, is_negated: bool) -> Result<Typed, String> {
        let condition = self.condition(inner)?;
        let condition = if value { condition } else { Node::Not(Box::new(condition)) };
        let known = coalesce(condition, boolean(false).node);
        Ok(negated(Typed::boolean(known), is_negated))
    }

    fn like(
        &mut self,
        text: &Expr,
        pattern: &Expr,
        ignores_case: bool,
        is_negated: bool,
        whole: &Expr,
    ) -> Result<Typed, String> {
        let mut operand = |expression: &Expr| {
            let typed = self.typed(expression)?;
            match &typed.data_type {
                DataType::Utf8 | DataType::Null => Ok(Box::new(typed.coerced(&DataType::Utf8)?.node)),
                other => Err(format!("`{}` needs a string, not {}", excerpt(&whole.to_string()), name(other))),
            }
        };
        let node = Node::Like { text: operand(text)?, pattern: operand(pattern)?, ignores_case };
        Ok(negated(Typed::boolean(node), is_negated))
    }

    fn call(&mut self, call: &Call) -> Result<Typed, String> {
        let FunctionArguments::List(list) = &call.args else { return Err(unsupported(call)) };
        let is_plain = list.duplicate_treatment.is_none()
            && list.clauses.is_empty()
            && call.filter.is_none()
            && call.over.is_none()
            && call.within_group.is_empty();
        let arguments: Option<Vec<&Expr>> = list
            .args
            .iter()
            .map(|argument| match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) => Some(expression),
                _ => None,
            })
            .collect();
        let arguments = arguments.filter(|_| is_plain).ok_or_else(|| unsupported(call))?;
        let function = call.name.to_string().to_lowercase();
        if function == "coalesce" && !arguments.is_empty() {
            return self.coalesce(&arguments, call);
        }
        let [argument] = arguments[..] else { return Err(unsupported(call)) };
        let (function, result) = match function.as_str() {
            "length" | "char_length" | "character_length" => (Function::Length, DataType::Int64),
            "lower" => (Function::Lower, DataType::Utf8),
            "upper" => (Function::Upper, DataType::Utf8),
            "abs" => {
                let whole = Expr::Function(call.clone());
                let typed = self.number(argument, &whole)?;
                let data_type = reckoned(&typed.data_type);
                let node = Node::Function(Function::Abs, Box::new(typed.coerced(&data_type)?.node));
                return Ok(Typed::new(node, data_type));
            }
            _ => return Err(unsupported(call)),
        };
        let typed = self.typed(argument)?;
        match &typed.data_type {
            DataType::Utf8 | DataType::Null => {
                let text = typed.coerced(&DataType::Utf8)?;
                Ok(Typed::new(Node::Function(function, Box::new(text.node)), result))
            }
            other => Err(format!("`{}` needs a string, not {}", excerpt(&call.to_string()), name(other))),
        }
    }

    fn coalesce(&mut self, arguments: &[&Expr], call: &Call) -> Result<Typed, String> {
        let whole = excerpt(&call.to_string());
        let typed = arguments.iter().map(|argument| self.typed(argument)).collect::<Result<Vec<_>, _>>()?;
        let (mut typed, data_type) = unified(typed, &whole)?;
        let last = typed.pop().ok_or_else(|| unsupported(call))?;
        let node = typed.into_iter().rev().fold(last.node, |rest, typed| coalesce(typed.node, rest));
        Ok(Typed::new(node, data_type))
    }

    fn case(
        &mut self,
        operand: Option<&Expr>,
        branches: &[CaseWhen],
        otherwise: Option<&Expr>,
        whole: &Expr,
    ) -> Result<Typed, String> {
        let mut conditions = Vec::with_capacity(branches.len());
        let mut results = Vec::with_capacity(branches.len() + 1);
        for CaseWhen { condition, result } in branches {
            conditions.push(match operand {
                Some(operand) => self.compare(Comparison::Eq, operand, condition, whole)?.node,
                None => self.condition(condition)?,
            });
            results.push(self.typed(result)?);
        }
        results.push(otherwise.map_or_else(|| Ok(Typed::null()), |otherwise| self.typed(otherwise))?);
        let (mut results, data_type) = unified(results, &excerpt(&whole.to_string()))?;
        let last = results.pop().ok_or_else(|| unsupported(whole))?;
        let node = conditions.into_iter().zip(results).rev().fold(last.node, |rest, (condition, result)| {
            // Null is not true.
            let condition = coalesce(condition, boolean(false).node);
            Node::If(Box::new(condition), Box::new(result.node), Box::new(rest))
        });
        Ok(Typed::new(node, data_type))
    }
}

/// Values as the one type that holds all of them.
fn unified(typed: Vec<Typed>, whole: &str) -> Result<(Vec<Typed>, DataType), String> {
    let mut target = DataType::Null;
    for one in &typed {
        target = common(&target, &one.data_type)
            .ok_or_else(|| format!("{} and {} do not go together in `{whole}`", name(&target), name(&one.data_type)))?;
    }
    let typed = typed.into_iter().map(|one| one.coerced(&target)).collect::<Result<_, _>>()?;
    Ok((typed, target))
}

fn compared(comparison: Comparison, left: Typed, right: Typed, whole: &Expr) -> Result<Typed, String> {
    let whole = excerpt(&whole.to_string());
    let (left, right) = alike(left, right, &whole)?;
    match &left.data_type {
        nested if nested.is_nested() => {
            return Err(format!("`{whole}` compares lists or structs; they can be tested with IS NULL only"));
        }
        // Two bare nulls: whatever the type, the result is null.
        DataType::Null => return compared_nulls(comparison, left, right),
        _ => {}
    }
    Ok(Typed::boolean(Node::Compare(comparison, Box::new(left.node), Box::new(right.node))))
}

fn compared_nulls(comparison: Comparison, left: Typed, right: Typed) -> Result<Typed, String> {
    let (left, right) = (left.coerced(&DataType::Boolean)?, right.coerced(&DataType::Boolean)?);
    Ok(Typed::boolean(Node::Compare(comparison, Box::new(left.node), Box::new(right.node))))
}

fn is_null(typed: Typed) -> Node {
    Node::IsNull(Box::new(typed.node))
}

fn negated(typed: Typed, is_negated: bool) -> Typed {
    if is_negated { Typed::boolean(Node::Not(Box::new(typed.node))) } else { typed }
}

fn boolean(value: bool) -> Typed {
    let array = std::sync::Arc::new(arrow::array::BooleanArray::from(vec![value]));
    Typed::boolean(Node::Literal { array, text: None })
}

fn literal(value: &ValueWithSpan) -> Result<Typed, String> {
    match &value.value {
        Value::Number(text, _) => Typed::number(text),
        Value::SingleQuotedString(text) => Ok(Typed::string(text)),
        Value::Boolean(value) => Ok(boolean(*value)),
        Value::Null => Ok(Typed::null()),
        other => Err(unsupported(other)),
    }
}

fn typed_string(data_type: &SqlType, value: &ValueWithSpan) -> Result<Typed, String> {
    let Value::SingleQuotedString(text) = &value.value else { return Err(unsupported(value)) };
    let target = match data_type {
        SqlType::Date => DataType::Date32,
        SqlType::Time(..) => DataType::Time64(TimeUnit::Microsecond),
        SqlType::Timestamp(..) | SqlType::Datetime(_) => DataType::Timestamp(TimeUnit::Microsecond, None),
        other => return Err(unsupported(other)),
    };
    let typed = Typed::string(text).coerced(&target)?;
    // Its text is not used again: a TIMESTAMP literal stays a timestamp whatever it is compared with.
    let Node::Literal { array, .. } = typed.node else { return Err(unsupported(value)) };
    Ok(Typed::new(Node::Literal { array, text: None }, target))
}
