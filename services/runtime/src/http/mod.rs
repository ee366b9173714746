//! The HTTP side of every role: server, health routes, request metrics, and the common form of errors.

mod bodies;
pub mod client;
mod code;
mod connections;
mod describe;
mod extension;
pub mod headers;
mod health;
mod id;
mod limits;
mod log_level;
mod memory;
mod observe;
mod parameters;
mod problem;
mod serve;
mod text;
mod time;
mod watched;

pub use code::Code;
pub use describe::{PROBLEM, Problems, Route, add_problems, capitalised, with_problems};
pub use extension::Extension;
pub use health::openapi;
pub use id::{Id, InvalidId};
pub use limits::{Limits, Patience};
pub use parameters::{NoParameters, Parameters};
pub use problem::{Invalid, Problem};
pub use serve::{Ending, ServeError, bind, router, serve_during, serve_on, serve_starting};
pub use text::{InvalidText, MAX_NAME, check_text};
pub use time::rfc3339;
