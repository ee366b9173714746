//! The API description of commands, on their own routes and in batches. It is derived from [`Request`].

use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{Content, HeaderBuilder, Ref, RefOr, Required, ResponseBuilder, Schema};
use wallex_runtime::http::headers::{IDEMPOTENCY_KEY, IDEMPOTENCY_REPLAYED, POSITION};
use wallex_runtime::http::{Problems, capitalised, with_problems};

use crate::fields::Fields;
use crate::headers::Origin;
use crate::problem;
use crate::request::{self, Expected, Request, Route};

/// The command's own route with its full description.
pub(crate) fn route<R: Request>((mut schemas, mut paths, router): Route) -> Route {
    for operation in paths.paths.values_mut().filter_map(operation) {
        let request = named(operation, "Request");
        complete::<R>(operation, &request);
        let body = Fields::describe(R::ABOUT, |fields| {
            R::read(fields);
        });
        schemas.push((request, body.into()));
    }
    let rejections = Problems {
        name: "",
        codes: R::REJECTIONS,
    };
    with_problems((schemas, paths, router), &[problem::WRITE, rejections])
}

/// The only operation of a command's path.
pub(crate) fn operation(path: &mut PathItem) -> Option<&mut Operation> {
    path.post.as_mut().or(path.patch.as_mut())
}

/// The name of an operation's own schema: `creditWallet` has `CreditWalletRequest`.
pub(crate) fn named(operation: &Operation, what: &str) -> String {
    let id = operation.operation_id.as_deref().unwrap_or_default();
    format!("{}{what}", capitalised(id))
}

/// Adds what depends on the kind of command to the operation of its route.
fn complete<R: Request>(operation: &mut Operation, request: &str) {
    let target = R::TARGET.map(|target| {
        let uuid = string().format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid)));
        parameter("id", ParameterIn::Path, target.id, uuid, Required::True)
    });
    let key = string().min_length(Some(1)).max_length(Some(255));
    let about = "1 to 255 visible ASCII characters; the same for every retry";
    let key = parameter(IDEMPOTENCY_KEY, ParameterIn::Header, about, key, Required::True);
    let version = R::EXPECTS.map(|Expected { header, .. }| {
        parameter("If-Match", ParameterIn::Header, header, string(), Required::False)
    });
    let parameters = target.into_iter().chain([key]).chain(version);
    operation.parameters = Some(parameters.map(RefOr::T).collect());

    let body = RequestBodyBuilder::new().content(JSON, content(request));
    let body = if request::may_be_absent::<R>() {
        let body = body.required(Some(Required::False));
        body.description(Some("No body is the same as {}"))
    } else {
        body.required(Some(Required::True))
    };
    operation.request_body = Some(body.build().into());

    let done = ResponseBuilder::new()
        .description(R::DONE)
        .content(JSON, content(R::ANSWER.name));
    let headers = ["ETag", POSITION, "Location", IDEMPOTENCY_REPLAYED];
    let done = headers.into_iter().fold(done, |done, name| {
        let about = R::ANSWER.etag.filter(|_| name == "ETag");
        let header = HeaderBuilder::new().schema(Some(string())).description(about);
        done.header(name, header.build())
    });
    operation
        .responses
        .responses
        .insert("201".to_owned(), done.build().into());
}

/// The schema of the command inside a batch.
pub(crate) fn in_batch<R: Request>() -> RefOr<Schema> {
    let nowhere = Origin {
        caller: "",
        key: "",
        index: 0,
    };
    let object = Fields::describe(R::ABOUT_IN_BATCH, |fields| {
        request::read::<R>(fields, nowhere);
    });
    let r#type = string()
        .description(Some("What to do; it decides which fields there are."))
        .enum_values(Some([R::TYPE]));
    let mut object = object.property("type", r#type).build();
    object.required.insert(0, "type".to_owned());
    Schema::Object(object).into()
}

const JSON: &str = "application/json";

fn content(schema: &str) -> Content {
    Content::new(Some(Ref::from_schema_name(schema)))
}

fn string() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

fn parameter(
    name: &str,
    place: ParameterIn,
    about: &str,
    schema: ObjectBuilder,
    required: Required,
) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .description(Some(about))
        .schema(Some(schema))
        .required(required)
        .build()
}
