//! The lag of the projections, asked of the platform itself: `GET /health/kafka` of the command role, through the API server's proxy
//! for Services. So it works wherever kubectl does, and needs no way into the cluster's network.

use std::time::Duration;

use serde::Deserialize;

use super::Session;
use super::access::Access;
use crate::names::{self, Component};

/// The role answers within 2 s; the rest is for the way there.
const PATIENCE: Duration = Duration::from_secs(5);

/// One projection's consumer group and the events it has not consumed; none: not known.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Lag {
    pub(super) name: String,
    pub(super) lag: Option<i64>,
}

/// What of the report matters here.
#[derive(Deserialize)]
struct Report {
    reason: Option<String>,
    #[serde(default)]
    groups: Vec<Lag>,
}

/// The lags, or why they are not known.
pub(super) async fn of(session: &Session, platform: &str) -> Result<Vec<Lag>, String> {
    match tokio::time::timeout(PATIENCE, ask(session, platform)).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

async fn ask(session: &Session, platform: &str) -> Result<Vec<Lag>, String> {
    let service = names::component_object(platform, Component::Command);
    let path = format!(
        "/api/v1/namespaces/{}/services/{service}:{}/proxy/health/kafka",
        session.namespace,
        names::HTTP_PORT_NAME
    );
    let request = http::Request::get(path)
        .body(kube::client::Body::empty())
        .map_err(|error| error.to_string())?;
    let access = Access::new("get", "services/proxy", &session.namespace);
    let response = session
        .client
        .send(request)
        .await
        .map_err(|error| access.failed(&error).short())?;
    let status = response.status();
    let body = response
        .into_body()
        .collect_bytes()
        .await
        .map_err(|error| access.failed(&error).short())?;
    if let Ok(report) = serde_json::from_slice::<Report>(&body)
        && (status.is_success() || !report.groups.is_empty())
    {
        return if report.groups.is_empty() {
            Err(report
                .reason
                .unwrap_or_else(|| "the command role shows none".to_owned()))
        } else {
            Ok(report.groups)
        };
    }
    Err(refused(&access, status, &body))
}

/// Why there is no report: the API server's own answer, or the role's.
fn refused(access: &Access<'_>, status: http::StatusCode, body: &[u8]) -> String {
    let answer = serde_json::from_slice::<serde_json::Value>(body).unwrap_or_default();
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
