//! What an API server does with the schema: it fills in defaults, checks shapes, and evaluates rules.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use cel::extractors::This;
use serde_json::Value;
use wallex_crd::crd_yaml;

/// The schema of the object.
pub(super) static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let crd: Value = serde_yaml_ng::from_str(&crd_yaml().unwrap()).unwrap();
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
});

/// The object as the API server sees it before evaluating the rules: with the schema's defaults.
pub(super) fn with_defaults(schema: &Value, object: &mut Value) {
    if let (Some(properties), Value::Object(fields)) = (schema["properties"].as_object(), &mut *object) {
        for (name, property) in properties {
            if let (None, Some(default)) = (fields.get(name), property.get("default")) {
                fields.insert(name.clone(), default.clone());
            }
            if let Some(field) = fields.get_mut(name) {
                with_defaults(property, field);
            }
        }
    }
    match object {
        Value::Object(fields) if schema["additionalProperties"].is_object() => {
            for field in fields.values_mut() {
                with_defaults(&schema["additionalProperties"], field);
            }
        }
        Value::Array(elements) => {
            for element in elements {
                with_defaults(&schema["items"], element);
            }
        }
        _ => {}
    }
}

/// The numeric value of a quantity; Kubernetes' CEL library compares them exactly.
fn amount(text: &str) -> f64 {
    let digits = text
        .find(|c: char| !"0123456789.+-".contains(c))
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let factor = match suffix {
        "m" => 1e-3,
        "" => 1.0,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "Ki" => 1024.0,
        "Mi" => 1024.0 * 1024.0,
        "Gi" => 1024.0 * 1024.0 * 1024.0,
        other => panic!("{other}"),
    };
    number.parse::<f64>().unwrap() * factor
}

/// Where `object` violates the schema: enums, patterns, bounds and required fields.
pub(super) fn misshapen(schema: &Value, object: &Value, path: &str, found: &mut Vec<String>) {
    let fits = |keyword: &str, fits: &dyn Fn(&Value) -> bool| schema.get(keyword).is_none_or(fits);
    let text = object.as_str();
    let ok = fits("enum", &|values| values.as_array().unwrap().contains(object))
        && fits("pattern", &|pattern| {
            text.is_none_or(|text| {
                regex::Regex::new(pattern.as_str().unwrap())
                    .unwrap()
                    .is_match(text)
            })
        })
        && fits("minLength", &|least| {
            text.is_none_or(|text| text.len() as u64 >= least.as_u64().unwrap())
        })
        && fits("minimum", &|least| {
            object
                .as_f64()
                .is_none_or(|number| number >= least.as_f64().unwrap())
        })
        && fits("maximum", &|most| {
            object
                .as_f64()
                .is_none_or(|number| number <= most.as_f64().unwrap())
        })
        && fits("required", &|names| {
            names
                .as_array()
                .unwrap()
                .iter()
                .all(|name| object.get(name.as_str().unwrap()).is_some())
        });
    if !ok {
        found.push(path.to_owned());
    }
    match object {
        Value::Object(fields) => {
            for (name, field) in fields {
                let inner = schema["properties"]
                    .get(name)
                    .unwrap_or(&schema["additionalProperties"]);
                misshapen(inner, field, &format!("{path}.{name}"), found);
            }
        }
        Value::Array(elements) => {
            for element in elements {
                misshapen(&schema["items"], element, path, found);
            }
        }
        _ => {}
    }
}

/// Messages of the rules that `object` breaks; `old` is its previous state.
pub(super) fn broken(schema: &Value, object: &Value, old: Option<&Value>, messages: &mut BTreeSet<String>) {
    for rule in schema["x-kubernetes-validations"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let text = rule["rule"].as_str().unwrap();
        let program = cel::Program::compile(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let mut context = cel::Context::default();
        context
            .add_function("quantity", |text: Arc<String>| amount(&text))
            .unwrap();
        context
            .add_function("compareTo", |This(left): This<f64>, right: f64| {
                left.total_cmp(&right) as i64
            })
            .unwrap();
        context.add_variable("self", object).unwrap();
        if text.contains("oldSelf") {
            // A transition rule is evaluated only if there is an old object to compare with.
            let Some(old) = old else { continue };
            context.add_variable("oldSelf", old).unwrap();
        }
        match program.execute(&context) {
            Ok(cel::Value::Bool(true)) => {}
            Ok(cel::Value::Bool(false)) => {
                messages.insert(rule["message"].as_str().unwrap().to_owned());
            }
            other => panic!("{text}: {other:?}"),
        }
    }
    match object {
        Value::Object(fields) => {
            for (name, field) in fields {
                let inner = schema["properties"]
                    .get(name)
                    .unwrap_or(&schema["additionalProperties"]);
                broken(inner, field, old.and_then(|old| old.get(name)), messages);
            }
        }
        Value::Array(elements) => {
            for element in elements {
                broken(&schema["items"], element, None, messages);
            }
        }
        _ => {}
    }
}
