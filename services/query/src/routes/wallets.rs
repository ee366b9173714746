//! Wallets: one as it is, as the journal has it, or as it was; and lists.

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::response::{IntoResponse as _, Response};
use http::header::{CONTENT_TYPE, ETAG};
use http::request::Parts;
use uuid::Uuid;
use wallex_domain::Positions;
use wallex_projections::Name;
use wallex_projections::read_model::read::{self, wallets::WalletRow};
use wallex_runtime::http::{Id, Problem};

use super::{NO_STORE, bodies, cut, end};
use crate::absent::{missing_wallet, must_be_whole, nothing_must_be_parked};
use crate::answer::{WalletAtBody, WalletBody, WalletPageBody, rfc3339};
use crate::cache::{self, Looked};
use crate::cursor::Scope;
use crate::extract::MinPosition;
use crate::parameters::Parameters;
use crate::problem::ReadError;
use crate::state::QueryState;
use crate::strong;

/// Which state of a wallet is requested.
pub(crate) enum View {
    /// The read model's, or the cache's.
    Plain,
    /// The journal's.
    Strong,
    /// The state after the last event recorded at or before this time, in microseconds.
    At(i64),
}

impl<S: Send + Sync> FromRequestParts<S> for View {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let mut parameters = Parameters::of(parts, state, &["consistency", "at"]).await?;
        parameters.exclusive("consistency", "at");
        let strong = parameters.parsed("consistency", "strong, or left out", |text| {
            (text == "strong").then_some(Self::Strong)
        });
        let at = parameters.time("at").map(Self::At);
        parameters.finish(strong.or(at).or(Some(Self::Plain)))
    }
}

/// Reads a wallet with its balance: now, or as it was at a time.
///
/// `consistency=strong` reads the journal itself, so that the answer contains everything that was committed before; in
/// it holds end at their time exactly. Without it the read model answers, which follows within milliseconds. `at`
/// gives the money as it was after the last event recorded until then; what the read model does not contain yet is not
/// in it.
#[utoipa::path(
    get,
    path = "/v1/wallets/{id}",
    tag = "wallets",
    operation_id = "getWallet",
    params(
        ("id" = Uuid, Path, description = "The wallet's id"),
        ("consistency" = Option<Consistency>, Query, description = "strong: read the journal; not together with at", example = "strong"),
        ("at" = Option<String>, Query, description = "The state after the last event whose recorded_at is not later than this time, RFC 3339; not in the future", example = "2026-01-31T12:00:00Z"),
        ("Wallex-Min-Position" = Option<String>, Header, description = "Wait up to 2 s until the answer contains these positions, as in the header Wallex-Position", example = "3:1042"),
    ),
    responses(
        (status = 200, description = "The wallet; with `at`, its money at that time (WalletAt)", body = WalletAnswer, headers(("ETag" = String, description = "The wallet's version, quoted; not with `at`"))),
    )
)]
pub(crate) async fn wallet(
    State(state): State<Arc<QueryState>>,
    id: Id,
    view: View,
    MinPosition(wanted): MinPosition,
) -> Result<Response, ReadError> {
    let id = id.uuid();
    let wallet = match view {
        View::Plain => plain(&state, id, &wanted).await?,
        View::Strong => strongly(&state, id, &wanted).await?,
        View::At(at) => return at_time(&state, id, at, &wanted).await,
    };
    let etag = format!("\"{}\"", wallet.version);
    let headers = [
        (ETAG, etag.as_str()),
        NO_STORE,
        (CONTENT_TYPE, "application/json"),
    ];
    Ok((headers, wallet.body).into_response())
}

/// For the API description: where a read may insist on coming from.
#[derive(utoipa::ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "describes")]
pub(crate) enum Consistency {
    Strong,
}

/// The wallet as it is, or its money as it was when `at` asks for a time.
#[derive(serde::Serialize, utoipa::ToSchema)]
#[expect(dead_code, reason = "describes")]
#[serde(untagged)]
#[schema(as = WalletOrWalletAt)]
pub(crate) enum WalletAnswer {
    #[schema(title = "Wallet")]
    Wallet(WalletBody),
    #[schema(title = "WalletAt")]
    WalletAt(WalletAtBody),
}

/// The wallet as the read model has it, or had it up to two seconds ago if the wanted positions allow that.
async fn plain(state: &QueryState, id: Uuid, wanted: &Positions) -> Result<cache::Wallet, ReadError> {
    let slot = match state.cache.get(id, wanted).await {
        Looked::Hit(wallet) => return Ok(wallet),
        Looked::Missed(slot) => slot,
    };
    let row = current(state, id, wanted).await?;
    let (partition, read_at) = (row.partition, row.read_at);
    let wallet = written(&WalletBody::try_from(row)?)?;
    if let (Some(slot), Some(seq)) = (slot, read_at) {
        state.cache.fill(slot, partition, seq, wallet.clone());
    }
    Ok(wallet)
}

/// The wallet's row: by a single statement where no position has to be waited for and nothing explained.
async fn current(state: &QueryState, id: Uuid, wanted: &Positions) -> Result<WalletRow, ReadError> {
    if wanted.0.is_empty()
        && let Some(row) = read::wallets::by_id(&mut *state.read.statement().await?, id).await?
    {
        return Ok(row);
    }
    let mut snapshot = state.read.snapshot(wanted).await?;
    let Some(row) = read::wallets::by_id(&mut snapshot, id).await? else {
        return Err(missing_wallet(&mut snapshot, id).await);
    };
    end(snapshot).await?;
    Ok(row)
}

/// The wallet as the journal has it.
async fn strongly(state: &QueryState, id: Uuid, wanted: &Positions) -> Result<cache::Wallet, ReadError> {
    let mut snapshot = state.journal.snapshot(wanted).await?;
    let strong = strong::wallet(&mut snapshot, id).await?;
    strong.end(snapshot).await?;
    written(&WalletBody::try_from(
        strong.wallet.ok_or(ReadError::WalletUnknown(id))?,
    )?)
}

fn written(body: &WalletBody) -> Result<cache::Wallet, ReadError> {
    Ok(cache::Wallet {
        version: body.version,
        body: serde_json::to_vec(body)?,
    })
}

async fn at_time(state: &QueryState, id: Uuid, at: i64, wanted: &Positions) -> Result<Response, ReadError> {
    let mut snapshot = state.read.snapshot(wanted).await?;
    if !read::wallets::has_come(&mut snapshot, id, at).await? {
        return Err(ReadError::InTheFuture);
    }
    let row = read::wallets::state_at(&mut snapshot, id, at).await?;
    let Some(row) = row else {
        return Err(match read::wallets::by_id(&mut snapshot, id).await? {
            None => missing_wallet(&mut snapshot, id).await,
            Some(_) => ReadError::NotCreatedYet {
                wallet: id,
                at: rfc3339("at", at)?,
            },
        });
    };
    let stale = read::parked::is_stale(&mut snapshot, id).await?;
    end(snapshot).await?;
    let body = WalletAtBody::new(id, at, row, stale)?;
    Ok(([NO_STORE], Json(body)).into_response())
}

/// Which wallets to list.
pub(crate) enum Listed {
    /// From this id on (inclusive); `None` past the last possible one.
    Owner {
        owner: String,
        from: Option<Uuid>,
        limit: i64,
    },
    ExternalId(String),
}

fn scope(owner: &str) -> Scope {
    Scope::of("wallets").with(Some(owner))
}

impl<S: Send + Sync> FromRequestParts<S> for Listed {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let known = ["owner", "external_id", "limit", "cursor"];
        let mut parameters = Parameters::of(parts, state, &known).await?;
        parameters.exactly_one("owner", "external_id");
        let limit = parameters.limit();
        let owner = parameters.text("owner").map(|owner| Self::Owner {
            from: match parameters.cursor::<16>(&scope(&owner)) {
                None => Some(Uuid::nil()),
                Some(last) => u128::from_be_bytes(last).checked_add(1).map(Uuid::from_u128),
            },
            owner,
            limit,
        });
        let external_id = parameters.text("external_id").map(Self::ExternalId);
        if external_id.is_some() {
            // At most one: there is no next page that a cursor could name.
            parameters.no_cursor();
        }
        parameters.finish(owner.or(external_id))
    }
}

/// Lists the wallets of an owner by their ids, or finds the one with an external id.
#[utoipa::path(
    get,
    path = "/v1/wallets",
    tag = "wallets",
    operation_id = "listWallets",
    params(
        ("owner" = Option<String>, Query, description = "Wallets of this owner; exactly one of owner and external_id", min_length = 1, max_length = 255),
        ("external_id" = Option<String>, Query, description = "The wallet with this external id", min_length = 1, max_length = 255),
        ("limit" = Option<u16>, Query, description = "Wallets on the page, 50 by default", minimum = 1, maximum = 200),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before, for the same owner"),
        ("Wallex-Min-Position" = Option<String>, Header, description = "Wait up to 2 s until the answer contains these positions", example = "3:1042"),
    ),
    responses(
        (status = 200, description = "A page of wallets; empty when there are none", body = WalletPageBody),
    )
)]
pub(crate) async fn wallets(
    State(state): State<Arc<QueryState>>,
    listed: Listed,
    MinPosition(wanted): MinPosition,
) -> Result<Response, ReadError> {
    let mut snapshot = state.read.snapshot(&wanted).await?;
    let (rows, next_cursor) = match &listed {
        Listed::ExternalId(external_id) => {
            let rows = read::wallets::by_external_id(&mut snapshot, external_id).await?;
            if rows.is_empty() {
                nothing_must_be_parked(&mut snapshot, "wallet").await?;
            }
            (rows, None)
        }
        Listed::Owner { from: None, .. } => (Vec::new(), None),
        Listed::Owner {
            owner,
            from: Some(from),
            limit,
        } => {
            let mut rows = read::wallets::by_owner(&mut snapshot, owner, *from, limit + 1).await?;
            let next_cursor =
                cut(&mut rows, *limit).map(|last| scope(owner).encode(last.wallet_id.as_bytes()));
            (rows, next_cursor)
        }
    };
    // The end of a list denies as much as a 404 does.
    if next_cursor.is_none() {
        must_be_whole(&mut snapshot, Name::ReadModel).await?;
    }
    end(snapshot).await?;
    let body = WalletPageBody {
        items: bodies(rows)?,
        next_cursor,
    };
    Ok(([NO_STORE], Json(body)).into_response())
}
