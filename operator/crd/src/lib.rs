//! What the operator and `kubectl wallex` share about a platform: the custom resource, the names and labels of its objects, and
//! its condition types and reasons. No I/O: nothing here talks to a cluster.
//!
//! `resource` has the types of the custom resource; `children` the kinds of objects that a platform consists of, some defined by
//! other projects (`foreign`); `component` its components, `names` all names, `vocabulary` the condition types and reasons;
//! `report` parses a role's projection report, `rollout` a Deployment's status, `api_error` an API server's errors.
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

pub use component::{Component, ComponentRow, Scaling};
pub use resource::*;
