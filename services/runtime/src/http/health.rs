//! The routes that every role has, health and metrics, and their description.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::{Object, ObjectBuilder, OpenApi, Type};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use wallex_domain::Ailment;

use super::{Code, Problem, Problems, with_problems};
use crate::health::{Health, State as Check};
use crate::kafka::{Report, Status};
use crate::metrics;

/// An answer describes this moment: no cache may keep it.
const NO_STORE: (http::HeaderName, &str) = (CACHE_CONTROL, "no-store");

pub(super) fn routes(health: Health) -> Router {
    described().with_state(health).into()
}

/// The OpenAPI description of what every role serves, to be merged with a role's own.
pub fn openapi() -> OpenApi {
    described().into_openapi()
}

fn described() -> OpenApiRouter<Health> {
    let unknown = Problems {
        name: "",
        codes: &[Code::NotFound],
    };
    OpenApiRouter::default()
        .routes(routes!(live))
        .routes(routes!(ready))
        .routes(routes!(kafka))
        .routes(with_problems(routes!(one_check), &[unknown]))
        .routes(routes!(exposition))
}

/// Whether a path is for operators of the process, not for clients.
pub(super) fn is_operational(path: &str) -> bool {
    path.starts_with("/health/") || path == "/metrics"
}

/// Whoever reads this knows the process is alive.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Liveness)]
struct LiveBody {
    status: Live,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = LivenessStatus)]
enum Live {
    Live,
}

#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ReadinessStatus)]
enum Readiness {
    Ready,
    Unready,
}

/// Ready when every check is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Readiness)]
struct ReadyBody {
    status: Readiness,
    /// Each check by its name.
    checks: BTreeMap<&'static str, CheckBody>,
}

/// One thing that readiness depends on.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReadinessCheck)]
struct CheckBody {
    status: Readiness,
    /// Why it is unready.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = ailment)]
    code: Option<Ailment>,
}

impl From<bool> for Readiness {
    fn from(ready: bool) -> Self {
        if ready { Self::Ready } else { Self::Unready }
    }
}

fn ailment() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(Ailment::ALL.map(|ailment| serde_json::json!(ailment))))
        .description(Some(
            "What it is unready for, when it is one of the causes that the operator's conditions name.",
        ))
        .build()
}

impl From<Check> for CheckBody {
    fn from(state: Check) -> Self {
        let status = state.is_ok().into();
        let (reason, code) = state
            .err()
            .map(|unready| (unready.reason, unready.ailment))
            .unzip();
        Self {
            status,
            reason,
            code: code.flatten(),
        }
    }
}

/// Says that the process runs. No other server is asked.
#[utoipa::path(
    get,
    path = "/health/live",
    tag = "operations",
    operation_id = "getLiveness",
    responses((status = 200, description = "The process runs", body = LiveBody))
)]
async fn live() -> Response {
    answer(true, LiveBody { status: Live::Live })
}

/// Says whether this process can do its work, check by check.
#[utoipa::path(
    get,
    path = "/health/ready",
    tag = "operations",
    operation_id = "getReadiness",
    responses(
        (status = 200, description = "Every check is ready", body = ReadyBody),
        (status = 503, description = "At least one check is unready, or the process is shutting down", body = ReadyBody),
    )
)]
async fn ready(State(health): State<Health>) -> Response {
    let states = health.states();
    let ready = states.iter().all(|(_, state)| state.is_ok());
    let body = ReadyBody {
        status: ready.into(),
        checks: states
            .into_iter()
            .map(|(name, state)| (name, state.into()))
            .collect(),
    };
    answer(ready, body)
}

/// Shows Kafka as this process sees it: brokers, topics, and the lag of the projections' consumer groups.
///
/// Answers within 2 s and asks Kafka at most once a second. Neither readiness nor liveness depends on it.
#[utoipa::path(
    get,
    path = "/health/kafka",
    tag = "operations",
    operation_id = "getKafkaHealth",
    responses(
        (status = 200, description = "Kafka and the topics are fine, or this process does not use Kafka", body = Report),
        (status = 503, description = "No broker answers, a topic is missing or has no leader, or offsets are not known", body = Report),
    )
)]
async fn kafka(State(health): State<Health>) -> Response {
    let report = health.kafka().report().await;
    answer(report.status != Status::Unready, &*report)
}

/// Shows one check of `/health/ready`.
#[utoipa::path(
    get,
    path = "/health/{check}",
    tag = "operations",
    operation_id = "getCheck",
    params(("check" = String, Path, description = "Name of the check", example = "database")),
    responses(
        (status = 200, description = "The check is ready", body = CheckBody),
        (status = 503, description = "The check is unready", body = CheckBody),
    )
)]
async fn one_check(State(health): State<Health>, Path(check): Path<String>) -> Response {
    match health.states().into_iter().find(|(name, _)| *name == check) {
        Some((_, state)) => answer(state.is_ok(), CheckBody::from(state)),
        None => Problem::not_found(format!("This role has no check `{check}`.")).into_response(),
    }
}

/// Shows the metrics of this process, for Prometheus.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "operations",
    operation_id = "getMetrics",
    responses((status = 200, description = "The text format of Prometheus, version 0.0.4", body = String, content_type = "text/plain"))
)]
async fn exposition() -> Response {
    let (text, content_type) = metrics::encode();
    ([(CONTENT_TYPE, content_type)], text).into_response()
}

fn answer(fine: bool, body: impl Serialize) -> Response {
    let status = if fine {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, [NO_STORE], Json(body)).into_response()
}
