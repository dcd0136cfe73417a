use super::*;

/// What a schema is: the name of a component, or else the schema itself.
fn named(schema: &Value) -> String {
    let component = schema["$ref"].as_str().and_then(|path| path.strip_prefix("#/components/schemas/"));
    component.map_or_else(|| schema.to_string(), str::to_owned)
}

/// A parameter, a response or a header must say what it is.
fn assert_described(value: &Value) {
    let description = value["description"].as_str().unwrap_or_default();
    assert!(description.ends_with('.'), "{value}");
}

/// What an operation takes and answers, one line for each parameter, body and response.
fn outline(operation: &Value) -> Vec<String> {
    let mut lines = vec![operation["operationId"].as_str().expect("an id").to_owned()];
    for parameter in operation["parameters"].as_array().unwrap_or(&vec![]) {
        assert_described(parameter);
        let [name, place] = ["name", "in"].map(|field| parameter[field].as_str().unwrap_or_default());
        let required = if parameter["required"] == true { "required " } else { "" };
        lines.push(format!("{required}{place} {name}: {}", named(&parameter["schema"])));
    }
    if let Some(body) = operation.get("requestBody") {
        assert_eq!(body["required"], true);
        lines.push(format!("body: {}", named(&body["content"]["application/json"]["schema"])));
    }
    for (status, response) in operation["responses"].as_object().expect("responses") {
        assert_described(response);
        let is_problem = status.as_str() >= "400";
        let media_type = if is_problem { "application/problem+json" } else { "application/json" };
        let mut line = format!("{status}: {}", named(&response["content"][media_type]["schema"]));
        for (name, header) in response["headers"].as_object().unwrap_or(&Map::new()) {
            assert_described(header);
            line.push_str(&format!("; {name}: {}", header["schema"]));
        }
        lines.push(line);
    }
    lines
}

#[test]
fn each_route_is_there_with_what_it_takes_and_answers() {
    let document = openapi();
    let id = format!(r#"required path id: {{"pattern":"{ID_PATTERN}","type":"string"}}"#);
    let next = format!(r#"query next: {{"pattern":"{ID_PATTERN}","type":"string"}}"#);
    let retry_after = r#"Retry-After: {"pattern":"^[0-9]+$","type":"string"}"#;
    let show = format!("200: Job; {retry_after}");
    let accepted = format!(r#"202: Job; Location: {{"type":"string"}}; {retry_after}"#);
    let location =
        r#"{"properties":{"location":{"format":"uri","type":"string"}},"required":["location"],"type":"object"}"#;
    let elsewhere = format!(r#"303: {location}; Location: {{"format":"uri","type":"string"}}"#);
    for (route, expected) in [
        (
            "/paths/~1jobs/post",
            vec![
                "createJob",
                r#"header Idempotency-Key: {"maxLength":255,"minLength":1,"type":"string"}"#,
                "body: NewJob",
                &accepted,
                "400: Problem",
                "403: Problem",
                "413: Problem",
                "415: Problem",
                "422: Problem",
                "500: Problem",
                "503: Problem",
            ],
        ),
        (
            "/paths/~1jobs/get",
            vec![
                "listJobs",
                r#"query limit: {"default":20,"maximum":100,"minimum":1,"type":"integer"}"#,
                &next,
                "query state: JobState",
                "200: JobList",
                "400: Problem",
                "500: Problem",
                "503: Problem",
            ],
        ),
        ("/paths/~1jobs~1{id}/get", vec!["getJob", &id, &show, "404: Problem", "500: Problem", "503: Problem"]),
        (
            "/paths/~1jobs~1{id}~1result/get",
            vec![
                "getResult",
                &id,
                "query redirect: Redirect",
                "200: ResultLinks",
                &elsewhere,
                "400: Problem",
                "404: Problem",
                "409: Problem",
                "500: Problem",
                "503: Problem",
            ],
        ),
        ("/paths/~1openapi.json/get", vec!["getOpenApi", r#"200: {"type":"object"}"#]),
    ] {
        let operation = document.pointer(route).expect(route);
        assert!(operation["summary"].as_str().is_some_and(|summary| !summary.is_empty()), "{route}");
        assert_eq!(outline(operation), expected, "{route}");
    }
}
