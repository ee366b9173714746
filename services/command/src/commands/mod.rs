//! The kinds of commands, each with its body, its meaning to the journal, its route and its description. They know
//! nothing of one another, nor of batches.
//!
//! This is the only list of them: a new kind gets a file, and a module and a row here. The routes, the commands that a
//! batch accepts, and the API description of both follow from the list.

pub(crate) mod capture;
pub(crate) mod change;
pub(crate) mod close;
pub(crate) mod create;
pub(crate) mod credit;
pub(crate) mod debit;
pub(crate) mod erase;
pub(crate) mod extend;
pub(crate) mod freeze;
pub(crate) mod hold;
pub(crate) mod overdraft_limit;
pub(crate) mod release;
pub(crate) mod reverse;
pub(crate) mod transfer;
pub(crate) mod unfreeze;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::answer;
use crate::register::Registered;
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
    Registered::of::<extend::Extend>(|| routes!(extend::extend_hold)),
    Registered::of::<change::ChangeDetails>(|| routes!(change::change_wallet)),
];

/// Every command's own route.
pub(crate) fn routes() -> OpenApiRouter<CommandState> {
    let mut router = OpenApiRouter::default();
    for command in COMMANDS {
        router = router.routes(command.route());
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
