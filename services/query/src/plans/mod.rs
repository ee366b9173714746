//! Holds the statements to their plans: a module for each schema.

mod ledger;
mod read_model;
