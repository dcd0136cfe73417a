use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};
use stepwell_pipeline::stage::CODE_VERSION;

use super::{
    api::{JobList, JobState, JobView, NewJob, ProblemDetails, Redirect, ResultLinks},
    list::LIMIT_MAX,
};

/// The ids of jobs: see [`super::document::is_id`].
const ID_PATTERN: &str = "^[0-9a-f]{11}-[0-9a-f]{20}$";

/// The OpenAPI document of the jobs API, made of the types that go over the wire.
pub fn openapi() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = "/components/schemas".into();
    settings.meta_schema = None;
    let mut schemas = settings.into_generator();
    let paths = json!({
        "/jobs": { "post": create(&mut schemas), "get": list(&mut schemas) },
        "/jobs/{id}": { "get": show(&mut schemas) },
        "/jobs/{id}/result": { "get": result(&mut schemas) },
        "/openapi.json": { "get": document() },
    });
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Stepwell jobs",
            "version": CODE_VERSION,
            "description": "Runs objects and uploads through pipelines, and tells how they stand.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "schemas": schemas.take_definitions(true),
            "securitySchemes": {
                "iam": {
                    "type": "apiKey",
                    "name": "Authorization",
                    "in": "header",
                    "description": "Requests signed with AWS Signature Version 4 for the service `execute-api`; \
                                    the server of `stepwell serve` needs none.",
                    "x-amazon-apigateway-authtype": "awsSigv4",
                },
            },
        },
        "security": [{ "iam": [] }, {}],
    })
}

fn schema<T: JsonSchema>(schemas: &mut SchemaGenerator) -> Value {
    schemas.subschema_for::<T>().to_value()
}

fn create(schemas: &mut SchemaGenerator) -> Value {
    let key = json!({
        "name": "Idempotency-Key",
        "in": "header",
        "description": "With the same key and body the same caller gets the same job, however often it asks.",
        "schema": { "type": "string", "minLength": 1, "maxLength": 255 },
    });
    let headers = json!({
        "Location": header("The job's path.", json!({ "type": "string" })),
        "Retry-After": retry_after(),
    });
    let accepted = success("The job.", schema::<JobView>(schemas), &headers);
    let mut operation = operation(
        "createJob",
        "Makes a job",
        &[key],
        "202",
        accepted,
        &[
            (400, "The request is not as it must be."),
            (403, "The object is in another bucket than the landing bucket."),
            (413, "The body is too large."),
            (415, "The body is no JSON."),
            (
                422,
                "No pipeline takes the object, or several do; there is no such object; or the key was used with another body.",
            ),
        ],
        schemas,
    );
    operation.insert(
        "requestBody".to_owned(),
        json!({ "required": true, "content": { "application/json": { "schema": schema::<NewJob>(schemas) } } }),
    );
    operation.into()
}

fn list(schemas: &mut SchemaGenerator) -> Value {
    let limit = json!({ "type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": 20 });
    let parameters = [
        query("limit", "The most jobs of the page.", limit),
        query(
            "next",
            "Where the page begins: what the page before gave.",
            json!({ "type": "string", "pattern": ID_PATTERN }),
        ),
        query("state", "Leaves out jobs of other states.", schema::<JobState>(schemas)),
    ];
    let page = success("Jobs, the newest first.", schema::<JobList>(schemas), &json!({}));
    let problems = [(400, "A parameter is not as it must be.")];
    operation("listJobs", "Lists jobs", &parameters, "200", page, &problems, schemas).into()
}

fn show(schemas: &mut SchemaGenerator) -> Value {
    let job = success("The job.", schema::<JobView>(schemas), &json!({ "Retry-After": retry_after() }));
    let problems = [(404, "There is no such job.")];
    operation("getJob", "Tells how a job stands", &[id()], "200", job, &problems, schemas).into()
}

fn result(schemas: &mut SchemaGenerator) -> Value {
    let redirect =
        query("redirect", "Leads to a part of the result instead of giving links.", schema::<Redirect>(schemas));
    let links = success("Links to the result.", schema::<ResultLinks>(schemas), &json!({}));
    let problems = [
        (400, "A parameter is not as it must be."),
        (404, "There is no such job, or its result has no such part."),
        (409, "The job is not done, or has failed; or there are several data files."),
    ];
    let mut operation =
        operation("getResult", "Gives links to what a job loaded", &[id(), redirect], "200", links, &problems, schemas);
    let location = json!({
        "type": "object",
        "required": ["location"],
        "properties": { "location": { "type": "string", "format": "uri" } },
    });
    let headers = json!({ "Location": header("Where the part is.", json!({ "type": "string", "format": "uri" })) });
    if let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) {
        responses.insert("303".to_owned(), success("The part of the result is elsewhere.", location, &headers));
    }
    operation.into()
}

fn document() -> Value {
    let responses = json!({ "200": success("The document.", json!({ "type": "object" }), &json!({})) });
    json!({ "operationId": "getOpenApi", "summary": "Gives this document", "responses": responses })
}

fn id() -> Value {
    json!({
        "name": "id",
        "in": "path",
        "required": true,
        "description": "The job's id.",
        "schema": { "type": "string", "pattern": ID_PATTERN },
    })
}

fn query(name: &str, description: &str, schema: Value) -> Value {
    json!({ "name": name, "in": "query", "description": description, "schema": schema })
}

fn header(description: &str, schema: Value) -> Value {
    json!({ "description": description, "schema": schema })
}

fn retry_after() -> Value {
    header("In how many seconds it is worth asking again.", json!({ "type": "string", "pattern": "^[0-9]+$" }))
}

fn success(description: &str, schema: Value, headers: &Value) -> Value {
    json!({
        "description": description,
        "headers": headers,
        "content": { "application/json": { "schema": schema } },
    })
}

fn operation(
    id: &str,
    summary: &str,
    parameters: &[Value],
    status: &str,
    answer: Value,
    problems: &[(u16, &str)],
    schemas: &mut SchemaGenerator,
) -> Map<String, Value> {
    let everywhere = [(500, "A defect, or a fault of the deployment."), (503, "Try again later.")];
    let problem = schema::<ProblemDetails>(schemas);
    let mut responses = Map::from_iter([(status.to_owned(), answer)]);
    for (status, description) in problems.iter().chain(&everywhere) {
        let content = json!({ "application/problem+json": { "schema": problem } });
        responses.insert(status.to_string(), json!({ "description": description, "content": content }));
    }
    let mut operation = Map::new();
    operation.insert("operationId".to_owned(), id.into());
    operation.insert("summary".to_owned(), summary.into());
    operation.insert("parameters".to_owned(), parameters.into());
    operation.insert("responses".to_owned(), responses.into());
    operation
}

#[cfg(test)]
mod tests;
