//! An entry in the list of all kinds of commands: its route, how a batch reads it, and the description of both.

use utoipa::openapi::{RefOr, Schema};
use wallex_runtime::http::Code;

use crate::answer::Shape;
use crate::describe;
use crate::fields::Fields;
use crate::headers::Origin;
use crate::request::{self, Read, Request, Route};

/// A kind of command, as batches and the API description see it.
pub(crate) struct Registered {
    pub(crate) r#type: &'static str,
    pub(crate) answer: &'static Shape,
    pub(crate) rejections: &'static [Code],
    /// Reads a command of a batch, except its type.
    pub(crate) read: fn(&mut Fields<'_>, Origin<'_>) -> Option<Read>,
    route: fn() -> Route,
    describe: fn(Route) -> Route,
    schema: fn() -> RefOr<Schema>,
}

impl Registered {
    pub(crate) const fn of<R: Request>(route: fn() -> Route) -> Self {
        Self {
            r#type: R::TYPE,
            answer: R::ANSWER,
            rejections: R::REJECTIONS,
            read: request::read::<R>,
            route,
            describe: describe::route::<R>,
            schema: describe::in_batch::<R>,
        }
    }

    /// The command's own route, with its description.
    pub(crate) fn route(&self) -> Route {
        (self.describe)((self.route)())
    }

    /// The command's name and schema in a batch.
    pub(crate) fn schema(&self) -> (String, RefOr<Schema>) {
        let (_, mut paths, _) = (self.route)();
        let mut operations = paths.paths.values_mut().filter_map(describe::operation);
        let name = operations
            .next()
            .map(|operation| describe::named(operation, "Command"));
        (name.unwrap_or_default(), (self.schema)())
    }
}
