//! Problems in API descriptions: a schema per [`Code`] with its members, and for each status of an operation the
//! codes that it may have. Typed by `code`, so that a generated client knows what it can read.
//!
//! The invariant: the description follows from [`Code`] alone; nothing about a problem is written down twice.

use std::collections::BTreeMap;

use http::StatusCode;
use serde_json::{Map, Value, json};
use utoipa::openapi::example::{Example, ExampleBuilder};
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::{
    ArrayBuilder, Discriminator, KnownFormat, ObjectBuilder, OneOfBuilder, Schema, SchemaFormat, Type,
};
use utoipa::openapi::{ContentBuilder, HeaderBuilder, OpenApi, Ref, RefOr, Response, ResponseBuilder};
use utoipa_axum::router::UtoipaMethodRouter;

use super::{Code, Extension};

/// The schema of a problem of any code.
pub const PROBLEM: &str = "Problem";
const CODE: &str = "ProblemCode";
const INVALID: &str = "ValidationError";

const MEDIA_TYPE: &str = "application/problem+json";
/// The largest integer that every JSON reader represents exactly: 2^53 - 1.
const EXACT: i64 = 9_007_199_254_740_991;

/// Codes that belong together, and the name for schemas that contain only these: those of `write` with the status 400 are
/// `WriteBadRequestProblem`. A schema that mixes several groups, or one without a name, is named after the operation.
#[derive(Debug, Clone, Copy)]
pub struct Problems {
    pub name: &'static str,
    pub codes: &'static [Code],
}

/// A route with its description.
pub type Route<S = ()> = UtoipaMethodRouter<S>;

/// Adds to a route's description the problems it may be answered with: those of each of `groups`.
pub fn with_problems<S>((mut schemas, mut paths, router): Route<S>, groups: &[Problems]) -> Route<S> {
    for path in paths.paths.values_mut() {
        for operation in [&mut path.get, &mut path.post, &mut path.patch]
            .into_iter()
            .flatten()
        {
            schemas.extend(describe_problems(operation, groups));
        }
    }
    (schemas, paths, router)
}

/// Returns the schemas that the operation now refers to, beyond those of [`add_problems`].
fn describe_problems(operation: &mut Operation, groups: &[Problems]) -> Vec<(String, RefOr<Schema>)> {
    let mut by_status: BTreeMap<u16, Vec<(Code, &'static str)>> = BTreeMap::new();
    for group in groups {
        for code in group.codes {
            let codes = by_status.entry(code.status().as_u16()).or_default();
            if !codes.iter().any(|(known, _)| known == code) {
                codes.push((*code, group.name));
            }
        }
    }
    let operation_id = operation.operation_id.clone().unwrap_or_default();
    let mut unions = Vec::new();
    for (status, codes) in by_status {
        let (codes, names): (Vec<Code>, Vec<&str>) = codes.into_iter().unzip();
        let schema = match &codes[..] {
            [one] => problem_name(*one),
            several => {
                let shared = names
                    .first()
                    .filter(|first| names.iter().all(|name| name == *first));
                let shared = shared.filter(|name| !name.is_empty()).copied();
                let name = capitalised(shared.unwrap_or(&operation_id));
                let name = format!("{name}{}Problem", status_name(status));
                unions.push((name.clone(), union(several)));
                name
            }
        };
        let responses = &mut operation.responses.responses;
        responses.insert(status.to_string(), response(&codes, &schema).into());
    }
    unions
}

/// Adds what [`with_problems`] refers to: a schema and an example of each code.
pub fn add_problems(description: &mut OpenApi) {
    let components = description.components.get_or_insert_default();
    components.schemas.extend(problem_schemas());
    let examples = Code::ALL
        .iter()
        .map(|code| (problem_name(*code), example_of(*code).into()));
    components.examples.extend(examples);
}

/// A schema for each code, and the schemas it is composed of.
fn problem_schemas() -> impl Iterator<Item = (String, RefOr<Schema>)> {
    let of_codes = Code::ALL.iter().map(|code| (problem_name(*code), of_code(*code)));
    of_codes.chain([
        (PROBLEM.to_owned(), of_any_code()),
        (CODE.to_owned(), codes()),
        (INVALID.to_owned(), invalid()),
    ])
}

fn problem_name(code: Code) -> String {
    format!("{}Problem", code.type_name())
}

/// The name of an operation as a schema prefix: `creditWallet` as `CreditWallet`.
pub fn capitalised(name: &str) -> String {
    let mut letters = name.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

fn status_name(status: u16) -> &'static str {
    match StatusCode::from_u16(status).unwrap_or_default() {
        StatusCode::BAD_REQUEST => "BadRequest",
        StatusCode::NOT_FOUND => "NotFound",
        StatusCode::CONFLICT => "Conflict",
        StatusCode::UNPROCESSABLE_ENTITY => "Unprocessable",
        StatusCode::SERVICE_UNAVAILABLE => "Unavailable",
        // No other status is shared by two codes.
        _ => "Other",
    }
}

fn response(codes: &[Code], schema: &str) -> Response {
    let said = codes
        .iter()
        .map(|code| format!("`{}`: {}", code.as_str(), code.title()));
    let content = codes.iter().fold(
        ContentBuilder::new().schema(Some(Ref::from_schema_name(schema))),
        |content, code| {
            let example = Ref::new(format!("#/components/examples/{}", problem_name(*code)));
            content.examples_from_iter([(code.as_str(), RefOr::<Example>::Ref(example))])
        },
    );
    let response = ResponseBuilder::new()
        .description(said.collect::<Vec<_>>().join(". "))
        .content(MEDIA_TYPE, content.build());
    let response = match codes.first().map(|code| code.status()) {
        Some(StatusCode::SERVICE_UNAVAILABLE) => response.header(
            "Retry-After",
            HeaderBuilder::new()
                .schema(Some(
                    ObjectBuilder::new()
                        .schema_type(Type::Integer)
                        .format(int(KnownFormat::Int32))
                        .minimum(Some(0))
                        .maximum(Some(3600)),
                ))
                .description(Some("Seconds"))
                .build(),
        ),
        Some(StatusCode::UNSUPPORTED_MEDIA_TYPE) => response.header(
            "Accept-Encoding",
            HeaderBuilder::new()
                .schema(Some(text()))
                .description(Some("When the body was encoded: what is taken instead"))
                .build(),
        ),
        _ => response,
    };
    response.build()
}

fn union(codes: &[Code]) -> RefOr<Schema> {
    let mut discriminator = Discriminator::new("code");
    for code in codes {
        let schema = Ref::from_schema_name(problem_name(*code)).ref_location;
        discriminator.mapping.insert(code.as_str().to_owned(), schema);
    }
    let items = codes
        .iter()
        .map(|code| Ref::from_schema_name(problem_name(*code)));
    let union = items.fold(OneOfBuilder::new(), OneOfBuilder::item);
    Schema::OneOf(union.discriminator(Some(discriminator)).build()).into()
}

fn of_code(code: Code) -> RefOr<Schema> {
    let name = code.as_str();
    let mut schema = frame()
        .property(
            "code",
            text()
                .enum_values(Some([name]))
                .description(Some("What to branch on.")),
        )
        .description(Some(format!("{}: {}", code.title(), code.page())))
        .examples([example(code)]);
    for member in code.always() {
        schema = schema
            .property(member.as_str(), member.schema())
            .required(member.as_str());
    }
    for member in code.sometimes() {
        schema = schema.property(member.as_str(), member.schema());
    }
    Schema::Object(schema.build()).into()
}

fn of_any_code() -> RefOr<Schema> {
    let schema = frame()
        .property("code", Ref::from_schema_name(CODE))
        .description(Some(
            "A problem of RFC 9457. Which members there are beyond the first five depends on `code`.",
        ))
        .examples([example(Code::InsufficientFunds)]);
    let schema = Extension::ALL.iter().fold(schema, |schema, member| {
        schema.property(member.as_str(), member.schema())
    });
    Schema::Object(schema.build()).into()
}

/// The members that every problem has, except `code`.
fn frame() -> ObjectBuilder {
    let status = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(int(KnownFormat::Int32))
        .minimum(Some(400))
        .maximum(Some(599))
        .description(Some("The status of the answer."));
    let frame = ObjectBuilder::new()
        .property(
            "type",
            text()
                .format(Some(SchemaFormat::Custom("uri".to_owned())))
                .description(Some("The page of the code: https://wallex.dev/errors/CODE.")),
        )
        .property(
            "title",
            text().description(Some("What the code means, for people. May be reworded.")),
        )
        .property("status", status)
        .property(
            "detail",
            text().description(Some("What happened this time, for people.")),
        );
    ["type", "title", "status", "detail", "code"]
        .into_iter()
        .fold(frame, ObjectBuilder::required)
}

fn codes() -> RefOr<Schema> {
    let names = Code::ALL.iter().map(|code| code.as_str());
    let schema = text()
        .enum_values(Some(names))
        .description(Some(
            "Stable: branch on it. Each has a page, https://wallex.dev/errors/CODE.",
        ))
        .examples([Code::InsufficientFunds.as_str()]);
    Schema::Object(schema.build()).into()
}

fn invalid() -> RefOr<Schema> {
    let schema = ObjectBuilder::new()
        .property(
            "pointer",
            text().description(Some(
                "JSON pointer (RFC 6901) into the body; empty for the body itself.",
            )),
        )
        .property(
            "parameter",
            text().description(Some(
                "Name of a parameter of the path or the query; empty for the query itself.",
            )),
        )
        .property("detail", text().description(Some("What it must be.")))
        .required("detail")
        .description(Some(
            "One thing that cannot be accepted: its pointer or its parameter, and what it must be.",
        ))
        .examples([invalid_example()]);
    Schema::Object(schema.build()).into()
}

fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

fn int(format: KnownFormat) -> Option<SchemaFormat> {
    Some(SchemaFormat::KnownFormat(format))
}

fn invalid_example() -> Value {
    json!({"pointer": "/amount", "detail": "must be an integer from 1 to 9000000000000000"})
}

fn example_of(code: Code) -> Example {
    ExampleBuilder::new()
        .summary(code.title())
        .value(Some(example(code)))
        .build()
}

/// An example of a problem.
fn example(code: Code) -> Value {
    let mut problem = Map::new();
    problem.insert("type".to_owned(), code.page().into());
    problem.insert("title".to_owned(), code.title().into());
    problem.insert("status".to_owned(), code.status().as_u16().into());
    problem.insert("detail".to_owned(), code.detail().into());
    problem.insert("code".to_owned(), code.as_str().into());
    let members = code
        .always()
        .iter()
        .map(|member| (member.as_str().to_owned(), member.example()));
    problem.extend(members);
    problem.into()
}

impl Extension {
    fn schema(self) -> RefOr<Schema> {
        let id = |what| {
            let id = text().format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid)));
            Schema::Object(id.description(Some(what)).build())
        };
        let integer = |what, low: i64, high: i64| {
            let integer = ObjectBuilder::new()
                .schema_type(Type::Integer)
                .format(int(KnownFormat::Int64));
            let bounded = integer.minimum(Some(low)).maximum(Some(high));
            Schema::Object(bounded.description(Some(what)).build())
        };
        let position = |what| Schema::Object(text().pattern(Some(POSITIONS)).description(Some(what)).build());
        let schema = match self {
            Self::Available => integer("Minor units that the wallet can spend.", -EXACT, EXACT),
            Self::Balance => integer("The wallet's balance, in minor units.", -EXACT, EXACT),
            Self::Errors => {
                let errors = ArrayBuilder::new()
                    .items(Ref::from_schema_name(INVALID))
                    .min_items(Some(1));
                Schema::Array(
                    errors
                        .description(Some("Everything that cannot be accepted."))
                        .build(),
                )
            }
            Self::Held => integer(
                "Minor units that the hold, or the wallet's holds, have set aside.",
                0,
                EXACT,
            ),
            Self::HoldId => id("The hold."),
            Self::HoldStatus => {
                let ended = text().enum_values(Some(["captured", "released", "expired"]));
                Schema::Object(ended.description(Some("How the hold has ended.")).build())
            }
            Self::Index => integer(
                "Place in the batch of the command to blame; the first is 0.",
                0,
                999,
            ),
            Self::Left => integer("Minor units that can still be reversed.", 0, EXACT),
            Self::Limit => integer("Open holds that a wallet may have.", 0, u32::MAX.into()),
            Self::Problem => return Ref::from_schema_name(PROBLEM).into(),
            Self::Reached => position("The positions that are there."),
            Self::Stale => {
                let stale = ObjectBuilder::new().schema_type(Type::Boolean);
                let what = "True when an event of the wallet could not be projected.";
                Schema::Object(stale.description(Some(what)).build())
            }
            Self::TransactionId => id("The transaction."),
            Self::Version => integer("The wallet's version.", 1, EXACT),
            Self::WalletId => id("The wallet that it is about, or that has what was asked for already."),
            Self::Wanted => position("The positions that were asked for."),
        };
        schema.into()
    }

    fn example(self) -> Value {
        match self {
            Self::Available => json!(6250),
            Self::Balance => json!(7250),
            Self::Errors => json!([invalid_example()]),
            Self::Held => json!(1000),
            Self::HoldId => json!("0198c0e1-2b64-7d2e-9a41-5c6d7e8f9a0b"),
            Self::HoldStatus => json!("released"),
            Self::Index => json!(1),
            Self::Left => json!(3000),
            Self::Limit => json!(100),
            Self::Problem => example(Code::InsufficientFunds),
            Self::Reached => json!("3:1041"),
            Self::Stale => json!(true),
            Self::TransactionId => json!("0198c0e0-4c1d-7b55-8f3e-2a3b4c5d6e7f"),
            Self::Version => json!(8),
            Self::WalletId => json!("0198c0de-7f3a-7c10-8000-1a2b3c4d5e6f"),
            Self::Wanted => json!("3:1042"),
        }
    }
}

/// Positions in the form of `Wallex-Min-Position`; an empty text means none.
const POSITIONS: &str = "^([0-9]{1,9}:[0-9]{1,19}(,[0-9]{1,9}:[0-9]{1,19})*)?$";

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::collections::BTreeSet;

    use super::*;

    /// A member that is written but not described would be unreadable to every typed client.
    #[test]
    fn every_code_is_described_with_its_members() {
        let schemas: BTreeMap<String, Value> = problem_schemas()
            .map(|(name, schema)| (name, serde_json::to_value(schema).unwrap()))
            .collect();
        for code in Code::ALL {
            let schema = &schemas[&problem_name(*code)];
            assert_eq!(schema["properties"]["code"]["enum"], json!([code.as_str()]));
            let required = schema["required"].as_array().unwrap();
            assert_eq!(required.len(), 5 + code.always().len(), "{code:?}");
            let members = schema["properties"].as_object().unwrap().len();
            assert_eq!(
                members,
                5 + code.always().len() + code.sometimes().len(),
                "{code:?}"
            );
        }
        let any = schemas[PROBLEM]["properties"].as_object().unwrap();
        assert!(
            Extension::ALL
                .iter()
                .all(|member| any.contains_key(member.as_str()))
        );
        assert_eq!(schemas[PROBLEM]["required"].as_array().unwrap().len(), 5);
    }

    #[test]
    fn a_name_belongs_to_one_code() {
        let names: BTreeSet<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(names.len(), Code::ALL.len());
    }

    /// Where several codes share a status, their union needs a name for that status.
    #[test]
    fn every_shared_status_has_a_name() {
        for code in Code::ALL {
            let shared = Code::ALL
                .iter()
                .filter(|other| other.status() == code.status())
                .count()
                > 1;
            let name = status_name(code.status().as_u16());
            assert_eq!(shared, name != "Other", "{code:?}");
        }
    }
}
