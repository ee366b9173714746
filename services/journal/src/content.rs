//! The content of a named movement, as a digest that is kept in `journal.movement` for good: written with the movement,
//! compared with requests that repeat it, and checked against the events.
//!
//! The invariant: fields are only ever added, and left out when absent, so that hashes stored years ago stay valid.
//! Nothing that may be erased is part of it.

use serde::Serialize;
use uuid::Uuid;
use wallex_domain::{Amount, Command, EventData, Hash, HoldId, WalletId};

/// A movement without the parts that may be erased.
#[derive(Serialize)]
pub(crate) struct Content<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    wallet_id: Option<WalletId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<WalletId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hold_id: Option<HoldId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<WalletId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<&'a str>,
}

impl<'a> Content<'a> {
    /// What the command asks for. `None` if it is not a movement.
    pub(crate) fn of(command: &'a Command) -> Option<Self> {
        let asked = command.movement()?;
        let mut wallets = command.wallets();
        let (wallet_id, from, to) = match (command.hold(), wallets.next(), wallets.next()) {
            (None, wallet_id, None) => (wallet_id, None, None),
            (None, from, to) => (None, from, to),
            // A capture names only the receiver.
            (Some(_), to, _) => (None, None, to),
        };
        Some(Self {
            r#type: command.kind(),
            wallet_id,
            from,
            hold_id: command.hold(),
            transaction_id: command.transaction(),
            to,
            amount: asked.amount.map(Amount::minor),
            reference: asked.reference,
        })
    }

    /// What may have been asked for if `event`, of wallet `id`, is the first of the resulting events: a capture of the
    /// whole hold and a reversal of all that is left may be sent without an amount. Empty if the event is not the first
    /// of a movement.
    pub(crate) fn behind(id: WalletId, event: &'a EventData) -> Vec<Self> {
        let effect = event.effect();
        let other = effect.other.map(|other| other.wallet_id);
        let comes_first = effect.pays() || (effect.balance > 0 && other.is_none());
        if !comes_first || event.created().is_some() {
            return Vec::new();
        }
        let content = Self {
            r#type: "",
            wallet_id: None,
            from: None,
            hold_id: None,
            transaction_id: None,
            to: None,
            amount: Some(effect.amount),
            reference: event.reference(),
        };
        let (content, takes_all) = match (effect.reverses, effect.hold) {
            (Some(transaction_id), _) => {
                let content = Self {
                    r#type: "reversal",
                    transaction_id: Some(transaction_id),
                    ..content
                };
                (content, true)
            }
            (None, Some(hold)) => {
                let content = Self {
                    r#type: "capture",
                    hold_id: Some(hold.id),
                    to: other,
                    ..content
                };
                (content, effect.held == effect.balance)
            }
            (None, None) if other.is_some() => {
                let content = Self {
                    r#type: "transfer",
                    from: Some(id),
                    to: other,
                    ..content
                };
                (content, false)
            }
            (None, None) => {
                let content = Self {
                    r#type: if effect.pays() { "debit" } else { "credit" },
                    wallet_id: Some(id),
                    ..content
                };
                (content, false)
            }
        };
        if !takes_all {
            return vec![content];
        }
        let amount = None;
        vec![Self { amount, ..content }, content]
    }

    pub(crate) fn hash(&self) -> Hash {
        // A struct of strings and numbers always serialises.
        let json = serde_json::to_vec(self).unwrap_or_default();
        Hash(*blake3::hash(&json).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use wallex_domain::{CaptureHold, Movement, Reverse, Transfer};

    use super::*;

    fn wallet(n: u128) -> WalletId {
        WalletId(Uuid::from_u128(n))
    }

    fn credit() -> Movement {
        Movement {
            wallet_id: wallet(1),
            amount: Amount::new(250).unwrap(),
            reference: Some("order 1".to_owned()),
            external_id: Some("psp-1".to_owned()),
            personal: None,
            expected_version: None,
        }
    }

    fn transfer() -> Transfer {
        Transfer {
            from: wallet(1),
            to: wallet(2),
            amount: Amount::new(250).unwrap(),
            reference: None,
            external_id: Some("psp-1".to_owned()),
            personal: None,
            expected_version: None,
        }
    }

    fn capture() -> CaptureHold {
        CaptureHold {
            hold_id: HoldId(Uuid::from_u128(3)),
            amount: None,
            to: Some(wallet(2)),
            reference: None,
            external_id: Some("psp-1".to_owned()),
            personal: None,
            expected_version: None,
        }
    }

    fn reversal() -> Reverse {
        Reverse {
            transaction_id: Uuid::from_u128(4),
            amount: Amount::new(5).ok(),
            reference: None,
            external_id: Some("psp-1".to_owned()),
            personal: None,
            expected_version: None,
        }
    }

    fn hash(command: &Command) -> String {
        Content::of(command).unwrap().hash().to_string()
    }

    /// Rows written years ago are compared with these: no value here ever changes.
    #[test]
    fn the_content_of_a_movement_is_fixed() {
        for (command, json) in [
            (
                Command::Credit(credit()),
                r#"{"type":"credit","wallet_id":"00000000-0000-0000-0000-000000000001","amount":250,"reference":"order 1"}"#,
            ),
            (
                Command::Debit(credit()),
                r#"{"type":"debit","wallet_id":"00000000-0000-0000-0000-000000000001","amount":250,"reference":"order 1"}"#,
            ),
            (
                Command::Transfer(transfer()),
                r#"{"type":"transfer","from":"00000000-0000-0000-0000-000000000001","to":"00000000-0000-0000-0000-000000000002","amount":250}"#,
            ),
            (
                Command::CaptureHold(capture()),
                r#"{"type":"capture","hold_id":"00000000-0000-0000-0000-000000000003","to":"00000000-0000-0000-0000-000000000002"}"#,
            ),
            (
                Command::Reverse(reversal()),
                r#"{"type":"reversal","transaction_id":"00000000-0000-0000-0000-000000000004","amount":5}"#,
            ),
        ] {
            let content = Content::of(&command).unwrap();
            assert_eq!(serde_json::to_string(&content).unwrap(), json);
            assert_eq!(hash(&command), blake3::hash(json.as_bytes()).to_hex().as_str());
        }
    }

    #[test]
    fn what_makes_another_movement_and_what_does_not() {
        let first = hash(&Command::Credit(credit()));
        let others: [fn(&mut Movement); 3] = [
            |credit| credit.wallet_id = wallet(2),
            |credit| credit.amount = Amount::new(251).unwrap(),
            |credit| credit.reference = None,
        ];
        for (n, other) in others.into_iter().enumerate() {
            let mut credit = credit();
            other(&mut credit);
            assert_ne!(hash(&Command::Credit(credit)), first, "change {n}");
        }
        let mut again = credit();
        again.expected_version = Some(7);
        again.personal = Some(Hash::GENESIS);
        assert_eq!(hash(&Command::Credit(again)), first);
    }
}
