//! The description of the management API: OpenAPI 3.1, made of the types that cross the boundary.
//!
//! [`operations`] says for each route what it takes and what it answers, by type; schemas come from the types
//! themselves, and those of resource bodies from [`resource`], which a test holds against the readers of the
//! configuration. Scopes and summaries come in from the table of routes, so that nothing here can name a route that
//! does not exist. The text is checked in as `docs/openapi.json`; [`changes`] tells which differences between two
//! versions of it break clients.

pub mod changes;
mod operations;
mod resource;

use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};

use crate::problem;
use operations::{Answer, Operation, Param, Shape};

/// A route, as the server has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route<'a> {
    /// `GET`, `PUT`, …
    pub method: &'a str,
    /// For example `/v1/endpoints/{name}`.
    pub path: &'a str,
    /// The scope that it needs; `None` for an open one.
    pub scope: Option<&'a str>,
    /// What it does, in a line.
    pub summary: &'a str,
}

/// The whole description of those of `routes` that are under `/v1`, as version `version` of the product.
///
/// # Errors
/// The routes that nobody describes, and the descriptions that have no route.
pub fn document(routes: &[Route<'_>], version: &str) -> Result<Value, Vec<String>> {
    let mut schemas = schemas();
    let described = operations::all(&mut schemas);
    let mut faults = Vec::new();
    let mut paths: Map<String, Value> = Map::new();
    for route in routes.iter().filter(|route| route.path.starts_with("/v1/")) {
        let known = |operation: &&Operation| {
            operation.method == route.method && operation.path == route.path
        };
        let Some(operation) = described.iter().find(known) else {
            faults.push(format!("{} {} is not described", route.method, route.path));
            continue;
        };
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method.to_ascii_lowercase()] = shown(route, operation, &mut schemas);
    }
    for operation in &described {
        let is_it =
            |route: &&Route<'_>| route.method == operation.method && route.path == operation.path;
        if !routes.iter().any(|route| is_it(&route)) {
            faults.push(format!(
                "{} {} has no route",
                operation.method, operation.path
            ));
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    schemas.subschema_for::<problem::Body>();
    let mut components: Map<String, Value> = schemas.take_definitions(true);
    components.extend(resource::schemas());
    Ok(json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Switchhook management API",
            "version": version,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
            "description": "Resources, events, deliveries and the gateway itself. Changes to what has a version name it (`If-Match`); every refusal is a problem (RFC 9457).",
        },
        "servers": [{ "url": "http://127.0.0.1:8081" }],
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
        },
    }))
}

fn schemas() -> SchemaGenerator {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
        settings.inline_subschemas = false;
    });
    settings.into_generator()
}

fn shown(route: &Route<'_>, operation: &Operation, schemas: &mut SchemaGenerator) -> Value {
    let problem = schemas.subschema_for::<problem::Body>().to_value();
    let mut answers = Map::new();
    for answer in &operation.answers {
        answers.insert(answer.status.to_string(), answered(answer));
    }
    answers.insert(
        "default".into(),
        json!({
            "description": "A refusal",
            "content": { problem::MEDIA_TYPE: { "schema": problem } },
        }),
    );
    let scopes = route.scope.map_or_else(Vec::new, |scope| vec![scope]);
    let shown = json!({
        "operationId": operation_id(route),
        "summary": route.summary,
        "tags": [tag(route.path)],
        "parameters": parameters(route.path, &operation.params),
        "responses": answers,
        "security": [{ "token": scopes }],
    });
    let body = operation.body.as_ref().map(|body| {
        json!({
            "required": body.is_needed,
            "content": { "application/json": { "schema": body.schema } },
        })
    });
    with(shown, "requestBody", body)
}

fn answered(answer: &Answer) -> Value {
    let content = match &answer.shape {
        Shape::None => None,
        Shape::Json(schema) => Some(json!({ "application/json": { "schema": schema } })),
        Shape::Text(media_type) => Some(json!({ *media_type: { "schema": { "type": "string" } } })),
    };
    let headers = answer.is_tagged.then(|| {
        let schema = json!({ "type": "string" });
        json!({ "ETag": { "description": "The strong tag of this version", "schema": schema } })
    });
    let shown = json!({ "description": answer.what });
    with(with(shown, "content", content), "headers", headers)
}

/// `object` with a member more, if there is one.
fn with(mut object: Value, name: &str, member: Option<Value>) -> Value {
    if let (Some(members), Some(member)) = (object.as_object_mut(), member) {
        members.insert(name.to_owned(), member);
    }
    object
}

fn parameters(path: &str, params: &[Param]) -> Vec<Value> {
    let in_path = path
        .split('{')
        .skip(1)
        .filter_map(|rest| rest.split_once('}'));
    let in_path = in_path.map(|(name, _)| {
        json!({
            "name": name, "in": "path", "required": true,
            "schema": { "type": "string", "minLength": 1 },
        })
    });
    let others = params.iter().map(|param| {
        json!({
            "name": param.name, "in": param.place, "required": false,
            "description": param.what, "schema": param.schema,
        })
    });
    in_path.chain(others).collect()
}

/// The first word of the path after the version.
fn tag(path: &str) -> &str {
    let rest = path.trim_start_matches("/v1/");
    rest.split(['/', ':']).next().unwrap_or(rest)
}

/// Method and path as one word: `getEndpointsName`.
fn operation_id(route: &Route<'_>) -> String {
    let words = route.path.trim_start_matches("/v1/");
    let words = words
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty());
    words.fold(route.method.to_ascii_lowercase(), |id, word| {
        let (first, rest) = word.split_at_checked(1).unwrap_or((word, ""));
        format!("{id}{}{rest}", first.to_ascii_uppercase())
    })
}
