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

use crate::answer;
use crate::register::Registered;
use crate::state::CommandState;

/// In the order of the API description.
pub(crate) const COMMANDS: &[Registered] = &[
    Registered::of::<create::Create>(),
    Registered::of::<credit::Credit>(),
    Registered::of::<debit::Debit>(),
    Registered::of::<transfer::Transfer>(),
    Registered::of::<hold::Hold>(),
    Registered::of::<capture::Capture>(),
    Registered::of::<release::Release>(),
    Registered::of::<reverse::Reversal>(),
    Registered::of::<freeze::Freeze>(),
    Registered::of::<unfreeze::Unfreeze>(),
    Registered::of::<close::Close>(),
    Registered::of::<overdraft_limit::OverdraftLimit>(),
    Registered::of::<erase::Erase>(),
    Registered::of::<extend::Extend>(),
    Registered::of::<change::ChangeDetails>(),
];

/// Every command's own route.
pub(crate) fn routes() -> OpenApiRouter<CommandState> {
    let mut router = OpenApiRouter::default();
    for command in COMMANDS {
        router = router.routes((command.route)());
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
