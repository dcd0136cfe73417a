use futures::TryStreamExt;
use object_store::ObjectMeta;

use super::{CheckedSpec, SpecErrors};
use crate::{
    ErrorKind, StageError,
    stage::StageContext,
    store::{self, ObjectRef},
};

/// Where specs are in the work bucket.
pub const PIPELINES_PREFIX: &str = "pipelines/";

/// The specs of a deployment.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    specs: Vec<CheckedSpec>,
    wrong: Vec<SpecErrors>,
}

impl Catalog {
    /// Reads every spec (`*.yaml`, `*.yml`) below [`PIPELINES_PREFIX`] of the work bucket.
    ///
    /// A spec that is wrong does not keep the others from working: it is an error only for those who need it.
    ///
    /// # Errors
    /// What the store says.
    pub async fn read(context: &StageContext) -> Result<Self, StageError> {
        let bucket = &context.buckets.work;
        let prefix = store::path(PIPELINES_PREFIX)?;
        let mut keys: Vec<String> = context
            .stores
            .bucket(bucket)?
            .list(Some(&prefix))
            .map_ok(|meta: ObjectMeta| meta.location.to_string())
            .try_filter(|key| std::future::ready(key.ends_with(".yaml") || key.ends_with(".yml")))
            .try_collect()
            .await
            .map_err(|error| {
                store::classify(error, &format!("cannot list the specs in s3://{bucket}/{PIPELINES_PREFIX}"))
            })?;
        keys.sort();
        let mut specs = Vec::with_capacity(keys.len());
        for key in keys {
            if let Some((bytes, _)) = store::get(&*context.stores, &ObjectRef::new(bucket, &key)).await? {
                specs.push((key, bytes));
            }
        }
        Ok(Self::of(specs.iter().map(|(key, bytes)| (key.as_str(), &bytes[..]))))
    }

    /// The catalog of some specs, given by file name and text.
    pub fn of<'a>(specs: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut catalog = Self::default();
        for (file, bytes) in specs {
            let text = String::from_utf8_lossy(bytes);
            match CheckedSpec::parse(file, &text) {
                Ok(spec) => catalog.specs.push(spec),
                Err(errors) => catalog.wrong.push(errors),
            }
        }
        catalog
    }

    /// The specs that are valid.
    pub fn specs(&self) -> &[CheckedSpec] {
        &self.specs
    }

    /// The specs whose `match` fits a key.
    pub fn fitting(&self, key: &str) -> Vec<&CheckedSpec> {
        self.specs.iter().filter(|spec| spec.match_glob.fits(key)).collect()
    }

    /// The one spec for a key: the named one, else the one that fits.
    ///
    /// # Errors
    /// `NoPipeline` where none fits or none has that name, with the nearest; `InvalidInput` where several fit;
    /// `InvalidSpec` where what is wanted may be a spec that is wrong.
    pub fn pick(&self, key: &str, name: Option<&str>) -> Result<&CheckedSpec, StageError> {
        if let Some(name) = name {
            let named = self.specs.iter().find(|spec| spec.name() == name);
            return named.ok_or_else(|| {
                let names = self.specs.iter().map(CheckedSpec::name);
                self.none(format!("no pipeline is called `{name}`"), name, names)
            });
        }
        match self.fitting(key)[..] {
            [spec] => Ok(spec),
            [] => {
                let patterns = self.specs.iter().map(|spec| spec.match_glob.pattern());
                Err(self.none(format!("no pipeline's `match` fits the key {key}"), key, patterns))
            }
            ref several => {
                let names: Vec<_> = several.iter().map(|spec| format!("`{}`", spec.name())).collect();
                Err(StageError::new(
                    ErrorKind::InvalidInput,
                    format!("several pipelines fit the key {key}: {}; name one as `pipeline`", names.join(", ")),
                ))
            }
        }
    }

    fn none<'a>(&self, message: String, wanted: &str, known: impl Iterator<Item = &'a str>) -> StageError {
        let known: Vec<_> = known.collect();
        let mut message = match closest(wanted, &known) {
            Some(closest) => format!("{message}; the nearest is `{closest}`"),
            None => format!("{message}; there are no valid specs under {PIPELINES_PREFIX}"),
        };
        if self.wrong.is_empty() {
            return StageError::new(ErrorKind::NoPipeline, message);
        }
        // The one that is wanted may be among the wrong ones: say what is wrong with them.
        message.push_str("; these specs are not valid:");
        for errors in &self.wrong {
            message.push('\n');
            message.push_str(&errors.to_string());
        }
        StageError::new(ErrorKind::InvalidSpec, message)
    }
}

fn closest<'a>(wanted: &str, known: &[&'a str]) -> Option<&'a str> {
    known.iter().copied().min_by_key(|name| strsim::levenshtein(wanted, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str, pattern: &str) -> String {
        format!(
            "pipeline: {name}\nsource: {{ match: \"{pattern}\" }}\nschema:\n  - {{ name: a, type: int8 }}\n\
             load: {{ target: parquet, path: lake/{name}/ }}\n"
        )
    }

    fn catalog(specs: &[String]) -> Catalog {
        Catalog::of(specs.iter().map(|text| ("p.yaml", text.as_bytes())))
    }

    #[test]
    fn the_one_that_fits_or_is_named_is_picked() {
        let catalog = catalog(&[spec("one", "in/*.csv"), spec("two", "in/a*.csv")]);
        assert_eq!(catalog.pick("in/b.csv", None).expect("fits").name(), "one");
        assert_eq!(catalog.pick("in/a.csv", Some("two")).expect("named").name(), "two");
        let error = catalog.pick("in/a.csv", None).expect_err("two fit");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.report().contains("`one`, `two`"));
    }

    #[test]
    fn what_was_perhaps_meant_is_named() {
        let catalog = catalog(&[spec("flights", "flights/*.csv"), spec("weather", "weather/*.csv")]);
        let error = catalog.pick("flight/a.csv", None).expect_err("none fits");
        assert_eq!(error.kind(), ErrorKind::NoPipeline);
        assert!(error.report().ends_with("the nearest is `flights/*.csv`"), "{}", error.report());
        let error = catalog.pick("in/a.csv", Some("wether")).expect_err("none has that name");
        assert!(error.report().ends_with("the nearest is `weather`"), "{}", error.report());
    }

    #[test]
    fn a_wrong_spec_is_told_only_to_those_who_may_have_meant_it() {
        let catalog = catalog(&[spec("one", "in/*.csv"), "pipeline: two\nsauce: {}\n".into()]);
        assert!(catalog.pick("in/a.csv", None).is_ok());
        let error = catalog.pick("out/a.csv", None).expect_err("none fits");
        assert_eq!(error.kind(), ErrorKind::InvalidSpec);
        assert!(error.report().contains("p.yaml:2: unknown key `sauce`; did you mean `source`?"), "{}", error.report());
    }
}
