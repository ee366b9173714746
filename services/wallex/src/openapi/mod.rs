//! The OpenAPI description of the whole interface: the crates' parts and what they have in common. Routes and their
//! descriptions are next to each other in those crates; only the description itself is described here.

mod examples;
mod shape;
mod values;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router};
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, Schema, Type};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{InfoBuilder, License, OpenApi, PathItem, RefOr, ServerBuilder};
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use wallex_runtime::http::{Code, Problems, add_problems, with_problems};

const DESCRIPTION: &str = "\
Event-sourced wallets. Amounts are integers in minor units of the wallet's currency: 12.34 EUR is 1234.

Every write carries an `Idempotency-Key`; the same key with the same request gets the first answer again, whatever \
happened in between. A write's answer says in `Wallex-Position` where it stands; a read with that value in \
`Wallex-Min-Position` contains it. Errors are problems of RFC 9457 with a stable `code`, and each code has a page.";

/// The groups of operations, in the order of the description.
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

/// The problems that may be returned instead of the description: like every route, it is unavailable before startup
/// completes.
const OWN: Problems = Problems {
    name: "",
    codes: &[Code::Internal, Code::Unavailable],
};

/// The route of the description, which describes itself.
pub(crate) fn route(served: OpenApi) -> Router {
    let state = Arc::new(served);
    own().with_state(state).into()
}

fn own() -> OpenApiRouter<Arc<OpenApi>> {
    OpenApiRouter::default().routes(with_problems(routes!(give), &[OWN]))
}

/// Gives this description.
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "operations",
    operation_id = "getDescription",
    responses((status = 200, description = "An OpenAPI 3.1 document of what this process serves", body = Document, content_type = "application/json"))
)]
async fn give(State(served): State<Arc<OpenApi>>) -> Response {
    Json(&*served).into_response()
}

/// An OpenAPI document.
enum Document {}

impl PartialSchema for Document {
    fn schema() -> RefOr<Schema> {
        let version = ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some(r"^3\.1\.[0-9]+$"))
            .description(Some("Version of the specification that the document follows."));
        let document = ObjectBuilder::new()
            .property("openapi", version)
            .required("openapi")
            .description(Some("An OpenAPI document."))
            .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(true)));
        document.into()
    }
}

impl ToSchema for Document {
    fn name() -> Cow<'static, str> {
        "OpenApiDocument".into()
    }
}

fn complete(mut description: OpenApi) -> OpenApi {
    description.merge(wallex_runtime::http::openapi());
    description.merge(own().into_openapi());
    add_problems(&mut description);
    shape::straighten(&mut description);
    values::complete(&mut description);
    examples::add(&mut description);
    shape::prune(&mut description);
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
