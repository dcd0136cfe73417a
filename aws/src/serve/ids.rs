use std::fmt;

/// What a call is known by: on each line that it writes to the log, and in each metric.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallIds {
    /// The function.
    pub function: String,
    /// The id that Lambda gave to the call.
    pub request_id: String,
    /// The call's trace, where Lambda traces it.
    pub trace: Option<TraceHeader>,
    /// The execution that the call belongs to, where it belongs to one.
    pub execution_id: Option<String>,
    /// The run that the call is about, where its input tells.
    pub run_id: Option<String>,
}

/// The header that carries a trace from one service to the next: `Root=…;Parent=…;Sampled=…` (X-Ray Developer Guide,
/// "Tracing header"). What services append beyond these three is theirs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceHeader {
    root: String,
    parent: Option<String>,
    sampled: Option<String>,
}

impl TraceHeader {
    /// The header in a text, unless it names no trace.
    pub fn parse(text: &str) -> Option<Self> {
        let field = |name: &str| {
            let mut fields = text.split(';').filter_map(|field| field.trim().split_once('='));
            let value = fields.find(|(key, _)| *key == name)?.1;
            let is_plain = value.len() <= 64 && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            (is_plain && !value.is_empty()).then(|| value.to_owned())
        };
        Some(Self { root: field("Root")?, parent: field("Parent"), sampled: field("Sampled") })
    }

    /// The trace's id.
    pub fn root(&self) -> &str {
        &self.root
    }
}

impl fmt::Display for TraceHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Root={}", self.root)?;
        for (name, value) in [("Parent", &self.parent), ("Sampled", &self.sampled)] {
            if let Some(value) = value {
                write!(f, ";{name}={value}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_keeps_what_a_trace_needs() {
        let root = "1-5759e988-bd862e3fe1be46a994272793";
        let whole = format!("Root={root};Parent=53995c3f42cd8ad8;Sampled=1;Lineage=a87bd80c:1|68fd508a:5");
        let header = TraceHeader::parse(&whole).expect("a trace");
        assert_eq!(header.root(), root);
        assert_eq!(header.to_string(), format!("Root={root};Parent=53995c3f42cd8ad8;Sampled=1"));
        let short = TraceHeader::parse(&format!("Sampled=0; Root={root}")).expect("a trace");
        assert_eq!(short.to_string(), format!("Root={root};Sampled=0"));
    }

    #[test]
    fn what_names_no_trace_is_none() {
        let long = format!("Root={}", "1".repeat(65));
        for text in ["", "Parent=53995c3f42cd8ad8", "Root=", "Root=a b", "Self=1", "Root", long.as_str()] {
            assert_eq!(TraceHeader::parse(text), None, "{text}");
        }
    }
}
