//! The schemas of requests for the API description, put together from the values that their fields hold.

use utoipa::openapi::schema::{AdditionalProperties, Type};
use utoipa::openapi::{ObjectBuilder, Schema};

use crate::value::{Description, Field, Metadata, Version};

/// An object that has no fields but those that are added.
pub(crate) fn object(about: &[&str]) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some(lines(about)))
        .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(false)))
}

/// Adds a field, and what it is for.
pub(crate) fn field<F: Field>(object: ObjectBuilder, name: &'static str, about: &[&str]) -> ObjectBuilder {
    let mut schema = F::property();
    schema.description = Some(lines(about));
    let object = object.property(name, schema);
    if F::REQUIRED {
        object.required(name)
    } else {
        object
    }
}

/// Adds what a command of a batch has before its other fields.
pub(crate) fn of_a_batch(object: ObjectBuilder) -> ObjectBuilder {
    let kind = ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some("What to do; it decides which fields there are."));
    object.property("type", kind).required("type")
}

/// Adds the version that a command of a batch may expect.
pub(crate) fn with_version(object: ObjectBuilder) -> ObjectBuilder {
    let about = "Only if the wallet (of a transfer: the one that pays) has this version.";
    field::<Option<Version>>(object, "expected_version", &[about])
}

/// Adds the fields that every body ends with.
pub(crate) fn personal_data(object: ObjectBuilder) -> ObjectBuilder {
    let object = field::<Option<Description>>(object, "description", &["Up to 1024 characters; erasable."]);
    let about = [
        "Up to 64 keys, 16 levels and 16 KiB of JSON; erasable. Its numbers are those that a 64-bit integer or a",
        "double holds exactly.",
    ];
    field::<Option<Metadata>>(object, "metadata", &about)
}

/// A comment as one text.
fn lines(comment: &[&str]) -> String {
    let lines: Vec<&str> = comment.iter().map(|line| line.trim()).collect();
    lines.join("\n")
}
