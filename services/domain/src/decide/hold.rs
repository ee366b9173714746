//! Holds: placed, captured, released, extended, expired.

use super::{
    Decided, Rejection, State, after_debit, existing, may_pay, one, payer, receiver, same_currency,
    within_bounds,
};
use crate::event::{HoldCaptured, HoldEnded, HoldExtended, HoldPlaced, OtherLeg, TransferLeg};
use crate::{
    Amount, CaptureHold, EventData, ExtendHold, Hold, HoldId, HoldStatus, PlaceHold, ReleaseHold, Wallet,
};

/// Ends a due hold. This happens before any command on its wallet is decided.
pub fn expire(wallet: &Wallet, hold: &Hold) -> Decided {
    Decided {
        wallet_id: wallet.id,
        event: EventData::HoldExpired(HoldEnded {
            hold_id: hold.id,
            amount: hold.amount,
            currency: wallet.currency,
            balance: wallet.balance,
            reference: None,
            personal: None,
        }),
    }
}

pub(super) fn place_hold(state: &impl State, place: &PlaceHold) -> Result<Vec<Decided>, Rejection> {
    let wallet = payer(state, place.wallet_id, place.expected_version)?;
    if state.hold(place.hold_id).is_some() {
        return Err(Rejection::HoldExists(place.hold_id));
    }
    if place
        .expires_at
        .is_some_and(|expires_at| expires_at <= state.now())
    {
        return Err(Rejection::ExpiryPassed);
    }
    let limit = state.max_open_holds();
    if state.open_holds(wallet.id) >= limit {
        return Err(Rejection::TooManyHolds {
            wallet_id: wallet.id,
            limit,
        });
    }
    // Only spendable money can be held. The sum of holds has the same bound as a balance: with an overdraft it may
    // exceed the balance.
    after_debit(wallet, place.amount)?;
    within_bounds(wallet, wallet.held.checked_add(place.amount.minor()))?;
    let event = EventData::HoldPlaced(HoldPlaced {
        hold_id: place.hold_id,
        amount: place.amount.minor(),
        currency: wallet.currency,
        balance: wallet.balance,
        expires_at: place.expires_at,
        reference: place.reference.clone(),
        personal: place.personal,
    });
    Ok(one(wallet, event))
}

pub(super) fn capture_hold(state: &impl State, capture: &CaptureHold) -> Result<Vec<Decided>, Rejection> {
    let (hold, wallet) = open_hold(state, capture.hold_id, capture.expected_version)?;
    let wallet = may_pay(wallet)?;
    let amount = capture.amount.map_or(hold.amount, Amount::minor);
    if let Some(wanted) = capture.amount
        && amount > hold.amount
    {
        return Err(Rejection::CaptureTooLarge {
            hold_id: hold.id,
            held: hold.amount,
            amount: wanted,
        });
    }
    // Held money is covered, so a capture cannot take the balance out of its range.
    let balance = wallet
        .balance
        .checked_sub(amount)
        .ok_or(Rejection::BalanceOverflow(wallet.id))?;
    let captured = HoldCaptured {
        hold_id: hold.id,
        amount,
        released: hold.amount - amount,
        currency: wallet.currency,
        balance,
        other: None,
        reference: capture.reference.clone(),
        external_id: capture.external_id.clone(),
        personal: capture.personal,
    };
    let Some(to) = capture.to else {
        return Ok(one(wallet, EventData::HoldCaptured(captured)));
    };
    if to == wallet.id {
        return Err(Rejection::SameWallet(to));
    }
    let to = receiver(state, to, None)?;
    same_currency(wallet, to)?;
    let to_balance = within_bounds(to, to.balance.checked_add(amount))?;
    let (position, to_position) = state.next_positions(wallet.id, to.id);
    let credit = TransferLeg {
        amount,
        currency: wallet.currency,
        balance: to_balance,
        counterparty: wallet.id,
        position: to_position,
        counterparty_position: position,
        reference: capture.reference.clone(),
        external_id: capture.external_id.clone(),
        personal: capture.personal,
    };
    let captured = HoldCaptured {
        other: Some(OtherLeg {
            wallet_id: to.id,
            position: to_position,
        }),
        ..captured
    };
    Ok(vec![
        Decided {
            wallet_id: wallet.id,
            event: EventData::HoldCaptured(captured),
        },
        Decided {
            wallet_id: to.id,
            event: EventData::TransferCredited(credit),
        },
    ])
}

pub(super) fn release_hold(state: &impl State, release: &ReleaseHold) -> Result<Vec<Decided>, Rejection> {
    let (hold, wallet) = open_hold(state, release.hold_id, release.expected_version)?;
    let event = EventData::HoldReleased(HoldEnded {
        hold_id: hold.id,
        amount: hold.amount,
        currency: wallet.currency,
        balance: wallet.balance,
        reference: release.reference.clone(),
        personal: release.personal,
    });
    Ok(one(wallet, event))
}

/// Also works on a frozen wallet: the money stays set aside, and nothing leaves.
pub(super) fn extend_hold(state: &impl State, extend: &ExtendHold) -> Result<Vec<Decided>, Rejection> {
    let (hold, wallet) = open_hold(state, extend.hold_id, extend.expected_version)?;
    // Nothing is later than never. The hold is not due, so a time later than its own is in the future.
    if hold
        .expires_at
        .is_none_or(|expires_at| extend.expires_at <= expires_at)
    {
        return Err(Rejection::ExpiryNotLater(hold.id));
    }
    let event = EventData::HoldExtended(HoldExtended {
        hold_id: hold.id,
        expires_at: extend.expires_at,
        currency: wallet.currency,
        balance: wallet.balance,
        reference: extend.reference.clone(),
        personal: extend.personal,
    });
    Ok(one(wallet, event))
}

/// The hold, if it is still open, and its wallet.
fn open_hold(
    state: &impl State,
    id: HoldId,
    expected_version: Option<i64>,
) -> Result<(&Hold, &Wallet), Rejection> {
    let hold = state.hold(id).ok_or(Rejection::HoldNotFound(id))?;
    let wallet = existing(state, hold.wallet_id, expected_version)?;
    if hold.status != HoldStatus::Open {
        return Err(Rejection::HoldClosed {
            hold_id: id,
            status: hold.status,
        });
    }
    Ok((hold, wallet))
}
