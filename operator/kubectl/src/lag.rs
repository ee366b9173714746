//! The lag of the projections, from the platform itself: `GET /health/projections` on the command role, through the API server's
//! Service proxy. So it works wherever kubectl does and needs no access to the cluster's network. For an image that does not
//! serve that path yet, falls back to `/health/kafka`, which knows only committed offsets: they trail on an idle platform.

use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;
use wallex_crd::report::{self, Answer};
use wallex_crd::{Component, ProjectionStatus, names};

use super::Session;
use super::access::Access;

/// The role answers within 4 s; the rest is for the network.
const PATIENCE: Duration = Duration::from_secs(6);

/// What is known about the lag.
pub(super) enum Lag {
    Projections(Vec<ProjectionStatus>),
    /// From the consumer groups' committed offsets.
    Groups(Vec<Group>),
}

/// One projection's consumer group and the events it has not consumed; none: unknown.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) lag: Option<i64>,
}

/// The relevant part of Kafka's report.
#[derive(Deserialize)]
struct Report {
    reason: Option<String>,
    #[serde(default)]
    groups: Vec<Group>,
}

/// The lag, or why it is unknown.
pub(super) async fn of(session: &Session, platform: &str) -> Result<Lag, String> {
    match tokio::time::timeout(PATIENCE, ask(session, platform)).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

async fn ask(session: &Session, platform: &str) -> Result<Lag, String> {
    let access = Access::new("get", "services/proxy", &session.namespace);
    let answer = get(session, &access, platform, report::PATH).await?;
    if problem(&answer.1)["kind"] == "Status" {
        return Err(refused(&access, answer.0, &answer.1));
    }
    if answer.0 != StatusCode::NOT_FOUND {
        return report::read(&answer).map(|report| Lag::Projections(report.rows));
    }
    let (status, body) = get(session, &access, platform, "/health/kafka").await?;
    if let Ok(report) = serde_json::from_slice::<Report>(&body)
        && (status.is_success() || !report.groups.is_empty())
    {
        return if report.groups.is_empty() {
            Err(report
                .reason
                .unwrap_or_else(|| "the command role shows none".to_owned()))
        } else {
            Ok(Lag::Groups(report.groups))
        };
    }
    Err(refused(&access, status, &body))
}

/// The answer of the command role, or of the API server in its place.
async fn get(session: &Session, access: &Access<'_>, platform: &str, path: &str) -> Result<Answer, String> {
    let service = Component::Command.object(platform);
    let path = format!(
        "/api/v1/namespaces/{}/services/{service}:{}/proxy{path}",
        session.namespace,
        names::HTTP_PORT_NAME
    );
    let request = http::Request::get(path)
        .body(kube::client::Body::empty())
        .map_err(|error| error.to_string())?;
    let response = session
        .client
        .send(request)
        .await
        .map_err(|error| access.failed(&error).short())?;
    let status = response.status();
    let body = response.into_body().collect_bytes().await;
    let body = body.map_err(|error| access.failed(&error).short())?;
    Ok((status, body.to_vec()))
}

fn problem(body: &[u8]) -> serde_json::Value {
    serde_json::from_slice(body).unwrap_or_default()
}

/// Why there is no report: the API server's own answer, or the role's.
fn refused(access: &Access<'_>, status: StatusCode, body: &[u8]) -> String {
    let answer = problem(body);
    if answer["kind"] == "Status" {
        let status: kube::core::Status = serde_json::from_value(answer).unwrap_or_default();
        if status.is_not_found() {
            return "there is no command Service yet".to_owned();
        }
        if status.message.contains("no endpoints available") {
            return "no pod of the command is ready".to_owned();
        }
        return access.failed(&kube::Error::Api(Box::new(status))).short();
    }
    match answer["reason"].as_str() {
        Some(reason) => reason.to_owned(),
        None => format!("the command role answered {status}"),
    }
}
