//! Policies of Allow statements, and what they allow (IAM User Guide, "Policy evaluation logic"): what no statement
//! allows is denied.

use std::fmt;

use serde_json::{Value, json};

/// One action on one resource, as a request asks for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ask {
    /// The action, as `s3:GetObject`.
    pub action: String,
    /// The resource's ARN.
    pub resource: String,
}

impl Ask {
    /// An action on a resource.
    pub fn new(action: &str, resource: impl Into<String>) -> Self {
        Self { action: action.to_owned(), resource: resource.into() }
    }
}

impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.action, self.resource)
    }
}

/// One action on one resource pattern, as a policy allows it: the least that can be taken away.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grant {
    /// The policy's name.
    pub policy: String,
    /// The action.
    pub action: String,
    /// The pattern of the resources' ARNs.
    pub resource: String,
}

impl Grant {
    /// Whether the grant allows it.
    pub fn allows(&self, ask: &Ask) -> bool {
        matches(&self.action.to_lowercase(), &ask.action.to_lowercase()) && matches(&self.resource, &ask.resource)
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.action, self.resource)
    }
}

/// The grants of a role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// The grants, in the order of the template.
    pub grants: Vec<Grant>,
}

impl Policy {
    /// The grants of statements, each an action on a resource.
    ///
    /// Panics for what the roles of the template do without: Deny, NotAction, NotResource, Condition.
    pub fn of_statements(statements: &[Value]) -> Self {
        let mut grants = Vec::new();
        for statement in statements {
            assert_eq!(statement["Effect"], "Allow", "only Allow is understood: {statement}");
            for element in ["NotAction", "NotResource", "Condition", "Principal"] {
                assert!(statement.get(element).is_none(), "{element} is not understood: {statement}");
            }
            let policy = statement["Policy"].as_str().unwrap_or_default();
            for action in texts(&statement["Action"]) {
                for resource in texts(&statement["Resource"]) {
                    let (action, policy) = (action.clone(), policy.to_owned());
                    grants.push(Grant { policy, action, resource });
                }
            }
        }
        Self { grants }
    }

    /// Whether some grant allows it.
    pub fn allows(&self, ask: &Ask) -> bool {
        self.grants.iter().any(|grant| grant.allows(ask))
    }

    /// The policy without one of its grants.
    #[must_use]
    pub fn without(&self, grant: &Grant) -> Self {
        Self { grants: self.grants.iter().filter(|kept| *kept != grant).cloned().collect() }
    }

    /// The document for moto, which knows no resources but those of S3.
    pub(crate) fn for_moto(&self) -> Value {
        let statement = |grant: &Grant| {
            let resource = if grant.action.starts_with("s3:") { &grant.resource } else { "*" };
            json!({"Effect": "Allow", "Action": grant.action, "Resource": resource})
        };
        let mut statements: Vec<Value> = self.grants.iter().map(statement).collect();
        // It judges DeleteObjects by the bucket, not by each object.
        for grant in self.grants.iter().filter(|grant| grant.action == "s3:DeleteObject") {
            let bucket = grant.resource.split('/').next().unwrap_or_default();
            statements.push(json!({"Effect": "Allow", "Action": grant.action, "Resource": bucket}));
        }
        // A policy without statements is none.
        statements.push(json!({"Effect": "Allow", "Action": "sts:GetCallerIdentity", "Resource": "*"}));
        json!({"Version": "2012-10-17", "Statement": statements})
    }
}

fn texts(value: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned();
    value.as_array().map_or_else(|| vec![text(value)], |values| values.iter().map(text).collect())
}

/// Whether a text is as a pattern says, in which `*` stands for any characters, `/` and `:` among them, and `?` for one
/// (IAM User Guide, "IAM JSON policy elements: Resource").
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut seen) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while seen < text.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(letter) if *letter == '?' || *letter == text[seen] => {
                at += 1;
                seen += 1;
            }
            _ => match star {
                Some((back, taken)) => {
                    star = Some((back, taken + 1));
                    at = back + 1;
                    seen = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|letter| *letter == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_iam_says() {
        for (pattern, text) in [
            ("*", ""),
            ("a/*", "a/"),
            ("a/*", "a/b/c"),
            ("a/*/c/*", "a/x/y/c/z"),
            ("a?c", "abc"),
            ("*/_stepwell/*", "lake/t/_stepwell/commits/x"),
            ("a*b*c", "a-b-b-c"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("", "a"), ("a/*", "a"), ("a/*", "b/a/x"), ("a?c", "ac"), ("a*b", "abc"), ("a", "ab")] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn a_grant_taken_away_allows_no_more() {
        let policy = Policy::of_statements(&[
            json!({"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"], "Resource": ["b/x/*", "b/y"]}),
        ]);
        assert_eq!(policy.grants.len(), 4);
        let ask = Ask::new("s3:PutObject", "b/x/1");
        let grant = policy.grants.iter().find(|grant| grant.allows(&ask)).expect("it is allowed");
        assert!(policy.allows(&ask) && !policy.without(grant).allows(&ask));
        assert!(policy.without(grant).allows(&Ask::new("s3:GetObject", "b/x/1")));
        assert!(!policy.allows(&Ask::new("s3:DeleteObject", "b/x/1")));
    }
}
