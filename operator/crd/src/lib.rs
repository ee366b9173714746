//! What the operator and `kubectl wallex` both know of a platform: the custom resource, the names and labels of what belongs to one, and
//! the words of its conditions. No I/O: nothing here talks to a cluster.
//!
//! `resource` has the types of the custom resource; `children` the kinds of objects that a platform consists of, some of which other
//! projects define (`foreign`); `component` its components, `names` every name that is given, `vocabulary` the types and reasons of conditions;
//! `report` reads what a role says of its projections, `rollout` what a Deployment says of its pods, `api_error` what an API server says
//! of a request.
#![forbid(unsafe_code)]

pub mod api_error;
pub mod children;
mod component;
pub mod foreign;
pub mod names;
pub mod report;
#[expect(
    unreachable_pub,
    reason = "derive(KubeSchema) repeats each struct inside a function"
)]
mod resource;
pub mod rollout;
pub mod vocabulary;

pub use component::{Component, Scaling};
pub use resource::*;
