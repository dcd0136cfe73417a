use std::collections::{BTreeMap, BTreeSet, btree_map};

use stepwell_pipeline::lineage::{Effect, Transformation};

/// What something is made of, where that is known for certain.
pub(super) type Known = Option<Sources>;

/// Columns of tables, and what becomes of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sources(BTreeMap<(String, String), BTreeSet<Transformation>>);

impl Sources {
    /// One column of a table.
    pub(super) fn of(table: &str, column: &str, transformation: Transformation) -> Self {
        Self(BTreeMap::from([((table.to_owned(), column.to_owned()), BTreeSet::from([transformation]))]))
    }

    /// Takes others in.
    pub(super) fn add(&mut self, others: Self) {
        for (column, transformations) in others.0 {
            self.0.entry(column).or_default().extend(transformations);
        }
    }

    /// What something is made of that is made of a value of these.
    pub(super) fn made(self, made: Transformation) -> Self {
        let after = |first: Transformation| match first.effect {
            effect if !effect.is_direct() => first,
            effect => Transformation { effect: strongest(effect, made.effect), masking: first.masking || made.masking },
        };
        self.each(after)
    }

    /// What something hangs on that a value of these decides about.
    pub(super) fn deciding(self, effect: Effect) -> Self {
        self.each(|_| Transformation::of(effect))
    }

    fn each(self, change: impl Fn(Transformation) -> Transformation) -> Self {
        let changed = |transformations: BTreeSet<Transformation>| transformations.into_iter().map(&change).collect();
        Self(self.0.into_iter().map(|(column, transformations)| (column, changed(transformations))).collect())
    }
}

fn strongest(one: Effect, other: Effect) -> Effect {
    match (one, other) {
        (Effect::Aggregation, _) | (_, Effect::Aggregation) => Effect::Aggregation,
        (Effect::Identity, effect) | (effect, Effect::Identity) => effect,
        _ => Effect::Transformation,
    }
}

impl IntoIterator for Sources {
    type Item = ((String, String), BTreeSet<Transformation>);
    type IntoIter = btree_map::IntoIter<(String, String), BTreeSet<Transformation>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// All of these together; not known where one is not.
pub(super) fn together(all: impl IntoIterator<Item = Known>) -> Known {
    let mut sum = Sources::default();
    for sources in all {
        sum.add(sources?);
    }
    Some(sum)
}
