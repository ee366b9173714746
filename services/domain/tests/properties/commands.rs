//! Random commands on a few wallets and holds, so that they interact.

use proptest::prelude::*;
use uuid::Uuid;
use wallex_domain::*;

fn wallet_id() -> impl Strategy<Value = WalletId> {
    (0..5u128).prop_map(|n| WalletId(Uuid::from_u128(n)))
}

fn amount() -> impl Strategy<Value = Amount> {
    prop_oneof![4 => 1..=1000i64, 1 => (MAX_MINOR_UNITS - 2)..=MAX_MINOR_UNITS]
        .prop_map(|n| Amount::new(n).unwrap())
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        2 => Just(Change::Freeze),
        3 => Just(Change::Unfreeze),
        1 => Just(Change::Close),
        2 => (0..2_000i64).prop_map(Change::SetOverdraftLimit),
        1 => (any::<bool>(), any::<bool>(), any::<bool>())
            .prop_map(|(owner, description, metadata)| Change::Details(Details { owner, description, metadata })),
        1 => Just(Change::ErasePersonalData),
    ]
}

pub(crate) fn command() -> impl Strategy<Value = Command> {
    let currency = prop_oneof![5 => Just("EUR"), 1 => Just("JPY")].prop_map(|c| c.parse().unwrap());
    let movement = || {
        (wallet_id(), amount(), prop::option::weighted(0.1, 1..5i64)).prop_map(
            |(wallet_id, amount, expected_version)| Movement {
                wallet_id,
                amount,
                reference: None,
                external_id: None,
                personal: None,
                expected_version,
            },
        )
    };
    prop_oneof![
        2 => (wallet_id(), currency, prop::option::of(amount()), prop::option::of(0..3u8)).prop_map(
            |(wallet_id, currency, initial_balance, external)| Command::Create(CreateWallet {
                wallet_id,
                external_id: external.map(|n| n.to_string()),
                currency,
                initial_balance,
                personal: None,
            })
        ),
        3 => movement().prop_map(Command::Credit),
        3 => movement().prop_map(Command::Debit),
        2 => (0..6u128, wallet_id(), amount(), prop::option::of(1..30i64)).prop_map(
            |(id, wallet_id, amount, expires_at)| Command::PlaceHold(PlaceHold {
                hold_id: HoldId(Uuid::from_u128(id)),
                wallet_id,
                amount,
                expires_at,
                reference: None,
                personal: None,
                expected_version: None,
            })
        ),
        2 => (0..6u128, prop::option::of(amount()), prop::option::of(wallet_id())).prop_map(
            |(id, amount, to)| Command::CaptureHold(CaptureHold {
                hold_id: HoldId(Uuid::from_u128(id)),
                amount,
                to,
                reference: None,
                external_id: None,
                personal: None,
                expected_version: None,
            })
        ),
        1 => (0..6u128).prop_map(|id| Command::ReleaseHold(ReleaseHold {
            hold_id: HoldId(Uuid::from_u128(id)),
            reference: None,
            personal: None,
            expected_version: None,
        })),
        2 => (0..6u128, 1..40i64).prop_map(|(id, expires_at)| extension(id, expires_at)),
        3 => (0..30u128, prop::option::of(amount())).prop_map(|(id, amount)| Command::Reverse(Reverse {
            transaction_id: Uuid::from_u128(id),
            amount,
            reference: None,
            external_id: None,
            personal: None,
            expected_version: None,
        })),
        2 => (wallet_id(), change()).prop_map(|(wallet_id, change)| Command::Change(ChangeWallet {
            wallet_id,
            change,
            personal: None,
            expected_version: None,
        })),
        4 => (wallet_id(), wallet_id(), amount()).prop_map(|(from, to, amount)| Command::Transfer(Transfer {
            from,
            to,
            amount,
            reference: None,
            external_id: None,
            personal: None,
            expected_version: None,
        })),
    ]
}

pub(crate) fn extension(n: u128, expires_at: i64) -> Command {
    Command::ExtendHold(ExtendHold {
        hold_id: HoldId(Uuid::from_u128(n)),
        expires_at,
        reference: None,
        personal: None,
        expected_version: None,
    })
}
