//! The answers to decisions. Pure, because an answer is stored in the same transaction as its decision.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};
use uuid::Uuid;
use wallex_domain::{Command, Hold, HoldStatus, Position, Positions, Rejection, Status, Wallet};
use wallex_journal::append::{Answer, Committed};

use crate::problem;

/// A wallet after the command.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WalletState {
    id: Uuid,
    currency: String,
    /// Minor units, as all amounts.
    balance: i64,
    /// What holds have set aside.
    #[schema(minimum = 0)]
    held: i64,
    /// What can be spent: balance − held.
    available: i64,
    /// How far below zero `available` may go.
    #[schema(minimum = 0)]
    overdraft_limit: i64,
    /// Number of the wallet's events.
    #[schema(minimum = 1)]
    version: i64,
    #[schema(value_type = Status)]
    status: &'static str,
    /// Where the event stands: partition:seq.
    #[schema(value_type = String)]
    position: Position,
}

/// A hold after the command.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HoldState {
    id: Uuid,
    wallet_id: Uuid,
    /// What was set aside, in minor units.
    #[schema(minimum = 1)]
    amount: i64,
    #[schema(value_type = HoldStatus)]
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<String>,
}

/// The answer to a command. Which of the last four members there are, the results below say.
#[derive(Debug, Serialize, ToSchema)]
struct Written {
    transaction_id: Uuid,
    r#type: &'static str,
    #[schema(value_type = String, format = DateTime)]
    recorded_at: String,
    /// What the command was about, in minor units; 0 where no money is.
    #[schema(minimum = 0)]
    amount: i64,
    currency: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hold: Option<HoldState>,
    /// Of commands on one wallet.
    #[serde(skip_serializing_if = "Option::is_none")]
    wallet: Option<WalletState>,
    /// Of commands that move money between two wallets: the one that paid.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<WalletState>,
    /// Of commands that move money between two wallets: the one that received.
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<WalletState>,
}

/// How commands of some kinds are answered, for the API description: a part of [`Written`] with all of `always` and
/// possibly `sometimes`.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    description: &'static str,
    always: &'static [&'static str],
    sometimes: &'static [&'static str],
    /// Whose version the `ETag` carries, where there is a choice.
    pub(crate) etag: Option<&'static str>,
}

pub(crate) const WALLET: Shape = Shape {
    name: "WalletResult",
    description: "What a command did to one wallet.",
    always: &["wallet"],
    sometimes: &[],
    etag: None,
};

pub(crate) const HOLD: Shape = Shape {
    name: "HoldResult",
    description: "What a command did to a hold and its wallet.",
    always: &["hold", "wallet"],
    sometimes: &[],
    etag: None,
};

pub(crate) const TRANSFER: Shape = Shape {
    name: "TransferResult",
    description: "What a transfer did to both wallets.",
    always: &["from", "to"],
    sometimes: &[],
    etag: Some("The source wallet's version"),
};

pub(crate) const CAPTURE: Shape = Shape {
    name: "CaptureResult",
    description: "What a capture did to the hold and its wallet, which is `wallet` when the money went outside, and `from` when `to` got it.",
    always: &["hold"],
    sometimes: &["wallet", "from", "to"],
    etag: None,
};

pub(crate) const REVERSAL: Shape = Shape {
    name: "ReversalResult",
    description: "What a reversal did: to `wallet` when the other side is outside, otherwise to `from`, which paid, and `to`.",
    always: &[],
    sometimes: &["wallet", "from", "to"],
    etag: None,
};

/// The schemas that [`Shape::schema`] refers to.
pub(crate) fn parts() -> Vec<(String, RefOr<Schema>)> {
    let mut schemas = vec![
        (WalletState::name().into(), WalletState::schema()),
        (HoldState::name().into(), HoldState::schema()),
    ];
    WalletState::schemas(&mut schemas);
    HoldState::schemas(&mut schemas);
    schemas
}

impl Shape {
    /// `types` are the commands that are answered this way.
    pub(crate) fn schema(&self, types: impl Iterator<Item = &'static str>) -> RefOr<Schema> {
        let mut written = Written::schema();
        if let RefOr::T(Schema::Object(schema)) = &mut written {
            schema.description = Some(self.description.to_owned());
            for member in ["hold", "wallet", "from", "to"] {
                if self.always.contains(&member) {
                    schema.required.push(member.to_owned());
                    schema.properties.entry(member.to_owned()).and_modify(present);
                } else if !self.sometimes.contains(&member) {
                    schema.properties.remove(member);
                }
            }
            if let Some(RefOr::T(Schema::Object(r#type))) = schema.properties.get_mut("type") {
                r#type.enum_values = Some(types.map(Into::into).collect());
            }
        }
        written
    }
}

/// Turns "a schema or null" into the schema.
fn present(member: &mut RefOr<Schema>) {
    if let RefOr::T(Schema::OneOf(either)) = member
        && let Some(RefOr::Ref(one)) = either.items.iter().find(|item| matches!(item, RefOr::Ref(_)))
    {
        *member = RefOr::Ref(one.clone());
    }
}

impl HoldState {
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

impl WalletState {
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

/// The journal's [`wallex_journal::append::Render`] for one command.
pub(crate) fn render(command: &Command, decision: Result<&Committed, &Rejection>) -> Answer {
    match decision {
        Ok(committed) => committed_answer(command, committed),
        Err(rejection) => problem::as_answer(&problem::rejection(rejection)),
    }
}

fn committed_answer(command: &Command, committed: &Committed) -> Answer {
    let transaction_id = committed.transaction_id;
    let recorded_at = rfc3339(committed.recorded_at);
    let location = match (command.creates(), command.places()) {
        (Some(create), _) => format!("/v1/wallets/{}", create.wallet_id),
        (None, Some((hold, _))) => format!("/v1/holds/{hold}"),
        (None, None) => format!("/v1/transactions/{transaction_id}"),
    };
    let body = committed.wallets.first().map(|first| {
        let (wallet, from, to) = match &committed.wallets[..] {
            [from, to] => (None, Some(from), Some(to)),
            _ => (Some(first), None, None),
        };
        Written {
            transaction_id,
            r#type: command.kind(),
            recorded_at,
            amount: committed.amount,
            currency: first.0.currency.to_string(),
            hold: committed.hold.as_ref().map(HoldState::new),
            wallet: wallet.map(WalletState::new),
            from: from.map(WalletState::new),
            to: to.map(WalletState::new),
        }
    });
    let positions = Positions(committed.wallets.iter().map(|(_, position)| *position).collect());
    Answer {
        status: 201,
        // Structs of strings and numbers always serialize.
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
