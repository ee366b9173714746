//! The formats of values, by their names, which are the same everywhere: members of bodies, parameters, headers.

use serde_json::{Value, json};
use utoipa::Number;
use utoipa::openapi::header::Header;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterStyle};
use utoipa::openapi::schema::{ArrayItems, KnownFormat, Object, Schema, SchemaFormat, SchemaType, Type};
use utoipa::openapi::{OpenApi, RefOr};
use wallex_domain::MAX_BALANCE;
use wallex_runtime::http::headers;

use super::shape;

/// String members with their patterns.
const TEXTS: &[(&str, &str)] = &[
    ("account", ACCOUNT),
    ("balance", "^-?[0-9]+$"),
    ("credits", "^[0-9]+$"),
    ("currency", "^[A-Z][A-Z0-9]{2,7}$"),
    ("debits", "^[0-9]+$"),
    ("destination", ACCOUNT),
    ("digest", "^[0-9a-f]{64}$"),
    ("etag", r#"^"[0-9]{1,19}"$"#),
    ("hash", "^[0-9a-f]{64}$"),
    ("next_cursor", "^[0-9a-f]+$"),
    ("payload_hex", "^([0-9a-f]{2})*$"),
    ("position", "^[0-9]{1,9}:[0-9]{1,19}$"),
    (
        "positions",
        "^([0-9]{1,9}:[0-9]{1,19}(,[0-9]{1,9}:[0-9]{1,19})*)?$",
    ),
    ("prev_hash", "^[0-9a-f]{64}$"),
    ("salt", "^[0-9a-f]{32}$"),
    ("source", ACCOUNT),
];

/// Integer members with their minimum.
const LEAST: &[(&str, isize)] = &[
    ("applied", 0),
    ("brokers", 0),
    ("captured", 0),
    ("committed_offset", 0),
    ("end_offset", 0),
    ("first_offset", 0),
    ("held", 0),
    ("held_after", 0),
    ("lag", 0),
    ("lag_events", 0),
    ("leader", 0),
    ("line", 1),
    ("next_after_version", 1),
    ("overdraft_limit", 0),
    ("partition", 0),
    ("published", 0),
    ("recorded", 0),
    ("schema_version", 1),
    ("seq", 1),
    ("version", 1),
];

/// Response headers: a description for routes that give none, their pattern, and an example.
const HEADERS: &[(&str, &str, &str, &str)] = &[
    (
        "ETag",
        "The wallet's version, quoted, for If-Match",
        r#"^"[0-9]{1,19}"$"#,
        "\"7\"",
    ),
    (
        headers::POSITION,
        "Where the events stand in the journal, for Wallex-Min-Position",
        "^[0-9]{1,9}:[0-9]{1,19}(,[0-9]{1,9}:[0-9]{1,19})*$",
        "3:1042",
    ),
    (
        "Location",
        "Where to read what this has made",
        "^/v1/[a-z]+/[0-9a-f-]{36}$",
        "/v1/transactions/0198c0e0-4c1d-7b55-8f3e-2a3b4c5d6e7f",
    ),
    (
        headers::IDEMPOTENCY_REPLAYED,
        "true when this is an earlier answer given again; absent otherwise",
        "^true$",
        "true",
    ),
    (
        headers::STALE,
        "true when an event could not be projected; absent otherwise",
        "^true$",
        "true",
    ),
    (
        "Content-Disposition",
        "A file name",
        "^attachment",
        "attachment; filename=\"postings.csv\"",
    ),
    (
        "Accept-Encoding",
        "What is taken instead",
        "^identity$",
        "identity",
    ),
    ("Retry-After", "Seconds", "", "1"),
];

/// Headers that are `true` or absent.
const FLAGS: &[&str] = &[headers::IDEMPOTENCY_REPLAYED, headers::STALE];

/// Parameters: their pattern, and an example for those that have none.
const PARAMETERS: &[(&str, &str, &str)] = &[
    (headers::IDEMPOTENCY_KEY, "^[!-~]{1,255}$", "order-4711"),
    ("If-Match", r#"^"[0-9]{1,18}"$"#, "\"7\""),
    (
        headers::MIN_POSITION,
        "^[0-9]{1,9}:[0-9]{1,18}(,[0-9]{1,9}:[0-9]{1,18}){0,255}$",
        "3:1042",
    ),
    ("cursor", "^[0-9a-f]+$", "9f2c51d07be4a318000000000000002a"),
    ("owner", PLAIN_TEXT, "Ada Lovelace"),
    ("external_id", PLAIN_TEXT, "psp-9041"),
    ("reference", PLAIN_TEXT, "order 4711"),
    ("account", ACCOUNT, "external:EUR"),
    ("transaction_id", "", "0198c0e0-4c1d-7b55-8f3e-2a3b4c5d6e7f"),
    ("counterparty", "", "0198c0df-1a2b-7c3d-9e4f-5a6b7c8d9e0f"),
];

/// Integer parameters: an example, and the default if there is one.
const NUMBERS: &[(&str, i64, Option<i64>)] = &[
    ("limit", 50, Some(50)),
    ("after_version", 7, None),
    ("Last-Event-ID", 7, None),
];

/// Ids in paths, by the path's resource.
const IDS: &[(&str, &str)] = &[
    ("/v1/wallets/", "0198c0de-7f3a-7c10-8000-1a2b3c4d5e6f"),
    ("/v1/holds/", "0198c0e1-2b64-7d2e-9a41-5c6d7e8f9a0b"),
    ("/v1/transactions/", "0198c0e0-4c1d-7b55-8f3e-2a3b4c5d6e7f"),
];

/// Parameters that are RFC 3339 times.
const TIMES: &[&str] = &["from", "to", "at"];

const ACCOUNT: &str =
    "^((wallet|hold):[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|external:[A-Z][A-Z0-9]{2,7})$";

/// No control characters except line feed and tab.
const PLAIN_TEXT: &str = r"^[^\x00-\x08\x0b-\x1f\x7f-\x9f]*$";

pub(super) fn complete(description: &mut OpenApi) {
    let components = description.components.iter_mut();
    for schema in components.flat_map(|components| components.schemas.values_mut()) {
        shape::each(schema, &mut |schema| {
            if let RefOr::T(Schema::Object(object)) = schema {
                complete_members(object);
                bound(object);
            }
        });
    }
    for (path, item) in &mut description.paths.paths {
        for operation in super::operations_mut(item) {
            complete_headers(operation);
            for parameter in operation.parameters.iter_mut().flatten() {
                if let RefOr::T(parameter) = parameter {
                    complete_parameter(path, parameter);
                }
            }
        }
    }
}

fn complete_members(object: &mut Object) {
    for (name, member) in &mut object.properties {
        let RefOr::T(Schema::Object(member)) = member else {
            continue;
        };
        if is(member, &Type::String) && member.enum_values.is_none() && member.format.is_none() {
            let known = TEXTS.iter().find(|(known, _)| known == name);
            if let (Some((_, pattern)), None) = (known, &member.pattern) {
                member.pattern = Some((*pattern).to_owned());
            }
        }
        if is(member, &Type::Integer)
            && let Some((_, least)) = LEAST.iter().find(|(known, _)| known == name)
        {
            member.minimum.get_or_insert(Number::Int(*least));
        }
    }
}

fn is(object: &Object, wanted: &Type) -> bool {
    match &object.schema_type {
        SchemaType::Type(one) => one == wanted,
        SchemaType::Array(types) => types.contains(wanted),
        SchemaType::AnyValue => false,
    }
}

/// Bounds integers to what every JSON reader keeps exactly, including those that use doubles: less than the int64 of the
/// format suggests.
fn bound(object: &mut Object) {
    if !is(object, &Type::Integer) {
        return;
    }
    let (low, high) = match &object.format {
        Some(SchemaFormat::KnownFormat(KnownFormat::Int32)) => (i32::MIN as isize, i32::MAX as isize),
        _ => {
            let bound = isize::try_from(MAX_BALANCE).unwrap_or(isize::MAX);
            (-bound, bound)
        }
    };
    object.minimum.get_or_insert(Number::Int(low));
    object.maximum.get_or_insert(Number::Int(high));
}

fn complete_headers(operation: &mut Operation) {
    for response in operation.responses.responses.values_mut() {
        let RefOr::T(response) = response else { continue };
        for (name, header) in &mut response.headers {
            if let RefOr::T(header) = header {
                complete_header(name, header);
            }
        }
    }
}

fn complete_header(name: &str, header: &mut Header) {
    let Some((_, what, pattern, example)) = HEADERS.iter().find(|(known, ..)| *known == name) else {
        return;
    };
    header.description.get_or_insert_with(|| (*what).to_owned());
    let Some(RefOr::T(Schema::Object(schema))) = &mut header.schema else {
        return;
    };
    if is(schema, &Type::Integer) {
        schema.examples = vec![json!(1)];
    } else {
        schema.examples = vec![json!(example)];
        if FLAGS.contains(&name) {
            schema.enum_values = Some(vec![json!(example)]);
        } else {
            schema.pattern = Some((*pattern).to_owned());
        }
    }
}

/// A parameter may be omitted, but no text means null; its format is the same everywhere.
fn complete_parameter(path: &str, parameter: &mut Parameter) {
    let Some(schema) = &mut parameter.schema else {
        return;
    };
    shape::not_null(schema);
    let name = parameter.name.as_str();
    let own = PARAMETERS.iter().find(|(known, ..)| *known == name);
    let example: Option<Value> = match schema {
        RefOr::T(Schema::Array(list)) => {
            // One parameter with comma-separated values.
            parameter.style = Some(ParameterStyle::Form);
            parameter.explode = Some(false);
            list.min_items = Some(1);
            if let ArrayItems::RefOrSchema(items) = &mut list.items {
                shape::not_null(items);
            }
            None
        }
        RefOr::T(Schema::Object(schema)) if is(schema, &Type::String) => {
            if let Some((_, pattern, _)) = own.filter(|(_, pattern, _)| !pattern.is_empty()) {
                schema.pattern = Some((*pattern).to_owned());
            }
            if TIMES.contains(&name) {
                schema.format = Some(SchemaFormat::KnownFormat(KnownFormat::DateTime));
            }
            let id = IDS.iter().filter(|(of, _)| name == "id" && path.starts_with(of));
            let id = id.map(|(_, id)| json!(id)).next();
            id.or_else(|| own.map(|(_, _, example)| json!(example)))
        }
        RefOr::T(Schema::Object(schema)) => {
            let number = NUMBERS.iter().find(|(known, ..)| *known == name);
            number.map(|(_, example, default)| {
                schema.default = default.map(Value::from);
                json!(example)
            })
        }
        RefOr::T(_) | RefOr::Ref(_) => None,
    };
    // Only the serialized parameter shows whether there already is one.
    let described = serde_json::to_value(&*parameter).unwrap_or_default();
    if example.is_some() && described.get("example").is_none() {
        *parameter = ParameterBuilder::from(parameter.clone()).example(example).build();
    }
}
