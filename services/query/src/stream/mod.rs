//! Live updates: a wallet's history as server-sent events, for as long as the client stays.
//!
//! The invariant: a stream reads what it sends from the read model by version, page by page, so it has neither gaps nor
//! repetitions, whatever wakes it. Wake-ups ([`live`]) only say when to look.

pub(crate) mod live;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequestParts, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use http::header::HeaderName;
use http::request::Parts;
use tokio::time::sleep;
use uuid::Uuid;
use wallex_domain::Positions;
use wallex_journal::read as journal;
use wallex_projections::read_model::read::history::{self, EntryRow};
use wallex_projections::read_model::read::wallets;
use wallex_runtime::http::{Id, Problem};

use crate::absent::missing_wallet;
use crate::answer::EntryBody;
use crate::extract::MinPosition;
use crate::parameters::{Parameters, digits};
use crate::position::Snapshots;
use crate::problem::{self, ReadError};
use crate::routes::{NO_STORE, end};
use crate::state::QueryState;
use live::Seat;

/// A comment is sent after this long a silence: proxies cut silent connections, most after 60 s.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Entries read at once. A stream holds them until its client has taken them: 160 KiB with the largest metadata.
const PAGE: i64 = 10;
/// Pause before a stream looks again after the database did not answer.
const RETRY: Duration = Duration::from_secs(1);

const LAST_EVENT_ID: &str = "last-event-id";
const HEADERS: [(HeaderName, &str); 2] = [
    NO_STORE,
    // Otherwise nginx would wait for its buffer to fill.
    (HeaderName::from_static("x-accel-buffering"), "no"),
];

/// The version after which a stream begins; `None`: with whatever comes next.
pub(crate) struct Resume(Option<After>);

/// A version, and where the request named it.
struct After {
    version: i64,
    parameter: &'static str,
}

impl<S: Send + Sync> FromRequestParts<S> for Resume {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let mut parameters = Parameters::of(parts, state, &["after_version"]).await?;
        let parameter = parameters
            .number("after_version", 0, i64::MAX)
            .map(|version| After {
                version,
                parameter: "after_version",
            });
        // A browser that reconnects uses the same URL again, and gives its position in the header.
        let mut lines = parts.headers.get_all(LAST_EVENT_ID).iter();
        let after = match (lines.next(), lines.next()) {
            (None, _) => parameter,
            (Some(id), None) => id.to_str().ok().and_then(digits).map(|version| After {
                version,
                parameter: "Last-Event-ID",
            }),
            (Some(_), Some(_)) => None,
        };
        if after.is_none() && parts.headers.contains_key(LAST_EVENT_ID) {
            parameters.refuse(
                "Last-Event-ID",
                "must be the id of an event of this stream: a version of the wallet",
            );
        }
        parameters.finish(Some(Self(after)))
    }
}

/// Follows a wallet: each new entry of its history, as it comes.
#[utoipa::path(
    get,
    path = "/v1/wallets/{id}/stream",
    tag = "wallets",
    operation_id = "streamWallet",
    params(
        ("id" = Uuid, Path, description = "The wallet's id"),
        ("Last-Event-ID" = Option<u64>, Header, description = "Begin after this version of the wallet, without gap or repeat; 422 for one that the wallet has not had. Browsers send it when they reconnect", minimum = 0),
        ("after_version" = Option<u64>, Query, description = "The same, for the first connection; Last-Event-ID wins. Without both only what comes from now on is sent", minimum = 0),
        ("Wallex-Min-Position" = Option<String>, Header, description = "Wait up to 2 s until the read model contains these positions", example = "3:1042"),
    ),
    responses(
        (status = 200, description = "Server-sent events without an end. Each has the version as `id`, the entry's type as `event`, and as `data` the JSON of a WalletEntry", body = String, content_type = "text/event-stream"),
    )
)]
pub(crate) async fn stream(
    State(state): State<Arc<QueryState>>,
    id: Id,
    Resume(resume): Resume,
    MinPosition(wanted): MinPosition,
) -> Result<Response, Problem> {
    let id = id.uuid();
    // Join before the version is read: whatever comes in between wakes the stream.
    let Some(seat) = state.live.join(id) else {
        return Err(Problem::unavailable(
            "This replica accepts no more streams; connect again.",
        ));
    };
    let mut snapshot = state.read.snapshot(&wanted).await?;
    let Some(wallet) = wallets::by_id(&mut snapshot, id).await.map_err(ReadError::from)? else {
        return Err(missing_wallet(&mut snapshot, id).await.into());
    };
    end(snapshot).await?;
    if let Some(after) = resume.as_ref().filter(|after| after.version > wallet.version) {
        exists(&state, id, after).await?;
    }
    let follower = Follower {
        read: state.read.clone(),
        seat,
        id,
        after: resume.as_ref().map_or(wallet.version, |after| after.version),
        ready: VecDeque::new(),
        more: resume.is_some(),
    };
    let events = futures::stream::unfold(follower, Follower::next);
    let answer = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    Ok((HEADERS, answer).into_response())
}

/// Fails unless the wallet has reached the version according to the journal: the read model may be behind, or be refilled,
/// and will get there. With a version that never existed, the client would wait in vain until the wallet has passed it.
async fn exists(state: &QueryState, id: Uuid, after: &After) -> Result<(), Problem> {
    let mut snapshot = state.journal.snapshot(&Positions::default()).await?;
    let recorded = journal::wallet::version(&mut *snapshot, id)
        .await
        .map_err(ReadError::from)?
        .unwrap_or(0);
    end(snapshot).await?;
    if after.version <= recorded {
        return Ok(());
    }
    let detail = format!("must be a version that the wallet has had, which is at {recorded}");
    Err(problem::invalid_parameter(after.parameter, &detail))
}

/// One stream: its position, and what it has read but not sent yet.
struct Follower {
    read: Snapshots,
    seat: Seat,
    id: Uuid,
    /// The version of the last entry read.
    after: i64,
    ready: VecDeque<Event>,
    /// There may be more to read.
    more: bool,
}

/// The result of one look at the read model.
enum Page {
    Rows(Vec<EntryRow>),
    /// The database did not answer.
    Unanswered,
}

impl Follower {
    /// The next event. The stream ends at shutdown, or when an entry cannot be expressed. A stream opened during the
    /// shutdown ends at once: browsers reconnect after an end, not after a refusal.
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        let shutdown = self.seat.shutdown();
        loop {
            if shutdown.is_cancelled() {
                return None;
            }
            if let Some(event) = self.ready.pop_front() {
                return Some((Ok(event), self));
            }
            tokio::select! {
                () = shutdown.cancelled() => return None,
                filled = self.fill() => filled.ok()?,
            }
        }
    }

    /// Waits for news unless there is more to read, and then reads a page.
    async fn fill(&mut self) -> Result<(), ReadError> {
        if !self.more {
            self.seat.news().await;
        }
        match self.page().await? {
            Page::Rows(rows) => {
                self.more = i64::try_from(rows.len()).unwrap_or(PAGE) >= PAGE;
                for row in rows {
                    let version = row.version;
                    self.ready.push_back(event(row)?);
                    self.after = version;
                }
            }
            Page::Unanswered => {
                self.more = true;
                sleep(RETRY).await;
            }
        }
        Ok(())
    }

    async fn page(&self) -> Result<Page, ReadError> {
        let _turn = self.seat.turn().await;
        let read = async {
            let mut snapshot = self.read.snapshot(&Positions::default()).await?;
            let rows = history::after(&mut snapshot, self.id, self.after, PAGE).await?;
            end(snapshot).await?;
            Ok(rows)
        };
        match read.await {
            Ok(rows) => Ok(Page::Rows(rows)),
            Err(error @ (ReadError::Database(_) | ReadError::NoConnection)) => {
                tracing::debug!(%error, "a stream could not be read on");
                Ok(Page::Unanswered)
            }
            Err(error) => Err(error),
        }
    }
}

fn event(row: EntryRow) -> Result<Event, ReadError> {
    let (version, kind) = (row.version, row.kind.clone());
    let body = EntryBody::try_from(row)
        .inspect_err(|error| tracing::error!(%error, "a stream ends because an entry cannot be read"))?;
    let event = Event::default()
        .id(version.to_string())
        .data(serde_json::to_string(&body)?);
    // The field can hold only a single line; the stored name may be anything.
    Ok(if kind.contains(['\n', '\r']) {
        event
    } else {
        event.event(kind)
    })
}
