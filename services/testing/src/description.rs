//! Checks answers against an OpenAPI description: whether a route may return that status, and a problem that code.

use serde_json::Value;

/// Panics unless the description contains the answer: its status, the code of a problem, and exactly the answer's members.
/// Undescribed paths and methods are ignored.
#[track_caller]
pub fn assert_described(description: &Value, method: &str, path: &str, status: u16, body: &Value) {
    let path = path.split('?').next().unwrap_or_default();
    let paths = description["paths"].as_object().expect("a description has paths");
    let Some((template, methods)) = paths.iter().find(|(template, _)| fits(template, path)) else {
        return;
    };
    let operation = &methods[method.to_ascii_lowercase()];
    if operation.is_null() {
        return;
    }
    let response = &operation["responses"][status.to_string()];
    assert!(
        response.is_object(),
        "{method} {template} is not described to answer {status}: {body}"
    );
    let at = format!("{method} {template} {status}");
    match body["code"].as_str().filter(|_| status >= 400) {
        Some(code) => {
            // Each possible code has an example, referred to by the name of its schema.
            let example = &response["content"]["application/problem+json"]["examples"][code];
            assert!(example.is_object(), "{at} is not described to be {code}: {body}");
            assert_members(description, example, &at, body);
        }
        None => assert_members(
            description,
            &response["content"]["application/json"]["schema"],
            &at,
            body,
        ),
    }
}

/// All required members, and no undescribed ones. Unions and non-objects are ignored.
#[track_caller]
fn assert_members(description: &Value, reference: &Value, at: &str, body: &Value) {
    let name = reference["$ref"].as_str().and_then(|at| at.rsplit('/').next());
    let schema = &description["components"]["schemas"][name.unwrap_or_default()];
    let (Some(members), Some(described)) = (body.as_object(), schema["properties"].as_object()) else {
        return;
    };
    let required = schema["required"].as_array().into_iter().flatten();
    for name in required.filter_map(Value::as_str) {
        assert!(members.contains_key(name), "{at} lacks {name}: {body}");
    }
    for name in members.keys() {
        assert!(
            described.contains_key(name),
            "{at} is not described with {name}: {body}"
        );
    }
}

fn fits(template: &str, path: &str) -> bool {
    let (template, path): (Vec<&str>, Vec<&str>) = (template.split('/').collect(), path.split('/').collect());
    template.len() == path.len()
        && template
            .iter()
            .zip(&path)
            .all(|(part, given)| part.starts_with('{') || part == given)
}
