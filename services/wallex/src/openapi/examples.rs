//! Examples of every request body and every successful answer, by operation, from `examples.json` next to this file. Ada
//! pays, Bob receives; the figures are consistent with each other.

use serde_json::{Map, Value};
use utoipa::openapi::{OpenApi, RefOr, Schema};

use super::shape::name_of;

const EXAMPLES: &str = include_str!("examples.json");

pub(super) fn add(description: &mut OpenApi) {
    // A test checks its form and completeness.
    let examples: Map<String, Value> = serde_json::from_str(EXAMPLES).unwrap_or_default();
    let mut requests = Vec::new();
    for operation in description
        .paths
        .paths
        .values_mut()
        .flat_map(super::operations_mut)
    {
        let id = operation.operation_id.as_deref().unwrap_or_default();
        let Some(example) = examples.get(id) else { continue };
        if let Some(RefOr::T(body)) = &operation.request_body {
            for content in body.content.values() {
                if let RefOr::T(content) = content
                    && let Some(RefOr::Ref(schema)) = &content.schema
                {
                    requests.push((name_of(schema).to_owned(), example["request"].clone()));
                }
            }
        }
        for (status, response) in &mut operation.responses.responses {
            let RefOr::T(response) = response else { continue };
            for (media_type, content) in &mut response.content {
                if let RefOr::T(content) = content
                    && let Some(example) = example[status.as_str()].get(media_type.as_str())
                {
                    content.example = Some(example.clone());
                }
            }
        }
    }
    // On the schema, not the media type, so that generators show it with the type.
    let schemas = &mut description.components.get_or_insert_default().schemas;
    for (name, example) in requests {
        if let Some(RefOr::T(Schema::Object(schema))) = schemas.get_mut(&name) {
            schema.examples = vec![example];
        }
    }
}
