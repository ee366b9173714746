//! Payloads as they are in journals: every version that was ever written can be read.

use wallex_domain::*;

#[test]
fn a_newer_event_asks_for_a_newer_version_and_a_broken_one_is_corrupt() {
    let newer = EventData::decode("wallet.credited", 2, b"{}").unwrap_err();
    assert!(matches!(
        newer,
        DecodeError::NeedsNewerVersion {
            schema_version: 2,
            ..
        }
    ));
    let unknown = EventData::decode("wallet.gifted", 1, b"{}").unwrap_err();
    assert!(matches!(unknown, DecodeError::NeedsNewerVersion { .. }));
    let broken = EventData::decode("wallet.credited", 1, b"{}").unwrap_err();
    assert!(matches!(broken, DecodeError::Corrupt { .. }));
}

/// Payloads of every version ever written, as they are in journals. Never edit a file here; add one for each new
/// version.
#[test]
fn payloads_of_every_version_stay_readable() {
    let golden = [
        (
            "wallet.changed",
            1,
            include_str!("../golden/wallet.changed.v1.json"),
        ),
        ("hold.placed", 1, include_str!("../golden/hold.placed.v1.json")),
        (
            "hold.captured",
            1,
            include_str!("../golden/hold.captured.v1.json"),
        ),
        (
            "hold.released",
            1,
            include_str!("../golden/hold.released.v1.json"),
        ),
        ("hold.expired", 1, include_str!("../golden/hold.expired.v1.json")),
        (
            "hold.extended",
            1,
            include_str!("../golden/hold.extended.v1.json"),
        ),
        (
            "reversal.debited",
            1,
            include_str!("../golden/reversal.debited.v1.json"),
        ),
        (
            "reversal.credited",
            1,
            include_str!("../golden/reversal.credited.v1.json"),
        ),
        (
            "wallet.frozen",
            1,
            include_str!("../golden/wallet.frozen.v1.json"),
        ),
        (
            "wallet.unfrozen",
            1,
            include_str!("../golden/wallet.unfrozen.v1.json"),
        ),
        (
            "wallet.closed",
            1,
            include_str!("../golden/wallet.closed.v1.json"),
        ),
        (
            "wallet.overdraft_limit_set",
            1,
            include_str!("../golden/wallet.overdraft_limit_set.v1.json"),
        ),
        (
            "wallet.personal_data_erased",
            1,
            include_str!("../golden/wallet.personal_data_erased.v1.json"),
        ),
        (
            "wallet.created",
            1,
            include_str!("../golden/wallet.created.v1.json"),
        ),
        (
            "wallet.credited",
            1,
            include_str!("../golden/wallet.credited.v1.json"),
        ),
        (
            "wallet.debited",
            1,
            include_str!("../golden/wallet.debited.v1.json"),
        ),
        (
            "transfer.debited",
            1,
            include_str!("../golden/transfer.debited.v1.json"),
        ),
        (
            "wallet.credited",
            1,
            include_str!("../golden/wallet.credited.v1.external_id.json"),
        ),
        (
            "transfer.debited",
            1,
            include_str!("../golden/transfer.debited.v1.external_id.json"),
        ),
        (
            "hold.captured",
            1,
            include_str!("../golden/hold.captured.v1.external_id.json"),
        ),
        (
            "reversal.debited",
            1,
            include_str!("../golden/reversal.debited.v1.external_id.json"),
        ),
        (
            "transfer.credited",
            1,
            include_str!("../golden/transfer.credited.v1.json"),
        ),
    ];
    for (event_type, version, text) in golden {
        let text = text.trim_end();
        let event = EventData::decode(event_type, version, text.as_bytes()).unwrap();
        assert_eq!(event.event_type(), event_type);
        if version == event.schema_version() {
            assert_eq!(String::from_utf8(event.encode().unwrap()).unwrap(), text);
        }
    }
    for kind in EventKind::ALL {
        for version in 1..=kind.schema_version() {
            assert!(
                golden
                    .iter()
                    .any(|(name, v, _)| *name == kind.as_str() && *v == version),
                "{} version {version} has no golden file",
                kind.as_str()
            );
        }
    }
}
