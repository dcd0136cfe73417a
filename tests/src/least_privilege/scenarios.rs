//! What the stages are made to do.

pub mod extract;
pub mod load;
pub mod notify;
pub mod transform;
pub mod trigger;

use serde_json::{Value, json};

use super::lab::Lab;

/// A pipeline of three columns, one of them partitioned by.
pub(crate) fn pipeline(name: &str) -> String {
    format!(
        "pipeline: {name}
source: {{ match: \"{name}/*.csv\" }}
schema:
  - {{ name: id, type: int32, required: true }}
  - {{ name: day, type: date }}
rejects: {{ tolerate: \"50%\" }}
load: {{ target: parquet, path: lake/{name}/, partition_by: [day] }}
"
    )
}

/// Four records of that pipeline, one of them a reject.
pub(crate) const RECORDS: &str = "id,day\n1,2024-01-01\n2,2024-01-02\nx,2024-01-01\n3,2024-01-02\n";

/// Pushes a pipeline and lands an object of it; gives the request for its run.
pub(crate) async fn landed(lab: &Lab) -> Value {
    let name = format!("p{}", lab.unique());
    lab.put("work", &format!("pipelines/{name}.yaml"), pipeline(&name)).await;
    let key = format!("{name}/a.csv");
    lab.put("landing", &key, RECORDS).await;
    json!({"bucket": "landing", "key": key})
}

/// A CSV file of ids and texts of 32 random bytes each, which no compression makes smaller.
pub(crate) fn digits(records: usize) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::from("id,text\n");
    // xorshift64: any numbers will do.
    let mut state: u64 = 0x9E37_79B9_7F4A_7C15;
    for id in 0..records {
        text.push_str(&format!("{id},"));
        for _ in 0..43 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            text.push(char::from(DIGITS[usize::try_from(state >> 58).unwrap_or_default()]));
        }
        text.push('\n');
    }
    text
}
