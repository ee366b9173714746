//! What a decision is answered with. Pure, because it is stored in the transaction that it speaks of.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;
use wallex_domain::{Command, Hold, Position, Positions, Rejection, Wallet};
use wallex_journal::append::{Answer, Committed, Render};

use crate::{batch, problem};

/// A wallet after the command.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WalletAfter {
    id: Uuid,
    #[schema(example = "EUR")]
    currency: String,
    /// Minor units, as all amounts.
    balance: i64,
    held: i64,
    /// What can be spent: balance − held.
    available: i64,
    /// How far below zero `available` may go.
    overdraft_limit: i64,
    /// Number of the wallet's events.
    version: i64,
    status: &'static str,
    /// Where the event stands: partition:seq.
    #[schema(value_type = String, example = "3:1042")]
    position: Position,
}

/// A hold after the command.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HoldAfter {
    id: Uuid,
    wallet_id: Uuid,
    /// What was set aside, in minor units.
    amount: i64,
    /// open, captured, released or expired.
    #[schema(example = "open")]
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<String>,
}

/// Answer to a command on one wallet.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MovementAnswer {
    transaction_id: Uuid,
    /// create, credit, debit, hold, capture, release, reversal, freeze, unfreeze, close, overdraft_limit or erase.
    r#type: &'static str,
    #[schema(value_type = String, format = DateTime)]
    recorded_at: String,
    /// What the command was about, in minor units; 0 where no money is.
    amount: i64,
    currency: String,
    /// Of commands on holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    hold: Option<HoldAfter>,
    wallet: WalletAfter,
}

/// Answer to a command that moves money between two wallets.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TransferAnswer {
    transaction_id: Uuid,
    /// transfer, capture or reversal.
    r#type: &'static str,
    #[schema(value_type = String, format = DateTime)]
    recorded_at: String,
    amount: i64,
    currency: String,
    /// Of captures.
    #[serde(skip_serializing_if = "Option::is_none")]
    hold: Option<HoldAfter>,
    from: WalletAfter,
    to: WalletAfter,
}

/// Answer to a command that touches one wallet or two.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum EitherAnswer {
    Two(TransferAnswer),
    One(MovementAnswer),
}

impl HoldAfter {
    fn new(hold: &Hold) -> Self {
        Self {
            id: hold.id.0,
            wallet_id: hold.wallet_id.0,
            amount: hold.amount,
            status: hold.status.as_str(),
            expires_at: hold.expires_at.map(rfc3339),
        }
    }
}

impl WalletAfter {
    fn new((wallet, position): &(Wallet, Position)) -> Self {
        Self {
            id: wallet.id.0,
            currency: wallet.currency.to_string(),
            balance: wallet.balance,
            held: wallet.held,
            available: wallet.available(),
            overdraft_limit: wallet.overdraft_limit,
            version: wallet.version,
            status: wallet.status.as_str(),
            position: *position,
        }
    }
}

/// How the journal's decisions are answered.
pub const RENDER: Render = Render {
    one: render,
    batch: batch::render,
};

fn render(command: &Command, decision: Result<&Committed, &Rejection>) -> Answer {
    match decision {
        Ok(committed) => committed_answer(command, committed),
        Err(rejection) => problem::as_answer(&problem::rejection(rejection)),
    }
}

fn committed_answer(command: &Command, committed: &Committed) -> Answer {
    let transaction_id = committed.transaction_id;
    let recorded_at = rfc3339(committed.recorded_at);
    let location = match command {
        Command::Create(create) => format!("/v1/wallets/{}", create.wallet_id),
        Command::PlaceHold(place) => format!("/v1/holds/{}", place.hold_id),
        Command::Credit(_)
        | Command::Debit(_)
        | Command::Transfer(_)
        | Command::CaptureHold(_)
        | Command::ReleaseHold(_)
        | Command::Reverse(_)
        | Command::Change(_)
        | Command::ExpireHolds(_) => format!("/v1/transactions/{transaction_id}"),
    };
    let (amount, r#type) = (committed.amount, command.kind());
    let hold = committed.hold.as_ref().map(HoldAfter::new);
    let body = match &committed.wallets[..] {
        [from, to] => Some(EitherAnswer::Two(TransferAnswer {
            transaction_id,
            r#type,
            recorded_at,
            amount,
            currency: from.0.currency.to_string(),
            hold,
            from: WalletAfter::new(from),
            to: WalletAfter::new(to),
        })),
        wallets => wallets.first().map(|wallet| {
            EitherAnswer::One(MovementAnswer {
                transaction_id,
                r#type,
                recorded_at,
                amount,
                currency: wallet.0.currency.to_string(),
                hold,
                wallet: WalletAfter::new(wallet),
            })
        }),
    };
    let positions = Positions(committed.wallets.iter().map(|(_, position)| *position).collect());
    Answer {
        status: 201,
        // Structs of texts and numbers always serialise.
        body: serde_json::to_vec(&body).unwrap_or_default().into(),
        etag: committed
            .wallets
            .first()
            .map(|(wallet, _)| format!("\"{}\"", wallet.version)),
        position: Some(positions.to_string()),
        location: Some(location),
    }
}

/// Microseconds since 1970 as RFC 3339 in UTC, always with six decimals.
fn rfc3339(micros: i64) -> String {
    // PostgreSQL's clock is within jiff's range.
    let time = Timestamp::from_microsecond(micros).unwrap_or_default();
    time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_six_decimals_and_a_z() {
        assert_eq!(rfc3339(1_700_000_000_000_000), "2023-11-14T22:13:20.000000Z");
        assert_eq!(rfc3339(1_700_000_000_120_450), "2023-11-14T22:13:20.120450Z");
    }
}
