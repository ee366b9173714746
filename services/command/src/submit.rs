//! From a command to the answer to its request: through the queue, and back with the journal's reply.

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, ETAG, LOCATION};
use http::{HeaderValue, StatusCode};
use wallex_domain::{Hash, WalletId};
use wallex_journal::append::{Answer, Reply, Request, Work};
use wallex_runtime::http::headers::{IDEMPOTENCY_REPLAYED, POSITION};
use wallex_runtime::http::{Code, Problem};

use crate::headers::WriteHead;
use crate::problem;
use crate::state::CommandState;

impl CommandState {
    pub(crate) async fn submit(
        &self,
        head: WriteHead,
        fingerprint: Hash,
        work: Work,
    ) -> Result<Response, Problem> {
        let erased: Vec<WalletId> = work
            .items()
            .iter()
            .filter_map(|item| item.command.erases())
            .collect();
        let request = Request {
            caller: head.caller,
            key: Some(head.key),
            fingerprint,
            work,
            traceparent: head.traceparent,
        };
        let response = match self.shared.queue.submit(request).await {
            Ok(Reply::Answered { answer, replayed }) => response(answer, replayed),
            Ok(Reply::NotFound(answer)) => response(answer, false),
            Ok(Reply::KeyReused) => return Err(Problem::of(Code::IdempotencyKeyReused)),
            Ok(Reply::Unavailable) => return Err(problem::unavailable()),
            Ok(Reply::OutcomeUnknown) => return Err(Problem::of(Code::OutcomeUnknown).retry_after(1)),
            Ok(Reply::Failed) => return Err(Problem::internal()),
            Err(_) => return Err(Problem::of(Code::QueueFull).retry_after(1)),
        };
        if !erased.is_empty() {
            // Usually finished when the answer is sent; whatever takes longer continues in the background.
            self.shared.upkeep.erase_soon(&erased).await;
        }
        Ok(response)
    }
}

fn response(answer: Answer, replayed: bool) -> Response {
    // Written by this program from a valid status.
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, answer.body).into_response();
    let headers = response.headers_mut();
    let json = if status.is_success() {
        "application/json"
    } else {
        "application/problem+json"
    };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(json));
    let value = |text: Option<String>| text.and_then(|text| HeaderValue::try_from(text).ok());
    if let Some(etag) = value(answer.etag) {
        headers.insert(ETAG, etag);
    }
    if let Some(location) = value(answer.location) {
        headers.insert(LOCATION, location);
    }
    if let Some(position) = value(answer.position) {
        headers.insert(POSITION, position);
    }
    if replayed {
        headers.insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    }
    response
}
