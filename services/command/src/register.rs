//! All kinds of commands: the one list. From it follow the routes, the commands that a batch may hold, and the API description
//! of both.

use utoipa::openapi::{RefOr, Schema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use wallex_runtime::http::Code;

use crate::answer::{self, Shape};
use crate::commands::{
    capture, close, create, credit, debit, erase, freeze, hold, overdraft_limit, release, reverse, transfer,
    unfreeze,
};
use crate::describe;
use crate::fields::Fields;
use crate::headers::Origin;
use crate::request::{self, Read, Request, Route};
use crate::state::CommandState;

/// In the order of the API description.
pub(crate) const COMMANDS: &[Registered] = &[
    Registered::of::<create::Create>(|| routes!(create::create_wallet)),
    Registered::of::<credit::Credit>(|| routes!(credit::credit)),
    Registered::of::<debit::Debit>(|| routes!(debit::debit)),
    Registered::of::<transfer::Transfer>(|| routes!(transfer::transfer)),
    Registered::of::<hold::Hold>(|| routes!(hold::place_hold)),
    Registered::of::<capture::Capture>(|| routes!(capture::capture_hold)),
    Registered::of::<release::Release>(|| routes!(release::release_hold)),
    Registered::of::<reverse::Reversal>(|| routes!(reverse::reverse)),
    Registered::of::<freeze::Freeze>(|| routes!(freeze::freeze)),
    Registered::of::<unfreeze::Unfreeze>(|| routes!(unfreeze::unfreeze)),
    Registered::of::<close::Close>(|| routes!(close::close)),
    Registered::of::<overdraft_limit::OverdraftLimit>(|| routes!(overdraft_limit::overdraft_limit)),
    Registered::of::<erase::Erase>(|| routes!(erase::erase)),
];

/// A kind of command, as batches and the API description see it.
pub(crate) struct Registered {
    pub(crate) r#type: &'static str,
    pub(crate) answer: &'static Shape,
    pub(crate) rejections: &'static [Code],
    /// Reads one of a batch, all but its type.
    pub(crate) read: fn(&mut Fields<'_>, Origin<'_>) -> Option<Read>,
    route: fn() -> Route,
    describe: fn(Route) -> Route,
    schema: fn() -> RefOr<Schema>,
}

impl Registered {
    const fn of<R: Request>(route: fn() -> Route) -> Self {
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

    /// The name and the schema that it has in a batch.
    pub(crate) fn schema(&self) -> (String, RefOr<Schema>) {
        let (_, paths, _) = (self.route)();
        let mut operations = paths.paths.values().filter_map(|path| path.post.as_ref());
        let name = operations
            .next()
            .map(|operation| describe::named(operation, "Command"));
        (name.unwrap_or_default(), (self.schema)())
    }
}

/// Every command's own route.
pub(crate) fn routes() -> OpenApiRouter<CommandState> {
    let mut router = OpenApiRouter::default();
    for command in COMMANDS {
        router = router.routes((command.describe)((command.route)()));
    }
    let components = router.get_openapi_mut().components.get_or_insert_default();
    components.schemas.extend(answer::parts());
    for Registered { answer, .. } in COMMANDS {
        let alike = COMMANDS
            .iter()
            .filter(|command| command.answer.name == answer.name);
        let schema = answer.schema(alike.map(|command| command.r#type));
        components.schemas.insert(answer.name.to_owned(), schema);
    }
    router
}
