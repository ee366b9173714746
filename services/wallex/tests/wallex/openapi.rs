//! The description of the HTTP interface: what is committed is what the code says, and nothing is left out.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::platform::text;
use crate::process::wallex;

fn description() -> String {
    let printed = wallex().arg("openapi").output().unwrap();
    assert!(printed.status.success(), "{}", text(&printed));
    String::from_utf8(printed.stdout).unwrap()
}

#[test]
fn the_description_that_is_committed_is_the_one_generated() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == description(),
        "docs/openapi.json differs from the routes: run `make manifests`, or \
         `cargo run -p wallex -- openapi > docs/openapi.json`"
    );
}

/// A missing word is found here, by name, before a reader or a generated client misses it.
#[test]
fn every_operation_is_described_in_full() {
    let description: Value = serde_json::from_str(&description()).unwrap();
    assert_eq!(description["openapi"], "3.1.0");
    let tags: BTreeSet<&str> = description["tags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| tag["name"].as_str().unwrap())
        .collect();
    let (mut missing, mut ids) = (Vec::new(), BTreeSet::new());
    for (path, methods) in description["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let mut lacks = |what: &str| missing.push(format!("{method} {path} {what}"));
            gaps(path, method, operation, &tags, &mut lacks);
            let id = operation["operationId"].as_str().unwrap_or_default();
            if !ids.insert(id.to_owned()) {
                lacks(&format!("has the operation id of another one: {id}"));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

/// What an operation lacks.
fn gaps(path: &str, method: &str, operation: &Value, tags: &BTreeSet<&str>, lacks: &mut impl FnMut(&str)) {
    let said = |value: &Value| value.as_str().is_some_and(|text| !text.trim().is_empty());
    if !said(&operation["summary"]) {
        lacks("has no summary");
    }
    match operation["tags"].as_array().map(Vec::as_slice) {
        Some([tag]) if tag.as_str().is_some_and(|tag| tags.contains(tag)) => {}
        found => lacks(&format!("has not one tag of src/openapi.rs: {found:?}")),
    }

    let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
    let has = |place: &str, name: &str| {
        parameters
            .iter()
            .any(|parameter| parameter["in"] == place && parameter["name"] == name)
    };
    for part in path.split('/') {
        if let Some(name) = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'))
            && !has("path", name)
        {
            lacks(&format!("has no path parameter {name}"));
        }
    }
    for parameter in &parameters {
        if !said(&parameter["description"]) {
            lacks(&format!("has an undescribed parameter {}", parameter["name"]));
        }
    }
    let api = path.starts_with("/v1/");
    if api && method == "post" {
        if !has("header", "Idempotency-Key") {
            lacks("has no header Idempotency-Key");
        }
        if operation["requestBody"]["content"]["application/json"]["schema"].is_null() {
            lacks("has no request body");
        }
    }
    // Currencies come from the settings and contain no write.
    let reads_rows = path != "/v1/currencies";
    if api && reads_rows && method == "get" && !has("header", "Wallex-Min-Position") {
        lacks("has no header Wallex-Min-Position");
    }

    let Some(responses) = operation["responses"].as_object().filter(|them| !them.is_empty()) else {
        return lacks("has no responses");
    };
    if !responses.keys().any(|status| status.starts_with('2')) {
        lacks("has no response of success");
    }
    // What any route of the interface may answer: the database is away, or the server is at fault.
    for status in if api { &["500", "503"][..] } else { &[] } {
        if !responses.contains_key(*status) {
            lacks(&format!("has no response {status}"));
        }
    }
    for (status, response) in responses {
        if !said(&response["description"]) {
            lacks(&format!("has an undescribed response {status}"));
        }
        for (name, header) in response["headers"].as_object().into_iter().flatten() {
            if !said(&header["description"]) {
                lacks(&format!("has an undescribed header {name} of response {status}"));
            }
        }
        let problem = &response["content"]["application/problem+json"]["schema"];
        if api && !status.starts_with('2') && problem.is_null() {
            lacks(&format!("has a response {status} that is no problem"));
        }
    }
}

/// Whoever reads numbers as doubles reads every integer right.
#[test]
fn no_integer_goes_beyond_what_json_readers_keep() {
    fn look(at: &str, schema: &Value, found: &mut usize, wrong: &mut Vec<String>) {
        match schema {
            Value::Object(members) => {
                let kind = &schema["type"];
                let is_integer = kind == "integer"
                    || kind
                        .as_array()
                        .is_some_and(|kinds| kinds.contains(&Value::from("integer")));
                if is_integer {
                    *found += 1;
                    let bounds = [&schema["minimum"], &schema["maximum"]].map(Value::as_i64);
                    let most = 9_007_199_254_740_991;
                    if !bounds
                        .iter()
                        .all(|bound| bound.is_some_and(|bound| bound.abs() <= most))
                    {
                        wrong.push(format!("{at} is from {:?} to {:?}", bounds[0], bounds[1]));
                    }
                }
                for (name, member) in members {
                    look(&format!("{at}/{name}"), member, found, wrong);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| look(at, item, found, wrong)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let description: Value = serde_json::from_str(&description()).unwrap();
    let (mut found, mut wrong) = (0, Vec::new());
    look("", &description["components"]["schemas"], &mut found, &mut wrong);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(found > 50, "{found} integers are seen: the test has gone blind");
    for statement in ["Statement", "StatementClosing"] {
        let properties = &description["components"]["schemas"][statement]["properties"];
        assert_eq!(properties["total_in"]["type"], "string", "{statement}");
    }
}
