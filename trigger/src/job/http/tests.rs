use super::*;

fn posted(body: &str, is_base64_encoded: bool) -> HttpRequest {
    let body = if is_base64_encoded { BASE64_STANDARD.encode(body) } else { body.to_owned() };
    serde_json::from_value(json!({
        "rawPath": "/jobs",
        "headers": { "content-type": "application/json" },
        "requestContext": { "http": { "method": "POST" } },
        "body": body,
        "isBase64Encoded": is_base64_encoded,
    }))
    .expect("a request")
}

#[test]
fn a_body_has_64_kibibytes_at_most_however_it_is_encoded() {
    for is_base64_encoded in [false, true] {
        let body = |bytes: usize| format!("\"{}\"", "b".repeat(bytes - 2));
        let largest = posted(&body(64 * 1024), is_base64_encoded).json().expect("a body");
        assert_eq!(largest.as_str().map(str::len), Some(64 * 1024 - 2));
        for bytes in [64 * 1024 + 1, 64 * 1024 + 2, 64 * 1024 + 3, 100 * 1024] {
            let problem = posted(&body(bytes), is_base64_encoded).json().expect_err("a problem");
            assert_eq!((problem.status, problem.title.as_str()), (413, "ContentTooLarge"), "{bytes} bytes");
        }
    }
}
