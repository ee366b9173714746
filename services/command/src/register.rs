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
    /// The command's own route, with its description.
    pub(crate) route: fn() -> Route,
    /// The command's name and schema in a batch.
    pub(crate) schema: fn() -> (String, RefOr<Schema>),
}

impl Registered {
    pub(crate) const fn of<R: Request>() -> Self {
        Self {
            r#type: R::TYPE,
            answer: R::ANSWER,
            rejections: R::REJECTIONS,
            read: request::read::<R>,
            route: describe::route::<R>,
            schema: describe::in_batch::<R>,
        }
    }
}
