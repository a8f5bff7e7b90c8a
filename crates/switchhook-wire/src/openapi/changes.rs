//! Which differences between two descriptions of the API break clients.
//!
//! A client breaks when something it may send is no longer taken, or something it may rely on is no longer answered: a
//! path, method, parameter, member or status that is gone, a parameter or member of a request that has become needed, a
//! value of an enumeration of a request that is gone, a type that is another one, a bound that is tighter. What is new
//! and optional breaks nobody.

use std::collections::BTreeSet;

use serde_json::Value;

/// Deepest nesting of schemas that is looked at.
const DEPTH_MAX: usize = 16;

/// Which way a schema travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// From the client: what is needed may not become more.
    In,
    /// To the client: what is given may not become less.
    Out,
}

/// Every difference from `old` to `new` that breaks clients, as a line each: place, and what happened.
#[must_use]
pub fn breaking(old: &Value, new: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for (path, methods) in members(&old["paths"]) {
        for (method, operation) in members(methods) {
            let place = format!("{} {path}", method.to_ascii_uppercase());
            match new["paths"]
                .get(path)
                .and_then(|methods| methods.get(method))
            {
                Some(now) => of_operation((old, operation), (new, now), &place, &mut found),
                None => found.push(format!("{place}: is gone")),
            }
        }
    }
    found
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// A part of a description, with the whole that its references lead into.
type Part<'a> = (&'a Value, &'a Value);

fn of_operation(old: Part<'_>, new: Part<'_>, place: &str, found: &mut Vec<String>) {
    of_parameters(old, new, place, found);
    let (before, after) = (&old.1["requestBody"], &new.1["requestBody"]);
    if before["required"] != true && after["required"] == true {
        found.push(format!("{place}: a body is needed now"));
    }
    of_content((old.0, before), (new.0, after), Way::In, place, found);
    for (status, answer) in members(&old.1["responses"]) {
        let place = format!("{place} -> {status}");
        match new.1["responses"].get(status) {
            Some(now) => of_content((old.0, answer), (new.0, now), Way::Out, &place, found),
            None => found.push(format!("{place}: is gone")),
        }
    }
}

fn of_parameters(old: Part<'_>, new: Part<'_>, place: &str, found: &mut Vec<String>) {
    let all = |part: Part<'_>| part.1["parameters"].as_array().cloned().unwrap_or_default();
    let (before, after) = (all(old), all(new));
    let name = |param: &Value| {
        format!(
            "{} `{}`",
            param["in"].as_str().unwrap_or("?"),
            param["name"].as_str().unwrap_or("?")
        )
    };
    for param in &before {
        match after.iter().find(|now| name(now) == name(param)) {
            Some(now) => {
                let place = format!("{place} {}", name(param));
                of_schema(
                    (old.0, &param["schema"]),
                    (new.0, &now["schema"]),
                    Way::In,
                    &place,
                    0,
                    found,
                );
            }
            None => found.push(format!("{place}: parameter {} is gone", name(param))),
        }
    }
    for param in after.iter().filter(|param| param["required"] == true) {
        if !before
            .iter()
            .any(|old| name(old) == name(param) && old["required"] == true)
        {
            found.push(format!("{place}: parameter {} is needed now", name(param)));
        }
    }
}

fn of_content(old: Part<'_>, new: Part<'_>, way: Way, place: &str, found: &mut Vec<String>) {
    for (media_type, content) in members(&old.1["content"]) {
        match new.1["content"].get(media_type) {
            Some(now) => of_schema(
                (old.0, &content["schema"]),
                (new.0, &now["schema"]),
                way,
                place,
                0,
                found,
            ),
            None => found.push(format!("{place}: {media_type} is gone")),
        }
    }
}

fn of_schema(
    old: Part<'_>,
    new: Part<'_>,
    way: Way,
    place: &str,
    depth: usize,
    found: &mut Vec<String>,
) {
    let (before, after) = (resolved(old), resolved(new));
    if depth > DEPTH_MAX || before == after && old.0 == new.0 {
        return;
    }
    of_types(before, after, way, place, found);
    of_choices(before, after, way, place, found);
    for (name, member) in members(&before["properties"]) {
        let place = format!("{place}.{name}");
        match after["properties"].get(name) {
            Some(now) => of_schema((old.0, member), (new.0, now), way, &place, depth + 1, found),
            None => found.push(format!("{place}: is gone")),
        }
    }
    let (needed, needs) = (texts(&before["required"]), texts(&after["required"]));
    let changed: Vec<&String> = match way {
        Way::In => needs.difference(&needed).collect(),
        Way::Out => needed.difference(&needs).collect(),
    };
    for name in changed {
        found.push(match way {
            Way::In => format!("{place}.{name}: is needed now"),
            Way::Out => format!("{place}.{name}: may be absent now"),
        });
    }
    if before.get("items").is_some() {
        let place = format!("{place}[]");
        of_schema(
            (old.0, &before["items"]),
            (new.0, &after["items"]),
            way,
            &place,
            depth + 1,
            found,
        );
    }
}

/// A type that was possible and is not any more breaks senders; one that is new breaks readers.
fn of_types(before: &Value, after: &Value, way: Way, place: &str, found: &mut Vec<String>) {
    let types = |schema: &Value| match schema["type"].as_str() {
        Some(one) => BTreeSet::from([one.to_owned()]),
        None => texts(&schema["type"]),
    };
    let (old, new) = (types(before), types(after));
    let differ = match way {
        _ if old.is_empty() || new.is_empty() => false,
        Way::In => !old.is_subset(&new),
        Way::Out => !new.is_subset(&old),
    };
    if differ {
        found.push(format!("{place}: was {}, is {}", list(&old), list(&new)));
    }
}

/// What is left to choose from. A new word in an answer breaks nobody who expects new words, which the API asks for.
fn of_choices(before: &Value, after: &Value, way: Way, place: &str, found: &mut Vec<String>) {
    let (old, new) = (choices(before), choices(after));
    if way == Way::In && !old.is_empty() && !new.is_empty() {
        for gone in old.difference(&new) {
            found.push(format!("{place}: `{gone}` is not taken any more"));
        }
    }
    if way == Way::In {
        for (bound, is_tighter) in [
            ("minimum", f64::lt as fn(&f64, &f64) -> bool),
            ("minLength", f64::lt),
            ("maximum", f64::gt),
            ("maxLength", f64::gt),
            ("maxItems", f64::gt),
        ] {
            let (was, is) = (before[bound].as_f64(), after[bound].as_f64());
            if let Some(is) = is
                && was.is_none_or(|was| is_tighter(&was, &is))
            {
                found.push(format!("{place}: {bound} is {is} now"));
            }
        }
    }
}

/// The words of an enumeration, written as one or as alternatives of one word each.
fn choices(schema: &Value) -> BTreeSet<String> {
    let alternatives = schema["oneOf"].as_array().or(schema["anyOf"].as_array());
    let consts = alternatives
        .into_iter()
        .flatten()
        .filter_map(|one| one["const"].as_str().map(str::to_owned));
    texts(&schema["enum"]).into_iter().chain(consts).collect()
}

fn texts(value: &Value) -> BTreeSet<String> {
    let all = value.as_array().into_iter().flatten();
    all.filter_map(|text| text.as_str().map(str::to_owned))
        .collect()
}

fn list(all: &BTreeSet<String>) -> String {
    all.iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(" or ")
}

/// What a reference leads to, and the schema itself where it is none.
fn resolved<'a>((whole, schema): Part<'a>) -> &'a Value {
    let Some(name) = schema["$ref"].as_str().and_then(|to| to.rsplit('/').next()) else {
        return schema;
    };
    let schemas = whole.get("components").and_then(|all| all.get("schemas"));
    schemas
        .and_then(|all| all.get(name))
        .unwrap_or(&Value::Null)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn api() -> Value {
        json!({
            "paths": { "/v1/things/{name}": { "put": {
                "parameters": [{ "name": "force", "in": "query", "schema": { "type": "boolean" } }],
                "requestBody": { "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Thing" } } } },
                "responses": { "200": { "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Shown" } } } } },
            } } },
            "components": { "schemas": {
                "Thing": { "type": "object", "required": ["a"], "properties": {
                    "a": { "type": "string", "maxLength": 9 }, "b": { "enum": ["x", "y"] } } },
                "Shown": { "type": "object", "required": ["a"], "properties": {
                    "a": { "type": "string" }, "c": { "type": ["integer", "null"] } } },
            } },
        })
    }

    fn after(change: impl Fn(&mut Value)) -> Vec<String> {
        let mut new = api();
        change(&mut new);
        breaking(&api(), &new)
    }

    #[test]
    fn what_is_new_and_optional_breaks_nobody() {
        let found = after(|api| {
            api["paths"]["/v1/more"] = json!({ "get": {} });
            let things = &mut api["paths"]["/v1/things/{name}"]["put"];
            let params = things["parameters"].as_array_mut().unwrap();
            params.push(json!({ "name": "new", "in": "query" }));
            things["responses"]["201"] = json!({});
            let schemas = &mut api["components"]["schemas"];
            schemas["Thing"]["properties"]["new"] = json!({ "type": "string" });
            schemas["Thing"]["properties"]["b"]["enum"] = json!(["x", "y", "z"]);
            schemas["Thing"]["properties"]["a"]["maxLength"] = json!(10);
            schemas["Shown"]["properties"]["new"] = json!({ "type": "string" });
            schemas["Shown"]["properties"]["c"]["type"] = json!("integer");
        });
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn each_difference_that_breaks_clients_is_found() {
        type Case = (fn(&mut Value), &'static str);
        let cases: [Case; 11] = [
            (
                |api| api["paths"] = json!({}),
                "PUT /v1/things/{name}: is gone",
            ),
            (
                |api| api["paths"]["/v1/things/{name}"]["put"]["parameters"] = json!([]),
                "PUT /v1/things/{name}: parameter query `force` is gone",
            ),
            (
                |api| {
                    api["paths"]["/v1/things/{name}"]["put"]["parameters"][0]["required"] =
                        json!(true)
                },
                "PUT /v1/things/{name}: parameter query `force` is needed now",
            ),
            (
                |api| api["paths"]["/v1/things/{name}"]["put"]["responses"] = json!({}),
                "PUT /v1/things/{name} -> 200: is gone",
            ),
            (
                |api| {
                    api["paths"]["/v1/things/{name}"]["put"]["requestBody"]["required"] =
                        json!(true)
                },
                "PUT /v1/things/{name}: a body is needed now",
            ),
            (
                |api| api["components"]["schemas"]["Thing"]["required"] = json!(["a", "b"]),
                "PUT /v1/things/{name}.b: is needed now",
            ),
            (
                |api| {
                    api["components"]["schemas"]["Thing"]["properties"]["b"]["enum"] = json!(["x"])
                },
                "PUT /v1/things/{name}.b: `y` is not taken any more",
            ),
            (
                |api| {
                    api["components"]["schemas"]["Thing"]["properties"]["a"]["maxLength"] = json!(8)
                },
                "PUT /v1/things/{name}.a: maxLength is 8 now",
            ),
            (
                |api| {
                    api["components"]["schemas"]["Shown"]["properties"]["a"]["type"] =
                        json!("integer")
                },
                "PUT /v1/things/{name} -> 200.a: was string, is integer",
            ),
            (
                |api| api["components"]["schemas"]["Shown"]["required"] = json!([]),
                "PUT /v1/things/{name} -> 200.a: may be absent now",
            ),
            (
                |api| {
                    api["components"]["schemas"]["Shown"]["properties"]
                        .as_object_mut()
                        .unwrap()
                        .remove("c");
                },
                "PUT /v1/things/{name} -> 200.c: is gone",
            ),
        ];
        for (change, expected) in cases {
            assert_eq!(after(change), [expected]);
        }
    }
}
