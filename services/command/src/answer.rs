//! What a decision is answered with. Pure, because it is stored in the transaction that it speaks of.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;
use wallex_domain::{Command, Position, Positions, Rejection, Wallet};
use wallex_journal::append::{Answer, Committed};

use crate::problem;

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
    /// Number of the wallet's events.
    version: i64,
    status: &'static str,
    /// Where the event stands: partition:seq.
    #[schema(value_type = String, example = "3:1042")]
    position: Position,
}

/// Answer to a create, a credit or a debit.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MovementAnswer {
    transaction_id: Uuid,
    /// create, credit or debit.
    r#type: &'static str,
    #[schema(value_type = String, format = DateTime)]
    recorded_at: String,
    amount: i64,
    currency: String,
    wallet: WalletAfter,
}

/// Answer to a transfer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TransferAnswer {
    transaction_id: Uuid,
    /// Always transfer.
    r#type: &'static str,
    #[schema(value_type = String, format = DateTime)]
    recorded_at: String,
    amount: i64,
    currency: String,
    from: WalletAfter,
    to: WalletAfter,
}

impl WalletAfter {
    fn new((wallet, position): &(Wallet, Position)) -> Self {
        Self {
            id: wallet.id.0,
            currency: wallet.currency.to_string(),
            balance: wallet.balance,
            held: wallet.held,
            available: wallet.available(),
            version: wallet.version,
            status: wallet.status.as_str(),
            position: *position,
        }
    }
}

/// The journal's [`wallex_journal::append::Render`].
pub fn render(command: &Command, decision: Result<&Committed, &Rejection>) -> Answer {
    match decision {
        Ok(committed) => committed_answer(command, committed),
        Err(rejection) => {
            let problem = problem::rejection(rejection);
            Answer {
                status: problem.status().as_u16(),
                body: problem.to_body().into(),
                etag: None,
                position: None,
                location: None,
            }
        }
    }
}

fn committed_answer(command: &Command, committed: &Committed) -> Answer {
    let transaction_id = committed.transaction_id;
    let recorded_at = rfc3339(committed.recorded_at);
    let location = match command {
        Command::Create(create) => format!("/v1/wallets/{}", create.wallet_id),
        Command::Credit(_) | Command::Debit(_) | Command::Transfer(_) => {
            format!("/v1/transactions/{transaction_id}")
        }
    };
    let amount = match command {
        Command::Create(create) => create.initial_balance.map_or(0, wallex_domain::Amount::minor),
        Command::Credit(movement) | Command::Debit(movement) => movement.amount.minor(),
        Command::Transfer(transfer) => transfer.amount.minor(),
    };
    let r#type = command.kind();
    let body = match &committed.wallets[..] {
        [from, to] => serde_json::to_vec(&TransferAnswer {
            transaction_id,
            r#type,
            recorded_at,
            amount,
            currency: from.0.currency.to_string(),
            from: WalletAfter::new(from),
            to: WalletAfter::new(to),
        }),
        wallets => wallets.first().map_or(Ok(Vec::new()), |wallet| {
            serde_json::to_vec(&MovementAnswer {
                transaction_id,
                r#type,
                recorded_at,
                amount,
                currency: wallet.0.currency.to_string(),
                wallet: WalletAfter::new(wallet),
            })
        }),
    };
    let positions = Positions(committed.wallets.iter().map(|(_, position)| *position).collect());
    Answer {
        status: 201,
        // Structs of texts and numbers always serialise.
        body: body.unwrap_or_default().into(),
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
