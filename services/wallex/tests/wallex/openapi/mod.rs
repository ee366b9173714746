//! The description of the HTTP interface: the committed version matches the code, and nothing is missing.

mod fits;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use wallex_runtime::http::Code;

use crate::platform::text;
use crate::process::wallex;
use fits::{fits, resolved};

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

/// Finds missing parts by name before a reader or a generated client does.
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
    let writes = ["post", "patch"].contains(&method);
    if api && writes {
        if !has("header", "Idempotency-Key") {
            lacks("has no header Idempotency-Key");
        }
        if operation["requestBody"]["content"]["application/json"]["schema"].is_null() {
            lacks("has no request body");
        }
    }
    // Currencies come from the settings, so no write is ever missing.
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
    // Any route may answer these: the database is unreachable, or the server fails.
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

/// Readers that use doubles get every integer right.
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
    for statement in ["Statement", "StatementLineClosing"] {
        let properties = &description["components"]["schemas"][statement]["properties"];
        assert_eq!(properties["total_in"]["type"], "string", "{statement}");
    }
}

fn parsed() -> Value {
    serde_json::from_str(&description()).unwrap()
}

/// Each operation with its path and method.
fn operations(description: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = description["paths"].as_object().unwrap();
    let operations = paths.iter().flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap().iter();
        methods.map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
    });
    operations.collect()
}

/// Each schema, inner ones too, with its place.
fn each<'a>(at: &str, schema: &'a Value, visit: &mut impl FnMut(&str, &'a Value)) {
    visit(at, schema);
    for inner in ["properties", "oneOf", "allOf", "anyOf"] {
        match &schema[inner] {
            Value::Object(members) => {
                for (name, member) in members {
                    each(&format!("{at}/{name}"), member, visit);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| each(at, item, visit)),
            _ => {}
        }
    }
    for inner in ["items", "additionalProperties"] {
        if schema[inner].is_object() {
            each(at, &schema[inner], visit);
        }
    }
}

/// Schemas by their places: those of components and of parameters.
fn schemas(description: &Value) -> Vec<(String, &Value)> {
    let mut found = Vec::new();
    let components = description["components"]["schemas"].as_object().unwrap();
    for (name, schema) in components {
        each(name, schema, &mut |at, schema| {
            found.push((at.to_owned(), schema));
        });
    }
    for (path, method, operation) in operations(description) {
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let name = parameter["name"].as_str().unwrap();
            found.push((format!("{method} {path}/{name}"), &parameter["schema"]));
        }
    }
    assert!(
        found.len() > 500,
        "{} schemas are seen: this has gone blind",
        found.len()
    );
    found
}

#[test]
fn a_request_is_called_by_its_operation_and_nothing_from_inside() {
    let description = parsed();
    for (path, _, operation) in operations(&description) {
        let Some(body) = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str()
        else {
            continue;
        };
        let id = operation["operationId"].as_str().unwrap();
        let name = format!("{}{}Request", id[..1].to_uppercase(), &id[1..]);
        assert_eq!(body, format!("#/components/schemas/{name}"), "{path}");
    }
    for name in description["components"]["schemas"].as_object().unwrap().keys() {
        let inside = ["Item", "Body", "Answer", "After", "Movement", "Note"];
        let inside = inside.iter().find(|inside| name.ends_with(*inside));
        assert!(inside.is_none_or(|_| name == "BatchCommandBody"), "{name}");
    }
}

/// Closed sets of words are declared as enums, and times as times.
#[test]
fn closed_sets_are_enums_and_times_are_times() {
    // Event types in the journal, which may come from a newer version.
    let open = ["JournalEvent/type"];
    let words = [
        "type",
        "status",
        "kind",
        "direction",
        "line",
        "code",
        "hold_status",
        "consistency",
        "name",
    ];
    let description = parsed();
    let mut wrong = Vec::new();
    for (at, schema) in schemas(&description) {
        let name = at.rsplit('/').next().unwrap();
        let schema = resolved(&description, schema);
        let is_text = schema["type"] == "string";
        let is_known = ["enum", "pattern", "format"]
            .iter()
            .any(|word| !schema[*word].is_null());
        let named_by_others = at.starts_with("Kafka") && name == "name";
        if words.contains(&name) && is_text && !is_known && !open.contains(&at.as_str()) && !named_by_others {
            wrong.push(format!("{at} is any text"));
        }
        let time = name.ends_with("_at") || ["from", "to", "at"].contains(&name);
        let id = schema["format"] == "uuid" || !schema["properties"].is_null();
        if time && !id && schema["format"] != "date-time" {
            wrong.push(format!("{at} is no time: {schema}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Things that client generators trip over or can only guess.
#[test]
fn every_schema_says_what_it_is() {
    let description = parsed();
    let mut wrong = Vec::new();
    for (at, schema) in schemas(&description) {
        let says = ["$ref", "type", "oneOf"]
            .iter()
            .any(|word| !schema[*word].is_null());
        if !says {
            wrong.push(format!("{at} is anything: {schema}"));
        }
        if !schema["allOf"].is_null() || !schema["anyOf"].is_null() {
            wrong.push(format!("{at} is a sum"));
        }
        let either = schema["oneOf"].as_array().map(Vec::as_slice).unwrap_or_default();
        let or_null = either.len() == 2 && either[1]["type"] == "null";
        // Distinguished by their required members: with `at`, and without.
        if !either.is_empty() && !or_null && schema["discriminator"].is_null() && at != "WalletOrWalletAt" {
            wrong.push(format!("{at} is one of several, and does not say which"));
        }
        let names = schema["discriminator"]["mapping"]
            .as_object()
            .into_iter()
            .flatten();
        for (value, target) in names {
            let target = serde_json::json!({"$ref": target});
            let tag = schema["discriminator"]["propertyName"].as_str().unwrap();
            let tag = &resolved(&description, &target)["properties"][tag];
            if tag["enum"]
                .as_array()
                .is_some_and(|values| !values.contains(&Value::from(value.as_str())))
            {
                wrong.push(format!("{at} maps {value} to what has not that"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Problem codes of an answer, by its schema.
fn codes<'a>(description: &'a Value, schema: &'a Value) -> BTreeSet<&'a str> {
    let schema = resolved(description, schema);
    let several = schema["oneOf"]
        .as_array()
        .map_or_else(|| vec![schema], |all| all.iter().collect());
    let several = several.into_iter().flat_map(|one| {
        let code = &resolved(description, one)["properties"]["code"]["enum"];
        code.as_array().map(Vec::as_slice).unwrap_or_default()
    });
    several.filter_map(Value::as_str).collect()
}

#[test]
fn every_problem_is_typed_by_its_code() {
    let description = parsed();
    let known: BTreeMap<&str, u16> = Code::ALL
        .iter()
        .map(|code| (code.as_str(), code.status().as_u16()))
        .collect();
    let listed: BTreeSet<&str> = description["components"]["schemas"]["ProblemCode"]["enum"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert_eq!(listed, known.keys().copied().collect());
    let mut seen = BTreeSet::new();
    for (path, method, operation) in operations(&description) {
        for (status, response) in operation["responses"].as_object().unwrap() {
            let problem = &response["content"]["application/problem+json"];
            if problem.is_null() {
                continue;
            }
            let typed = codes(&description, &problem["schema"]);
            assert!(!typed.is_empty(), "{method} {path} {status} has no codes");
            for code in &typed {
                assert_eq!(known[code].to_string(), *status, "{method} {path} {code}");
            }
            let examples = problem["examples"]
                .as_object()
                .unwrap()
                .keys()
                .map(String::as_str)
                .collect();
            assert_eq!(typed, examples, "{method} {path} {status}");
            seen.extend(typed);
        }
        if ["post", "patch"].contains(&method) {
            let responses = &operation["responses"];
            for status in ["400", "408", "413", "415", "422", "500", "503"] {
                assert!(responses[status].is_object(), "{path} has no {status}");
            }
        }
    }
    // Belongs to no operation: the method has none.
    seen.insert(Code::MethodNotAllowed.as_str());
    assert_eq!(seen, listed, "codes that no operation has");
}

#[test]
fn everything_sent_and_answered_has_an_example_that_fits() {
    let description = parsed();
    let (mut wrong, mut seen) = (Vec::new(), 0);
    let mut check = |at: &str, schema: &Value, example: &Value| {
        seen += 1;
        if let Err(why) = fits(&description, schema, example, "") {
            wrong.push(format!("{at}: {why}"));
        }
    };
    for (path, method, operation) in operations(&description) {
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let name = &parameter["name"];
            check(
                &format!("{method} {path} {name}"),
                &parameter["schema"],
                &parameter["example"],
            );
        }
        for content in operation["requestBody"]["content"]
            .as_object()
            .into_iter()
            .flatten()
        {
            let schema = &content.1["schema"];
            let example = &resolved(&description, schema)["examples"][0];
            check(&format!("{method} {path}"), schema, example);
        }
        for (status, response) in operation["responses"].as_object().unwrap() {
            for (media_type, content) in response["content"].as_object().into_iter().flatten() {
                let at = format!("{method} {path} {status} {media_type}");
                match content["examples"].as_object() {
                    Some(examples) => {
                        for example in examples.values() {
                            let value = &resolved(&description, example)["value"];
                            check(&at, &content["schema"], value);
                        }
                    }
                    None => check(&at, &content["schema"], &content["example"]),
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 300, "{seen} examples are seen: this has gone blind");
}
