//! Shapes schemas for client generators: an object is a single object, unions name their discriminator, and null appears
//! only where null is sent.
//!
//! The invariant: the same values are valid before and after; only values that are never sent may become invalid.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use utoipa::openapi::schema::{
    AdditionalProperties, AllOf, ArrayItems, Discriminator, Object, ObjectBuilder, OneOf, OneOfBuilder,
    SchemaType, Type,
};
use utoipa::openapi::{OpenApi, Ref, RefOr, Schema};

type Schemas = BTreeMap<String, RefOr<Schema>>;

/// Free-form objects, by the member that holds them: the schema's name and its description.
const FREE_FORM: &[(&str, &str, &str)] = &[
    (
        "metadata",
        "Metadata",
        "Whatever you want to keep beside the money: any JSON, up to 64 keys, 16 levels and 16 KiB.",
    ),
    (
        "data",
        "JournalEventData",
        "The payload of an event. Its members depend on `type` and `schema_version`.",
    ),
];

pub(super) fn straighten(description: &mut OpenApi) {
    let asked = reachable(description, &request_bodies(description));
    let schemas = &mut description.components.get_or_insert_default().schemas;
    flatten(schemas);
    tell_apart(schemas);
    for (name, schema) in schemas.iter_mut() {
        each(schema, &mut name_free_forms);
        if !asked.contains(name) {
            each(schema, &mut drop_nulls);
        }
    }
    for (_, name, what) in FREE_FORM {
        let any = ObjectBuilder::new()
            .schema_type(Type::Object)
            .description(Some(*what))
            .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(true)));
        schemas.insert((*name).to_owned(), any.into());
    }
}

/// Drops unreferenced schemas and examples.
pub(super) fn prune(description: &mut OpenApi) {
    let paths = serde_json::to_value(&description.paths).unwrap_or_default();
    let used = reachable(description, &paths);
    if let Some(components) = &mut description.components {
        components.schemas.retain(|name, _| used.contains(name));
        // Examples of problems are named like their schemas.
        components.examples.retain(|name, _| used.contains(name));
    }
}

/// Visits the schema and everything it consists of, itself first.
pub(super) fn each(schema: &mut RefOr<Schema>, visit: &mut impl FnMut(&mut RefOr<Schema>)) {
    visit(schema);
    let RefOr::T(schema) = schema else { return };
    match schema {
        Schema::Object(object) => {
            object
                .properties
                .values_mut()
                .for_each(|member| each(member, visit));
            if let Some(others) = &mut object.additional_properties
                && let AdditionalProperties::RefOr(others) = others.as_mut()
            {
                each(others, visit);
            }
        }
        Schema::Array(array) => {
            if let ArrayItems::RefOrSchema(items) = &mut array.items {
                each(items, visit);
            }
        }
        Schema::OneOf(one) => one.items.iter_mut().for_each(|item| each(item, visit)),
        Schema::AllOf(all) => all.items.iter_mut().for_each(|item| each(item, visit)),
        Schema::AnyOf(any) => any.items.iter_mut().for_each(|item| each(item, visit)),
        // The enum may grow; the arms above cover today's variants.
        _ => {}
    }
}

/// Merges objects that are described as the sum of several into one.
fn flatten(schemas: &mut Schemas) {
    let before = schemas.clone();
    for schema in schemas.values_mut() {
        each(schema, &mut |schema| {
            if let RefOr::T(Schema::AllOf(all)) = schema {
                *schema = Schema::Object(sum(all, &before)).into();
            }
        });
    }
}

fn sum(all: &AllOf, schemas: &Schemas) -> Object {
    let mut sum = Object::with_type(Type::Object);
    sum.description.clone_from(&all.description);
    for item in &all.items {
        let item = match item {
            RefOr::Ref(other) => schemas.get(name_of(other)),
            RefOr::T(_) => Some(item),
        };
        let part = match item {
            Some(RefOr::T(Schema::Object(object))) => object.clone(),
            Some(RefOr::T(Schema::AllOf(all))) => self::sum(all, schemas),
            _ => continue,
        };
        sum.description = sum.description.or(part.description);
        sum.required.extend(part.required);
        sum.properties.extend(part.properties);
    }
    sum
}

/// Names the schemas of a union in which each has one value of a common member, and declares that member as the
/// discriminator.
fn tell_apart(schemas: &mut Schemas) {
    let mut named = Schemas::new();
    for (name, schema) in schemas.iter_mut() {
        if let RefOr::T(Schema::OneOf(union)) = schema
            && let Some(tag) = tag(union)
        {
            let mut discriminator = Discriminator::new(&tag);
            for item in std::mem::take(&mut union.items) {
                let value = tag_value(&item, &tag).unwrap_or_default().to_owned();
                let variant = Ref::from_schema_name(format!("{name}{}", pascal(&value)));
                discriminator.mapping.insert(value, variant.ref_location.clone());
                named.insert(name_of(&variant).to_owned(), item);
                union.items.push(variant.into());
            }
            union.discriminator = Some(discriminator);
        }
    }
    schemas.extend(named);
}

/// The member that distinguishes the objects of a union.
fn tag(union: &OneOf) -> Option<String> {
    let RefOr::T(Schema::Object(first)) = union.items.first()? else {
        return None;
    };
    let mut names = first.properties.keys();
    let tag = names.find(|name| union.items.iter().all(|item| tag_value(item, name).is_some()));
    tag.cloned()
}

fn tag_value<'a>(item: &'a RefOr<Schema>, tag: &str) -> Option<&'a str> {
    let RefOr::T(Schema::Object(object)) = item else {
        return None;
    };
    match object.properties.get(tag)? {
        RefOr::T(Schema::Object(Object {
            enum_values: Some(values),
            ..
        })) => match &values[..] {
            [Value::String(value)] => Some(value),
            _ => None,
        },
        _ => None,
    }
}

fn pascal(name: &str) -> String {
    name.split('_').map(wallex_runtime::http::capitalised).collect()
}

fn name_free_forms(schema: &mut RefOr<Schema>) {
    let RefOr::T(Schema::Object(object)) = schema else {
        return;
    };
    for (name, member) in &mut object.properties {
        let known = FREE_FORM.iter().find(|(known, ..)| known == name);
        if let Some((_, schema, _)) = known
            && let RefOr::T(Schema::Object(any)) = member
        {
            let (nullable, kept) = match &any.schema_type {
                SchemaType::Type(Type::Object) => (false, true),
                SchemaType::Array(types) => (true, types.contains(&Type::Object)),
                SchemaType::Type(_) | SchemaType::AnyValue => (false, false),
            };
            if !kept {
                continue;
            }
            let mut named = Ref::from_schema_name(*schema);
            let what = any.description.take();
            *member = if nullable {
                let null = ObjectBuilder::new().schema_type(Type::Null);
                let either = OneOfBuilder::new().item(named).item(null).description(what);
                Schema::OneOf(either.build()).into()
            } else {
                named.description = what.unwrap_or_default();
                named.into()
            };
        }
    }
}

/// In an answer, a member that may be missing is never null.
fn drop_nulls(schema: &mut RefOr<Schema>) {
    let RefOr::T(Schema::Object(object)) = schema else {
        return;
    };
    let required = &object.required;
    for (_, member) in object
        .properties
        .iter_mut()
        .filter(|(name, _)| !required.contains(name))
    {
        not_null(member);
    }
}

/// The schema without null as a value.
pub(super) fn not_null(schema: &mut RefOr<Schema>) {
    match schema {
        RefOr::T(Schema::Object(object)) => {
            if let Some(one) = only_type(&object.schema_type) {
                object.schema_type = one;
            }
        }
        RefOr::T(Schema::Array(array)) => {
            if let Some(one) = only_type(&array.schema_type) {
                array.schema_type = one;
            }
        }
        RefOr::T(Schema::OneOf(either)) => {
            let rest: Vec<_> = either.items.iter().filter(|item| !is_null(item)).collect();
            if let [RefOr::Ref(one)] = rest[..]
                && either.items.len() == 2
            {
                let mut one = one.clone();
                if let Some(what) = &either.description {
                    one.description.clone_from(what);
                }
                *schema = one.into();
            }
        }
        RefOr::T(_) | RefOr::Ref(_) => {}
    }
}

/// The only type besides null.
fn only_type(types: &SchemaType) -> Option<SchemaType> {
    let SchemaType::Array(types) = types else {
        return None;
    };
    let mut others = types.iter().filter(|one| **one != Type::Null);
    match (others.next(), others.next()) {
        (Some(one), None) => Some(SchemaType::Type(one.clone())),
        _ => None,
    }
}

fn is_null(schema: &RefOr<Schema>) -> bool {
    matches!(schema, RefOr::T(Schema::Object(object)) if object.schema_type == SchemaType::Type(Type::Null))
}

pub(super) fn name_of(schema: &Ref) -> &str {
    schema.ref_location.rsplit('/').next().unwrap_or_default()
}

fn request_bodies(description: &OpenApi) -> Value {
    let operations = description.paths.paths.values().flat_map(super::operations);
    let bodies =
        operations.map(|operation| serde_json::to_value(&operation.request_body).unwrap_or_default());
    bodies.collect()
}

/// Names of the schemas that `from` refers to, directly or indirectly.
fn reachable(description: &OpenApi, from: &Value) -> BTreeSet<String> {
    let schemas = description
        .components
        .as_ref()
        .map(|components| &components.schemas);
    let (mut reached, mut open) = (BTreeSet::new(), Vec::new());
    referred(from, &mut open);
    while let Some(name) = open.pop() {
        if let Some(schema) = schemas.and_then(|schemas| schemas.get(&name))
            && reached.insert(name)
        {
            referred(&serde_json::to_value(schema).unwrap_or_default(), &mut open);
        }
    }
    reached
}

fn referred(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(at)) = members.get("$ref") {
                found.extend(at.rsplit('/').next().map(str::to_owned));
            }
            members.values().for_each(|member| referred(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| referred(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
