//! The HTTP side of every role: server, health routes, metrics of requests, and the one shape of errors.

mod observe;
mod problem;
mod serve;

pub use problem::{Problem, ProblemBody};
pub use serve::{ServeError, bind, router, serve, serve_on, serve_starting};
