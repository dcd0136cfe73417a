use datafusion::{
    common::JoinType,
    logical_expr::{Aggregate, Distinct, Expr, Join, LogicalPlan, TableScan, Unnest},
};
use stepwell_pipeline::{
    lineage::{Effect, Transformation},
    spec::{CheckedSpec, EXTRA, Pii},
};

use super::{
    expression::Scope,
    sources::{Known, Sources, together},
};

const INPUT: &str = "input";

/// What a plan gives is made of.
#[derive(Clone, Debug)]
pub(super) struct Traced {
    /// For each column, in the order of the plan's schema.
    pub(super) columns: Vec<Known>,
    /// What decides which records there are, or in which order.
    pub(super) dataset: Known,
}

impl Traced {
    fn unknown(plan: &LogicalPlan) -> Self {
        Self { columns: vec![None; plan.schema().fields().len()], dataset: None }
    }

    /// The same columns of records that more decides about.
    fn decided_by(self, more: impl IntoIterator<Item = Known>) -> Self {
        let dataset = together(std::iter::once(self.dataset).chain(more));
        Self { dataset, ..self }
    }
}

/// Traces what a plan gives back to the tables; `outer` is where the columns of a query around it are looked up.
pub(super) fn trace(plan: &LogicalPlan, spec: &CheckedSpec, outer: Option<&Scope<'_>>) -> Traced {
    let traced = match plan {
        LogicalPlan::TableScan(scan) => Some(scanned(scan, spec)),
        LogicalPlan::SubqueryAlias(alias) => Some(trace(&alias.input, spec, outer)),
        LogicalPlan::Subquery(subquery) => Some(trace(&subquery.subquery, spec, outer)),
        LogicalPlan::Limit(limit) => Some(trace(&limit.input, spec, outer)),
        LogicalPlan::Repartition(repartition) => Some(trace(&repartition.input, spec, outer)),
        LogicalPlan::Projection(projection) => Some(over(&projection.input, spec, outer, |scope| Traced {
            columns: projection.expr.iter().map(|expression| scope.expression(expression)).collect(),
            dataset: scope.traced.dataset.clone(),
        })),
        LogicalPlan::Filter(filter) => Some(over(&filter.input, spec, outer, |scope| {
            scope.traced.clone().decided_by([scope.deciding(&filter.predicate, Effect::Filter)])
        })),
        LogicalPlan::Sort(sort) => Some(over(&sort.input, spec, outer, |scope| {
            scope.traced.clone().decided_by(scope.sorted(&sort.expr, Effect::Sort))
        })),
        LogicalPlan::Window(window) => Some(over(&window.input, spec, outer, |scope| {
            let mut traced = scope.traced.clone();
            traced.columns.extend(window.window_expr.iter().map(|expression| scope.expression(expression)));
            traced
        })),
        LogicalPlan::Aggregate(aggregate) => aggregated(aggregate, spec, outer),
        LogicalPlan::Distinct(Distinct::All(input)) => Some(over(input, spec, outer, |scope| {
            let columns = scope.traced.columns.iter().cloned();
            let groups: Vec<Known> = columns.map(|column| Some(column?.deciding(Effect::GroupBy))).collect();
            scope.traced.clone().decided_by(groups)
        })),
        LogicalPlan::Distinct(Distinct::On(distinct)) => Some(over(&distinct.input, spec, outer, |scope| {
            let on = distinct.on_expr.iter().map(|expression| scope.deciding(expression, Effect::GroupBy));
            let sort = scope.sorted(distinct.sort_expr.as_deref().unwrap_or_default(), Effect::Sort);
            let columns = distinct.select_expr.iter().map(|expression| scope.expression(expression)).collect();
            Traced { columns, dataset: scope.traced.dataset.clone() }.decided_by(on.chain(sort))
        })),
        LogicalPlan::Join(join) => joined(join, spec, outer),
        LogicalPlan::Union(union) => {
            let all: Vec<Traced> = union.inputs.iter().map(|input| trace(input, spec, outer)).collect();
            let column = |index: usize| together(all.iter().map(|one| one.columns.get(index).cloned().flatten()));
            Some(Traced {
                columns: (0..plan.schema().fields().len()).map(column).collect(),
                dataset: together(all.iter().map(|one| one.dataset.clone())),
            })
        }
        LogicalPlan::Unnest(unnest) => unnested(unnest, spec, outer),
        LogicalPlan::EmptyRelation(_) => Some(Traced {
            columns: vec![Some(Sources::default()); plan.schema().fields().len()],
            dataset: Some(Sources::default()),
        }),
        _ => None,
    };
    // A node whose columns are others than was thought is not understood.
    traced
        .filter(|traced| traced.columns.len() == plan.schema().fields().len())
        .unwrap_or_else(|| Traced::unknown(plan))
}

/// What is made of a plan's columns.
fn over(
    input: &LogicalPlan,
    spec: &CheckedSpec,
    outer: Option<&Scope<'_>>,
    made: impl FnOnce(&Scope<'_>) -> Traced,
) -> Traced {
    let traced = trace(input, spec, outer);
    made(&Scope { schema: input.schema(), traced: &traced, spec, outer })
}

fn scanned(scan: &TableScan, spec: &CheckedSpec) -> Traced {
    let table = scan.table_name.table();
    let is_input = table == INPUT;
    let is_known = is_input || spec.spec.transform.references.iter().any(|reference| reference.name.value == table);
    let column = |name: &str| match (is_known, is_input) {
        (false, _) => None,
        (true, false) => Some(Sources::of(table, name, Transformation::of(Effect::Identity))),
        // It holds whatever columns nobody declared.
        (true, true) if name == EXTRA => None,
        (true, true) => Some(Sources::of(table, name, of_input(spec, name))),
    };
    Traced {
        columns: scan.projected_schema.fields().iter().map(|field| column(field.name())).collect(),
        dataset: (is_known && scan.filters.is_empty()).then(Sources::default),
    }
}

/// What has become of a column of the source before the SQL sees it.
fn of_input(spec: &CheckedSpec, name: &str) -> Transformation {
    let column = spec.columns.iter().find(|column| column.name == name);
    match column.and_then(|column| column.pii) {
        Some(Pii::Hash | Pii::Redact | Pii::Drop) => Transformation { effect: Effect::Transformation, masking: true },
        None => Transformation::of(Effect::Identity),
    }
}

fn aggregated(aggregate: &Aggregate, spec: &CheckedSpec, outer: Option<&Scope<'_>>) -> Option<Traced> {
    if aggregate.group_expr.iter().any(|expression| matches!(expression, Expr::GroupingSet(_))) {
        return None;
    }
    Some(over(&aggregate.input, spec, outer, |scope| {
        let all = aggregate.group_expr.iter().chain(&aggregate.aggr_expr);
        let groups = aggregate.group_expr.iter().map(|expression| scope.deciding(expression, Effect::GroupBy));
        let columns = all.map(|expression| scope.expression(expression)).collect();
        Traced { columns, dataset: scope.traced.dataset.clone() }.decided_by(groups)
    }))
}

fn joined(join: &Join, spec: &CheckedSpec, outer: Option<&Scope<'_>>) -> Option<Traced> {
    let (left, right) = (trace(&join.left, spec, outer), trace(&join.right, spec, outer));
    let sides = join.left.schema().join(join.right.schema()).ok()?;
    let both = Traced {
        columns: left.columns.iter().chain(&right.columns).cloned().collect(),
        dataset: together([left.dataset, right.dataset]),
    };
    let scope = Scope { schema: &sides, traced: &both, spec, outer };
    let on = join.on.iter().flat_map(|(one, other)| [one, other]).chain(&join.filter);
    let dataset = both.clone().decided_by(on.map(|expression| scope.deciding(expression, Effect::Join))).dataset;
    let columns = match join.join_type {
        JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full => both.columns,
        JoinType::LeftSemi | JoinType::LeftAnti => left.columns,
        JoinType::RightSemi | JoinType::RightAnti => right.columns,
        _ => return None,
    };
    Some(Traced { columns, dataset })
}

fn unnested(unnest: &Unnest, spec: &CheckedSpec, outer: Option<&Scope<'_>>) -> Option<Traced> {
    let traced = trace(&unnest.input, spec, outer);
    let is_opened = |index: &usize| {
        unnest.struct_type_columns.contains(index) || unnest.list_type_columns.iter().any(|(list, _)| list == index)
    };
    let column = |index: &usize| {
        let sources = traced.columns.get(*index)?.clone()?;
        Some(if is_opened(index) { sources.made(Transformation::of(Effect::Transformation)) } else { sources })
    };
    let columns = unnest.dependency_indices.iter().map(column).collect();
    Some(Traced { columns, dataset: traced.dataset })
}
