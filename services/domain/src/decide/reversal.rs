//! Reversals: money goes back the way it came, never more than was moved.

use super::{Decided, Rejection, State, after_credit, after_debit, payer, receiver};
use crate::event::{OtherLeg, ReversalLeg};
use crate::{Amount, EventData, Reverse};

pub(super) fn take_back(state: &impl State, reverse: &Reverse) -> Result<Vec<Decided>, Rejection> {
    let id = reverse.transaction_id;
    let transaction = state.transaction(id).ok_or(Rejection::TransactionNotFound(id))?;
    let movement = transaction.movement.ok_or(Rejection::NotReversible(id))?;
    let left = movement.amount.saturating_sub(state.reversed(id));
    let amount = match reverse.amount {
        Some(amount) => Some(amount),
        None => Amount::new(left).ok(),
    };
    let amount = amount
        .filter(|amount| amount.minor() <= left)
        .ok_or(Rejection::ReversalTooLarge {
            transaction_id: id,
            left,
        })?;
    // Back the way it came: the receiver pays.
    let payer_id = movement.to;
    let expected_of_receiver = reverse.expected_version.filter(|_| payer_id.is_none());
    let from = payer_id
        .map(|wallet_id| payer(state, wallet_id, reverse.expected_version))
        .transpose()?;
    let to = movement
        .from
        .map(|wallet_id| receiver(state, wallet_id, expected_of_receiver))
        .transpose()?;
    let positions = match (from, to) {
        (Some(from), Some(to)) => Some(state.next_positions(from.id, to.id)),
        _ => None,
    };
    let leg = |balance, other| ReversalLeg {
        reverses: id,
        amount: amount.minor(),
        currency: movement.currency,
        balance,
        other,
        reference: reverse.reference.clone(),
        external_id: reverse.external_id.clone(),
        personal: reverse.personal,
    };
    let mut decided = Vec::with_capacity(2);
    if let Some(from) = from {
        let other = to.zip(positions).map(|(to, (_, position))| OtherLeg {
            wallet_id: to.id,
            position,
        });
        decided.push(Decided {
            wallet_id: from.id,
            event: EventData::ReversalDebited(leg(after_debit(from, amount)?, other)),
        });
    }
    if let Some(to) = to {
        let other = from.zip(positions).map(|(from, (position, _))| OtherLeg {
            wallet_id: from.id,
            position,
        });
        decided.push(Decided {
            wallet_id: to.id,
            event: EventData::ReversalCredited(leg(after_credit(to, amount)?, other)),
        });
    }
    Ok(decided)
}
