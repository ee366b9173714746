//! The OpenAPI description of the whole interface: the parts that the crates bring, and what they have in common. Routes
//! and their descriptions stand side by side in those crates; nothing is described here but the description itself.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::ExitCode;

use utoipa::Number;
use utoipa::openapi::path::{Operation, Parameter};
use utoipa::openapi::schema::{ArrayItems, KnownFormat, Schema, SchemaFormat, SchemaType, Type};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{InfoBuilder, License, OpenApi, PathItem, RefOr, ServerBuilder};
use wallex_domain::MAX_BALANCE;

const DESCRIPTION: &str = "\
Event-sourced wallets. Amounts are integers in minor units of the wallet's currency: 12.34 EUR is 1234.

Every write carries an `Idempotency-Key`; the same key with the same request gets the first answer again, whatever \
happened in between. A write's answer says in `Wallex-Position` where it stands; a read with that value in \
`Wallex-Min-Position` contains it. Errors are problems of RFC 9457 with a stable `code`, and each code has a page.";

/// What operations are grouped by, in the order of the description.
const TAGS: &[(&str, &str)] = &[
    (
        "wallets",
        "Wallets: opening, reading, credits and debits, history, status",
    ),
    ("transfers", "Moving money from one wallet to another"),
    ("holds", "Setting money aside, to take it or give it back later"),
    ("transactions", "What was done, by its id, and undoing it"),
    ("batches", "Up to 1,000 commands in one request"),
    ("ledger", "Double entry: accounts, postings, the trial balance"),
    (
        "operations",
        "For those who run it: health, metrics, this description",
    ),
];

/// Headers of answers that mean the same wherever they stand, for those that a route does not describe itself.
const HEADERS: &[(&str, &str)] = &[
    ("ETag", "The wallet's version, quoted, for If-Match"),
    (
        "Wallex-Position",
        "Where the events stand in the journal, for Wallex-Min-Position",
    ),
    ("Location", "Where to read what this has made"),
    (
        "Idempotency-Replayed",
        "true when this is an earlier answer given again; absent otherwise",
    ),
    ("Retry-After", "Seconds"),
];

/// What the values of parameters look like, wherever they stand.
const PATTERNS: &[(&str, &str)] = &[
    ("Idempotency-Key", "^[!-~]{1,255}$"),
    ("If-Match", r#"^"[0-9]{1,18}"$"#),
    (
        "Wallex-Min-Position",
        "^[0-9]{1,9}:[0-9]{1,18}(,[0-9]{1,9}:[0-9]{1,18}){0,255}$",
    ),
    ("cursor", "^[0-9a-f]+$"),
    ("owner", PLAIN_TEXT),
    ("external_id", PLAIN_TEXT),
    ("reference", PLAIN_TEXT),
    ("consistency", "^strong$"),
    ("status", "^(open|captured|released|expired)$"),
    ("type", "^[a-z_]+(,[a-z_]+)*$"),
    (
        "account",
        "^((wallet|hold):[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|external:[A-Z][A-Z0-9]{2,7})$",
    ),
];

/// No control characters but line feed and tab.
const PLAIN_TEXT: &str = r"^[^\x00-\x08\x0b-\x1f\x7f-\x9f]*$";

/// Parameters that are times as in RFC 3339.
const TIMES: &[&str] = &["from", "to", "at"];

/// Writes and reads: what the command role and `dev` serve.
pub(crate) fn full() -> OpenApi {
    let mut description = wallex_command::openapi();
    description.merge(wallex_query::openapi());
    complete(description)
}

/// Reads only: what the query role serves.
pub(crate) fn reads() -> OpenApi {
    complete(wallex_query::openapi())
}

/// Prints [`full`].
pub(crate) fn print() -> anyhow::Result<ExitCode> {
    writeln!(std::io::stdout(), "{}", full().to_pretty_json()?)?;
    Ok(ExitCode::SUCCESS)
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(description))]
struct Own;

/// Gives this description.
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "operations",
    operation_id = "getDescription",
    responses((status = 200, description = "An OpenAPI 3.1 document of what this process serves", body = serde_json::Value, content_type = "application/json"))
)]
#[expect(dead_code, reason = "carries the description of the route in api.rs")]
fn description() {}

fn complete(mut description: OpenApi) -> OpenApi {
    description.merge(wallex_platform::http::openapi());
    description.merge(<Own as utoipa::OpenApi>::openapi());
    description.info = InfoBuilder::new()
        .title("Wallex")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(DESCRIPTION))
        .license(Some(
            License::builder()
                .name("Apache License 2.0")
                .identifier(Some("Apache-2.0"))
                .build(),
        ))
        .build();
    let server = |url: &str, what: &str| ServerBuilder::new().url(url).description(Some(what)).build();
    description.servers = Some(vec![
        server("/", "The server that this description came from"),
        server("http://localhost:3000", "`wallex dev`"),
    ]);
    let components = description.components.iter_mut();
    for schema in components.flat_map(|components| components.schemas.values_mut()) {
        bound_integers(schema);
    }
    for path in description.paths.paths.values_mut() {
        for operation in operations_mut(path) {
            describe_headers(operation);
            for parameter in operation.parameters.iter_mut().flatten() {
                if let RefOr::T(parameter) = parameter {
                    complete_parameter(parameter);
                }
            }
        }
    }
    let used: BTreeSet<&str> = description
        .paths
        .paths
        .values()
        .flat_map(operations)
        .flat_map(|operation| operation.tags.iter().flatten())
        .map(String::as_str)
        .collect();
    let tags = TAGS
        .iter()
        .filter(|(name, _)| used.contains(name))
        .map(|(name, what)| TagBuilder::new().name(*name).description(Some(*what)).build())
        .collect();
    description.tags = Some(tags);
    description
}

/// Every integer in an answer or a body is one that JSON readers keep exactly, also those that count in doubles: that is
/// less than the int64 of its format says.
fn bound_integers(schema: &mut RefOr<Schema>) {
    let RefOr::T(schema) = schema else { return };
    match schema {
        Schema::Object(object) => {
            let is_integer = match &object.schema_type {
                SchemaType::Type(one) => *one == Type::Integer,
                SchemaType::Array(types) => types.contains(&Type::Integer),
                SchemaType::AnyValue => false,
            };
            if is_integer {
                let bound = isize::try_from(MAX_BALANCE).unwrap_or(isize::MAX);
                object.minimum.get_or_insert(Number::Int(-bound));
                object.maximum.get_or_insert(Number::Int(bound));
            }
            object.properties.values_mut().for_each(bound_integers);
        }
        Schema::Array(array) => {
            if let ArrayItems::RefOrSchema(items) = &mut array.items {
                bound_integers(items);
            }
        }
        Schema::OneOf(one) => one.items.iter_mut().for_each(bound_integers),
        Schema::AllOf(all) => all.items.iter_mut().for_each(bound_integers),
        Schema::AnyOf(any) => any.items.iter_mut().for_each(bound_integers),
        // The enum may grow; what it has today is above.
        _ => {}
    }
}

fn describe_headers(operation: &mut Operation) {
    for response in operation.responses.responses.values_mut() {
        let RefOr::T(response) = response else { continue };
        for (name, header) in &mut response.headers {
            if let RefOr::T(header) = header
                && header.description.is_none()
            {
                let known = HEADERS.iter().find(|(known, _)| known == name);
                header.description = known.map(|(_, what)| (*what).to_owned());
            }
        }
    }
}

/// A parameter may be left out, but no text stands for null; and its form is the same wherever it stands.
fn complete_parameter(parameter: &mut Parameter) {
    let Some(RefOr::T(Schema::Object(schema))) = &mut parameter.schema else {
        return;
    };
    if let SchemaType::Array(types) = &schema.schema_type {
        let mut given = types.iter().filter(|one| **one != Type::Null);
        if let (Some(one), None) = (given.next(), given.next()) {
            schema.schema_type = SchemaType::Type(one.clone());
        }
    }
    if let Some((_, pattern)) = PATTERNS.iter().find(|(name, _)| *name == parameter.name) {
        schema.pattern = Some((*pattern).to_owned());
    }
    if TIMES.contains(&parameter.name.as_str()) {
        schema.format = Some(SchemaFormat::KnownFormat(KnownFormat::DateTime));
    }
}

fn operations_mut(path: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [
        &mut path.get,
        &mut path.put,
        &mut path.post,
        &mut path.delete,
        &mut path.patch,
    ]
    .into_iter()
    .flatten()
}

fn operations(path: &PathItem) -> impl Iterator<Item = &Operation> {
    [&path.get, &path.put, &path.post, &path.delete, &path.patch]
        .into_iter()
        .flatten()
}
