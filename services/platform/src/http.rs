//! The HTTP side of every role: server, health routes, metrics of requests, and the one shape of errors.

mod bodies;
mod connections;
mod health;
mod limits;
mod log_level;
mod observe;
mod problem;
mod serve;
mod watched;

pub use health::openapi;
pub use limits::{Limits, Patience};
pub use problem::{Problem, ProblemBody};
pub use serve::{Ending, ServeError, bind, router, serve, serve_on, serve_starting};
