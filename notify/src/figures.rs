use stepwell_pipeline::{batch::BatchName, figures::thousands, stage::Buckets, store::ObjectRef};

/// `1,234 read, 5 rejected`, leaving out what is not known.
pub(crate) fn counts(parts: &[(Option<u64>, &str)]) -> String {
    let known = parts.iter().filter_map(|(count, word)| Some(format!("{} {word}", thousands((*count)?))));
    known.collect::<Vec<_>>().join(", ")
}

/// Lines of a name and a value, the values aligned; rows without a value are left out.
pub(crate) fn table(rows: &[(&str, String)]) -> String {
    let lines = rows.iter().filter(|(_, value)| !value.is_empty());
    let label = |name: &str| if name.is_empty() { String::new() } else { format!("{name}:") };
    lines.map(|(name, value)| format!("{:<11}{value}\n", label(name))).collect()
}

/// What people call the source of a run: the last segment of an object's key, or the batch's name.
pub(crate) fn short_name(source: &ObjectRef, buckets: &Buckets) -> String {
    match BatchName::of(source, &buckets.work) {
        Some(batch) => batch.to_string(),
        None => source.key.rsplit('/').next().unwrap_or(&source.key).to_owned(),
    }
}

/// The source of a run with its address.
pub(crate) fn long_name(source: &ObjectRef, buckets: &Buckets) -> String {
    match BatchName::of(source, &buckets.work) {
        Some(batch) => format!("{batch} ({source})"),
        None => source.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_left_out() {
        assert_eq!(counts(&[(Some(1000), "read"), (None, "filtered"), (Some(2), "loaded")]), "1,000 read, 2 loaded");
        assert_eq!(table(&[("Run", "r".into()), ("Rejects", String::new())]), "Run:       r\n");
    }
}
