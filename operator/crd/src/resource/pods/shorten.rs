//! Schemas of Kubernetes' own types, without most of their descriptions.

use schemars::Schema;
use serde_json::{Map, Value};

/// A Kubernetes schema with only the first sentence of each description.
pub(super) fn compact(mut schema: Schema) -> Schema {
    if let Some(schema) = schema.as_object_mut() {
        shorten(schema);
    }
    schema
}

fn shorten(schema: &mut Map<String, Value>) {
    if let Some(Value::String(description)) = schema.get_mut("description") {
        let end = description
            .match_indices(". ")
            .find(|(dot, _)| {
                !["e.g", "i.e"]
                    .iter()
                    .any(|short| description[..*dot].ends_with(short))
            })
            .map_or(description.len(), |(dot, _)| dot + 1);
        let line = description.find('\n').unwrap_or(description.len());
        description.truncate(end.min(line));
    }
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        for property in properties.values_mut().filter_map(Value::as_object_mut) {
            shorten(property);
        }
    }
    for key in ["items", "additionalProperties"] {
        if let Some(Value::Object(inner)) = schema.get_mut(key) {
            shorten(inner);
        }
    }
}

/// A Kubernetes schema without descriptions, because its fields are explained elsewhere.
pub(super) fn without_prose(schema: &mut Value) {
    let Some(schema) = schema.as_object_mut() else {
        return;
    };
    schema.remove("description");
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.values_mut().for_each(without_prose);
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get_mut(key) {
            without_prose(inner);
        }
    }
}

/// Sets the schema keyword at `path`, if its parent exists.
pub(super) fn put(schema: &mut Schema, path: &str, value: Value) {
    let Some((parent, key)) = path.rsplit_once('/') else {
        return;
    };
    if let Some(parent) = schema.pointer_mut(parent).and_then(Value::as_object_mut) {
        parent.insert(key.to_owned(), value);
    }
}
