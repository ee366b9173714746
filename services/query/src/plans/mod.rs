//! Holds the statements to their plans: a module for each schema.

mod read_model;
