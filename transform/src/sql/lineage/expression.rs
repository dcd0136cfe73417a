use datafusion::{
    common::{
        Column, DFSchema,
        tree_node::{TreeNode, TreeNodeRecursion},
    },
    logical_expr::{Expr, Subquery, WindowFunctionDefinition, expr::Sort},
};
use stepwell_pipeline::{
    lineage::{Effect, Transformation},
    spec::CheckedSpec,
};

use super::{
    plan::{Traced, trace},
    sources::{Known, Sources, together},
};

const TRANSFORMED: Transformation = Transformation::of(Effect::Transformation);

/// Functions whose result does not show the value any more.
const HASHES: [&str; 6] = ["digest", "md5", "sha224", "sha256", "sha384", "sha512"];

/// Where the columns of an expression are looked up.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) schema: &'a DFSchema,
    pub(super) traced: &'a Traced,
    pub(super) spec: &'a CheckedSpec,
    /// That of the query around a subquery.
    pub(super) outer: Option<&'a Scope<'a>>,
}

impl Scope<'_> {
    fn column(&self, column: &Column) -> Known {
        let is_ambiguous = column.relation.is_none()
            && self.schema.fields().iter().filter(|field| *field.name() == column.name).count() > 1;
        if is_ambiguous {
            return None;
        }
        self.traced.columns.get(self.schema.maybe_index_of_column(column)?)?.clone()
    }

    fn outer_column(&self, column: &Column) -> Known {
        let outer = self.outer?;
        if outer.schema.maybe_index_of_column(column).is_some() {
            return outer.column(column);
        }
        outer.outer_column(column)
    }

    /// What an expression is made of.
    pub(super) fn expression(&self, expression: &Expr) -> Known {
        match expression {
            Expr::Column(column) => self.column(column),
            Expr::OuterReferenceColumn(_, column) => self.outer_column(column),
            Expr::Alias(alias) => self.expression(&alias.expr),
            Expr::Literal(..) => Some(Sources::default()),
            Expr::Case(case) => {
                let whens = case.when_then_expr.iter().map(|(when, _)| when);
                let decided_by = case.expr.iter().chain(whens).map(|when| self.deciding(when, Effect::Conditional));
                let values = case.when_then_expr.iter().map(|(_, then)| then).chain(&case.else_expr);
                together(decided_by.chain(values.map(|value| self.made(value, TRANSFORMED))))
            }
            Expr::AggregateFunction(call) => {
                let masking = call.func.name() == "count";
                let params = &call.params;
                let made = Transformation { effect: Effect::Aggregation, masking };
                let arguments = params.args.iter().map(|argument| self.made(argument, made));
                let filter = params.filter.iter().map(|filter| self.deciding(filter, Effect::Filter));
                together(arguments.chain(filter).chain(self.sorted(&params.order_by, Effect::Sort)))
            }
            Expr::WindowFunction(call) => {
                let made = match &call.fun {
                    WindowFunctionDefinition::AggregateUDF(function) => {
                        Transformation { effect: Effect::Aggregation, masking: function.name() == "count" }
                    }
                    WindowFunctionDefinition::WindowUDF(_) => TRANSFORMED,
                };
                let params = &call.params;
                let arguments = params.args.iter().map(|argument| self.made(argument, made));
                let partitions = params.partition_by.iter().map(|column| self.deciding(column, Effect::Window));
                let filter = params.filter.iter().map(|filter| self.deciding(filter, Effect::Filter));
                let order = self.sorted(&params.order_by, Effect::Window);
                together(arguments.chain(partitions).chain(filter).chain(order))
            }
            Expr::ScalarFunction(call) => {
                let masking = HASHES.contains(&call.func.name());
                self.children(expression, Transformation { effect: Effect::Transformation, masking })
            }
            Expr::ScalarSubquery(subquery) => {
                let traced = self.subquery(subquery);
                together([traced.columns.first().cloned().flatten(), traced.dataset])
            }
            Expr::Exists(exists) => self.subquery(&exists.subquery).dataset,
            Expr::InSubquery(inside) => self.compared(&inside.expr, &inside.subquery),
            Expr::SetComparison(comparison) => self.compared(&comparison.expr, &comparison.subquery),
            Expr::BinaryExpr(_)
            | Expr::Like(_)
            | Expr::SimilarTo(_)
            | Expr::Not(_)
            | Expr::IsNotNull(_)
            | Expr::IsNull(_)
            | Expr::IsTrue(_)
            | Expr::IsFalse(_)
            | Expr::IsUnknown(_)
            | Expr::IsNotTrue(_)
            | Expr::IsNotFalse(_)
            | Expr::IsNotUnknown(_)
            | Expr::Negative(_)
            | Expr::Between(_)
            | Expr::Cast(_)
            | Expr::TryCast(_)
            | Expr::InList(_) => self.children(expression, TRANSFORMED),
            _ => None,
        }
    }

    /// What an expression hangs on that decides about something.
    pub(super) fn deciding(&self, expression: &Expr, effect: Effect) -> Known {
        self.expression(expression).map(|sources| sources.deciding(effect))
    }

    /// What a sort hangs on.
    pub(super) fn sorted(&self, by: &[Sort], effect: Effect) -> impl Iterator<Item = Known> {
        by.iter().map(move |sort| self.deciding(&sort.expr, effect))
    }

    fn made(&self, expression: &Expr, made: Transformation) -> Known {
        self.expression(expression).map(|sources| sources.made(made))
    }

    fn children(&self, expression: &Expr, made: Transformation) -> Known {
        let mut all = Vec::new();
        let visited = expression.apply_children(|child| {
            all.push(self.made(child, made));
            Ok(TreeNodeRecursion::Continue)
        });
        visited.ok()?;
        together(all)
    }

    fn compared(&self, expression: &Expr, subquery: &Subquery) -> Known {
        let traced = self.subquery(subquery);
        let values = traced.columns.into_iter().map(|column| column.map(|sources| sources.made(TRANSFORMED)));
        together(values.chain([traced.dataset, self.made(expression, TRANSFORMED)]))
    }

    fn subquery(&self, subquery: &Subquery) -> Traced {
        trace(&subquery.subquery, self.spec, Some(self))
    }
}
