//! The proof as the page `docs/least-privilege.md` shows it.

use std::{
    env,
    fmt::Write,
    fs::{self, File},
};

use super::{policy::Grant, proof::Need};
use crate::{
    api::{ACCOUNT, REGION},
    workspace,
};

/// Names the variable with which the page is written instead of compared.
const WRITE: &str = "WRITE_LEAST_PRIVILEGE";

/// Holds the section of a role on the page against its proof. Panics where they differ.
pub fn hold(role: &str, proofs: &[(Grant, Need)]) {
    let path = workspace::root().join("docs/least-privilege.md");
    let lock = File::create(workspace::target().join("least-privilege.lock")).expect("a lock file can be made");
    lock.lock().expect("the lock can be waited for");
    let page = fs::read_to_string(&path).expect("the page can be read");
    let (begin, end) = (format!("<!-- proof of {role} -->\n"), format!("<!-- end of {role} -->"));
    let parts = page.split_once(&begin).and_then(|(before, rest)| Some((before, rest.split_once(&end)?)));
    let (before, (written, after)) = parts.unwrap_or_else(|| panic!("the page has no section {begin}"));
    let expected = table(proofs);
    if env::var_os(WRITE).is_some() {
        fs::write(&path, format!("{before}{begin}{expected}{end}{after}")).expect("the page can be written");
        return;
    }
    assert!(
        written == expected,
        "docs/least-privilege.md is not what is proved of {role}; with {WRITE}=1 the test writes:\n{expected}"
    );
}

fn table(proofs: &[(Grant, Need)]) -> String {
    let mut table = String::from(
        "\n| action | on | without it fails, or who says that AWS asks for it | judged by |\n| --- | --- | --- | --- |\n",
    );
    for (grant, need) in proofs {
        let (fails, judge) = match need {
            Need::Scenario { name, fails_on_moto: true } => (format!("`{name}`"), "gate, moto"),
            Need::Scenario { name, fails_on_moto: false } => (format!("`{name}`"), "gate"),
            Need::Service(known) => (known.page.to_owned(), "documentation"),
        };
        let choice = if grant.policy == "ReadStream" { " (with `StreamArn`)" } else { "" };
        let resource = short(&grant.resource);
        writeln!(table, "| `{}` | `{resource}`{choice} | {fails} | {judge} |", grant.action).expect("text takes text");
    }
    table.push('\n');
    table
}

/// A resource without what is the same for all.
fn short(resource: &str) -> String {
    let plain = resource.strip_prefix("arn:aws:s3:::").unwrap_or(resource);
    let middle = format!(":{REGION}:{ACCOUNT}:");
    match plain.split_once(&middle) {
        Some((service, rest)) => format!("{} {rest}", service.trim_start_matches("arn:aws:")),
        None => plain.to_owned(),
    }
}
