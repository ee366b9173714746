//! The HTTP side of every role: server, health routes, metrics of requests, and the one shape of errors.

mod bodies;
mod connections;
mod health;
mod id;
mod limits;
mod log_level;
mod observe;
mod parameters;
mod problem;
mod serve;
mod time;
mod watched;

pub use health::openapi;
pub use id::{Id, InvalidId};
pub use limits::{Limits, Patience};
pub use parameters::{NoParameters, Parameters};
pub use problem::{Extension, Invalid, Problem, ProblemBody};
pub use serve::{Ending, ServeError, bind, router, serve, serve_on, serve_starting};
pub use time::rfc3339;
