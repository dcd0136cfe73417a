//! What each route takes and refuses.

use serde_json::{Value, json};

use crate::deployment::{Answer, Deployment, pass};

const PIPELINES: [(&str, &str); 2] = [("all", "in/*"), ("sales", "sales/*.csv")];

fn assert_problem(answer: &Answer, status: u64, title: &str, detail: &str) {
    assert_eq!((answer.status, answer.text("title")), (status, title), "{answer:?}");
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    assert_eq!(answer.body["status"], status);
    assert_eq!(answer.text("type"), format!("urn:stepwell:problem:{title}"));
    assert!(answer.text("detail").contains(detail), "{answer:?}");
}

#[tokio::test]
async fn bodies_that_are_no_job_are_refused_with_what_is_wrong() {
    let deployment = Deployment::new(&PIPELINES).await;
    for (body, detail) in [
        (json!([]), "must be a JSON object"),
        (json!({}), "missing field `filename`"),
        (json!({"bucket": "landing"}), "missing field `key`"),
        (json!({"bucket": "landing", "key": ""}), "`key` is empty"),
        (json!({"bucket": "landing", "key": "in/"}), "folder marker"),
        (json!({"bucket": "landing", "key": "in//a"}), "empty"),
        (json!({"bucket": "landing", "key": "k".repeat(1025)}), "1,024"),
        (json!({"bucket": "landing", "key": 7}), "key: invalid type"),
        (json!({"bucket": "landing", "kye": "in/a"}), "did you mean `key`"),
        (json!({"bucket": "landing", "key": "in/a", "version": ""}), "`version` is empty"),
        (json!({"filename": "a.csv", "size": 1}), "unknown field `size`"),
        (json!({"filename": "../a.csv"}), "must not begin with a dot"),
        (json!({"filename": "a/b.csv"}), "slashes"),
        (json!({"filename": ""}), "1 to 200"),
        (json!({"filename": "ü".repeat(201)}), "1 to 200"),
        (json!({"filename": "a\u{7}.csv"}), "control"),
    ] {
        assert_problem(&deployment.post(body).await, 400, "InvalidInput", detail);
    }
    let mut event = deployment.post_event(&json!({}));
    event["body"] = json!("{");
    assert_problem(&deployment.send(event.clone()).await, 400, "InvalidInput", "no JSON");
    event["isBase64Encoded"] = json!(true);
    assert_problem(&deployment.send(event).await, 400, "InvalidInput", "the body: ");
    assert_eq!(deployment.keys("jobs/").await, Vec::<String>::new());
}

#[tokio::test]
async fn other_media_types_sizes_methods_and_paths_are_refused() {
    let deployment = Deployment::new(&PIPELINES).await;
    let body = json!({"filename": "a.csv", "pipeline": "all"});
    let mut event = deployment.post_event(&body);
    event["headers"]["content-type"] = json!("text/csv");
    assert_problem(&deployment.send(event).await, 415, "UnsupportedMediaType", "text/csv");
    let large = json!({"filename": "a.csv", "pipeline": "p".repeat(65 * 1024)});
    assert_problem(&deployment.post(large).await, 413, "ContentTooLarge", "65536 bytes");

    let id = "0123456789a-0123456789abcdef0123";
    for (method, path, allow) in [
        ("PUT", "/jobs".to_owned(), "GET, POST"),
        ("DELETE", format!("/jobs/{id}"), "GET"),
        ("POST", format!("/jobs/{id}/result"), "GET"),
    ] {
        let answer = deployment.send(deployment.request(method, &path)).await;
        assert_problem(&answer, 405, "MethodNotAllowed", method);
        assert_eq!(answer.headers["allow"], allow);
    }
    assert_problem(&deployment.get("/nowhere").await, 404, "NotFound", "/nowhere");
    assert_problem(&deployment.get(&format!("/jobs/{id}")).await, 404, "JobNotFound", id);
    assert_problem(&deployment.get(&format!("/jobs/{id}/result")).await, 404, "JobNotFound", id);
    assert_problem(&deployment.get("/jobs/..%2Fkeys").await, 404, "JobNotFound", "../keys");
    for query in ["limit=0", "limit=101", "limit=1,2", "limit=", "next=x", "state=done"] {
        let name = query.split_once('=').unwrap().0;
        assert_problem(&deployment.get(&format!("/jobs?{query}")).await, 400, "InvalidInput", name);
    }
}

#[tokio::test]
async fn what_cannot_be_run_is_refused_before_there_is_a_job() {
    let deployment = Deployment::new(&PIPELINES).await;
    deployment.land("in/a.csv").await;
    for (body, status, title, detail) in [
        (json!({"bucket": "private", "key": "in/a.csv"}), 403, "BucketNotAllowed", "landing"),
        (json!({"bucket": "landing", "key": "out/a.csv"}), 422, "NoPipeline", "the nearest is"),
        (json!({"bucket": "landing", "key": "in/a.csv", "pipeline": "sale"}), 422, "NoPipeline", "`sales`"),
        (json!({"bucket": "landing", "key": "in/b.csv"}), 422, "SourceMissing", "s3://landing/in/b.csv"),
        (json!({"filename": "a.csv"}), 422, "InvalidInput", "`all`, `sales`"),
    ] {
        assert_problem(&deployment.post(body).await, status, title, detail);
    }
    assert_eq!(deployment.keys("jobs/").await, Vec::<String>::new());
    let answer = deployment.post(json!({"filename": "a.txt"})).await;
    assert_eq!((answer.status, answer.text("pipeline")), (202, "all"));
}

#[tokio::test]
async fn a_body_may_be_in_base64_and_the_path_may_begin_with_the_stage() {
    let deployment = Deployment::new(&PIPELINES).await;
    let mut event = deployment.post_event(&json!({}));
    // {"filename": "a.txt"}
    event["body"] = json!("eyJmaWxlbmFtZSI6ICJhLnR4dCJ9");
    event["isBase64Encoded"] = json!(true);
    event["rawPath"] = json!("/prod/jobs");
    event["requestContext"]["stage"] = json!("prod");
    event["headers"]["content-type"] = json!("application/json; charset=utf-8");
    let answer = deployment.send(event).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let path = format!("/prod/jobs/{}", answer.text("id"));
    assert_eq!((&answer.headers["location"], &answer.body["links"]["self"]), (&json!(path), &json!(path)));
}

#[tokio::test]
async fn lists_give_the_newest_first_page_by_page() {
    let deployment = Deployment::new(&PIPELINES).await;
    let mut ids = Vec::new();
    for number in 0..250 {
        let answer = deployment.post(json!({"filename": format!("{number}.txt")})).await;
        assert_eq!(answer.status, 202);
        ids.push(answer.text("id").to_owned());
        pass(1);
    }
    ids.reverse();
    for (first, pages) in
        [("/jobs", 13), ("/jobs?limit=100", 3), ("/jobs?limit=100&state=PENDING", 3), ("/jobs?limit=50", 5)]
    {
        let (mut listed, mut path, mut count) = (Vec::new(), first.to_owned(), 0);
        loop {
            let page = deployment.get(&path).await;
            assert_eq!(page.status, 200, "{page:?}");
            let jobs = page.body["jobs"].as_array().unwrap();
            assert!(jobs.iter().all(|job| job["state"] == "PENDING" && job.get("upload").is_none()));
            listed.extend(jobs.iter().map(|job| job["id"].as_str().unwrap().to_owned()));
            count += 1;
            let Some(next) = page.body["links"]["next"].as_str() else { break };
            assert!(next.contains(page.text("next")));
            path = next.to_owned();
        }
        assert_eq!((listed.len(), count), (250, pages), "{first}");
        assert_eq!(listed, ids);
    }
    // No document is of that state: pages are empty and lead on to the end.
    let (mut path, mut pages) = ("/jobs?state=FAILED".to_owned(), 0);
    loop {
        let page = deployment.get(&path).await;
        assert_eq!(page.body["jobs"], json!([]));
        pages += 1;
        let Some(next) = page.body["links"]["next"].as_str() else { break };
        path = next.to_owned();
    }
    assert_eq!(pages, 3);
}

#[tokio::test]
async fn the_document_tells_of_every_route() {
    let deployment = Deployment::new(&PIPELINES).await;
    let document = deployment.get("/openapi.json").await;
    assert_eq!(document.status, 200);
    assert_eq!(document.body, stepwell_trigger::openapi());
    let routes: Vec<String> = document.body["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, operations)| {
            operations.as_object().unwrap().keys().map(move |method| format!("{method} {path}"))
        })
        .collect();
    let mut sorted = routes.clone();
    sorted.sort();
    assert_eq!(sorted, ["get /jobs", "get /jobs/{id}", "get /jobs/{id}/result", "get /openapi.json", "post /jobs"]);
    // Whatever is referred to is there.
    let mut references = Vec::new();
    collect_references(&document.body, &mut references);
    assert!(!references.is_empty());
    for reference in references {
        assert!(document.body.pointer(&reference).is_some(), "{reference}");
    }
}

fn collect_references(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match (name.as_str(), field.as_str()) {
                    ("$ref", Some(reference)) => references.push(reference.trim_start_matches('#').to_owned()),
                    _ => collect_references(field, references),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect_references(item, references)),
        _ => {}
    }
}
