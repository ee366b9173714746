//! The kinds of commands, each with its body, what it means to the journal, its route and its description. They know nothing of
//! one another, nor of batches.

pub(crate) mod capture;
pub(crate) mod close;
pub(crate) mod create;
pub(crate) mod credit;
pub(crate) mod debit;
pub(crate) mod erase;
pub(crate) mod freeze;
pub(crate) mod hold;
pub(crate) mod overdraft_limit;
pub(crate) mod release;
pub(crate) mod reverse;
pub(crate) mod transfer;
pub(crate) mod unfreeze;
