//! The API description of commands, on their own routes and in batches. It is derived from [`Request`].

use axum::routing::MethodRouter;
use utoipa::openapi::path::{OperationBuilder, Parameter, ParameterBuilder, ParameterIn, Paths};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{Content, HeaderBuilder, Ref, RefOr, Required, ResponseBuilder, Schema};
use utoipa_axum::PathItemExt as _;
use wallex_runtime::http::headers::{IDEMPOTENCY_KEY, IDEMPOTENCY_REPLAYED, POSITION};
use wallex_runtime::http::{Problems, with_problems};

use crate::fields::Fields;
use crate::headers::Origin;
use crate::problem;
use crate::request::{self, Expected, OwnRoute, Request, Route};

/// The command's own route with its full description.
pub(crate) fn route<R: Request>() -> Route {
    let OwnRoute { method, path, .. } = R::ROUTE;
    let request = R::ROUTE.schema("Request");
    let body = Fields::describe(R::ABOUT, |fields| {
        R::read(fields);
    });
    let handler = MethodRouter::new().on(method.to_method_filter(), request::run::<R>);
    let mut paths = Paths::new();
    paths.add_path_operation(path, vec![method], operation::<R>(&request));
    let rejections = Problems {
        name: "",
        codes: R::REJECTIONS,
    };
    let route = (vec![(request, body.into())], paths, handler);
    with_problems(route, &[problem::WRITE, rejections])
}

fn operation<R: Request>(request: &str) -> OperationBuilder {
    let OwnRoute { tag, id, summary, .. } = R::ROUTE;
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

    let body = RequestBodyBuilder::new().content(JSON, content(request));
    let body = if request::may_be_absent::<R>() {
        let body = body.required(Some(Required::False));
        body.description(Some("No body is the same as {}"))
    } else {
        body.required(Some(Required::True))
    };

    let done = ResponseBuilder::new()
        .description(R::DONE)
        .content(JSON, content(R::ANSWER.name));
    let headers = ["ETag", POSITION, "Location", IDEMPOTENCY_REPLAYED];
    let done = headers.into_iter().fold(done, |done, name| {
        let about = R::ANSWER.etag.filter(|_| name == "ETag");
        let header = HeaderBuilder::new().schema(Some(string())).description(about);
        done.header(name, header.build())
    });
    OperationBuilder::new()
        .tag(tag)
        .summary(Some(summary))
        .operation_id(Some(id))
        .parameters(Some(parameters))
        .request_body(Some(body.build()))
        .response("201", done)
}

/// The name and the schema of the command inside a batch.
pub(crate) fn in_batch<R: Request>() -> (String, RefOr<Schema>) {
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
    (R::ROUTE.schema("Command"), Schema::Object(object).into())
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
