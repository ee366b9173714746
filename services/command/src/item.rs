//! From a request's body to what the journal decides: a domain command, its personal data sealed beside it.

use rand::random;
use uuid::Uuid;
use wallex_domain::{
    Amount, CaptureHold, Change, ChangeWallet, Command, CreateWallet, HoldId, Movement, PersonalData,
    PlaceHold, ReleaseHold, Reverse, Transfer, WalletId,
};
use wallex_journal::append::Item;
use wallex_journal::personal::Sealed;
use wallex_journal::route::{derived_hold_id, derived_wallet_id};
use wallex_runtime::http::Problem;

use crate::body;
use crate::value::{Description, Metadata, Name};

/// Whose command it is, and its place among the commands of the request: what ids are derived from.
#[derive(Clone, Copy)]
pub(crate) struct Origin<'a> {
    pub(crate) caller: &'a str,
    pub(crate) key: &'a str,
    pub(crate) index: usize,
}

/// `with` gets the digest of what is sealed.
fn item(
    owner: Option<Name>,
    description: Option<Description>,
    metadata: Option<Metadata>,
    with: impl FnOnce(Option<wallex_domain::Hash>) -> Command,
) -> Result<Item, Problem> {
    let data = PersonalData {
        owner: owner.map(Into::into),
        description: description.map(Into::into),
        metadata,
    };
    let personal = Sealed::new(&data, random()).map_err(|_| Problem::internal())?;
    let command = with(personal.as_ref().map(Sealed::digest));
    Ok(Item { command, personal })
}

pub(crate) fn create(origin: Origin<'_>, body: body::CreateWallet) -> Result<Item, Problem> {
    let wallet_id = body.id.map_or_else(
        || derived_wallet_id(origin.caller, origin.key, origin.index),
        WalletId,
    );
    item(body.owner, body.description, body.metadata, |personal| {
        Command::Create(CreateWallet {
            wallet_id,
            external_id: body.external_id.map(Into::into),
            currency: body.currency,
            initial_balance: body.initial_balance.and_then(|minor| Amount::new(minor.0).ok()),
            personal,
        })
    })
}

pub(crate) fn movement(
    command: fn(Movement) -> Command,
    wallet_id: Uuid,
    expected_version: Option<i64>,
    body: body::Movement,
) -> Result<Item, Problem> {
    item(None, body.description, body.metadata, |personal| {
        command(Movement {
            wallet_id: WalletId(wallet_id),
            amount: body.amount,
            reference: body.reference.map(Into::into),
            external_id: body.external_id.map(Into::into),
            personal,
            expected_version,
        })
    })
}

pub(crate) fn transfer(expected_version: Option<i64>, body: body::Transfer) -> Result<Item, Problem> {
    item(None, body.description, body.metadata, |personal| {
        Command::Transfer(Transfer {
            from: WalletId(body.from),
            to: WalletId(body.to),
            amount: body.amount,
            reference: body.reference.map(Into::into),
            external_id: body.external_id.map(Into::into),
            personal,
            expected_version,
        })
    })
}

pub(crate) fn place_hold(
    origin: Origin<'_>,
    wallet_id: Uuid,
    expected_version: Option<i64>,
    body: body::PlaceHold,
) -> Result<Item, Problem> {
    let hold_id = body.id.map_or_else(
        || derived_hold_id(origin.caller, origin.key, origin.index),
        HoldId,
    );
    item(None, body.description, body.metadata, |personal| {
        Command::PlaceHold(PlaceHold {
            hold_id,
            wallet_id: WalletId(wallet_id),
            amount: body.amount,
            expires_at: body.expires_at.map(jiff::Timestamp::as_microsecond),
            reference: body.reference.map(Into::into),
            personal,
            expected_version,
        })
    })
}

pub(crate) fn capture_hold(
    hold_id: Uuid,
    expected_version: Option<i64>,
    body: body::CaptureHold,
) -> Result<Item, Problem> {
    item(None, body.description, body.metadata, |personal| {
        Command::CaptureHold(CaptureHold {
            hold_id: HoldId(hold_id),
            amount: body.amount,
            to: body.to.map(WalletId),
            reference: body.reference.map(Into::into),
            external_id: body.external_id.map(Into::into),
            personal,
            expected_version,
        })
    })
}

pub(crate) fn release_hold(
    hold_id: Uuid,
    expected_version: Option<i64>,
    body: body::ReleaseHold,
) -> Result<Item, Problem> {
    item(None, body.description, body.metadata, |personal| {
        Command::ReleaseHold(ReleaseHold {
            hold_id: HoldId(hold_id),
            reference: body.reference.map(Into::into),
            personal,
            expected_version,
        })
    })
}

pub(crate) fn reverse(
    transaction_id: Uuid,
    expected_version: Option<i64>,
    body: body::Reversal,
) -> Result<Item, Problem> {
    item(None, body.description, body.metadata, |personal| {
        Command::Reverse(Reverse {
            transaction_id,
            amount: body.amount,
            reference: body.reference.map(Into::into),
            external_id: body.external_id.map(Into::into),
            personal,
            expected_version,
        })
    })
}

pub(crate) fn change(
    change: Change,
    wallet_id: Uuid,
    expected_version: Option<i64>,
    body: body::Note,
) -> Result<Item, Problem> {
    item(None, body.description, body.metadata, |personal| {
        Command::Change(ChangeWallet {
            wallet_id: WalletId(wallet_id),
            change,
            personal,
            expected_version,
        })
    })
}

pub(crate) fn overdraft_limit(
    wallet_id: Uuid,
    expected_version: Option<i64>,
    body: body::OverdraftLimit,
) -> Result<Item, Problem> {
    let note = body::Note {
        description: body.description,
        metadata: body.metadata,
    };
    let limit = Change::SetOverdraftLimit(body.overdraft_limit.0);
    change(limit, wallet_id, expected_version, note)
}

pub(crate) fn erase(wallet_id: Uuid, expected_version: Option<i64>) -> Result<Item, Problem> {
    let note = body::Note {
        description: None,
        metadata: None,
    };
    change(Change::ErasePersonalData, wallet_id, expected_version, note)
}
