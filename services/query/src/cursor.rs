//! The opaque cursor of a wallet's history: the version to read on below. It is bound to its wallet and
//! carries a check, so that a cursor that was shortened, edited or taken to another wallet is refused
//! instead of silently starting somewhere else. It is no secret and grants nothing.

use uuid::Uuid;

/// Bumped when the content changes; cursors of another form are refused as invalid.
const FORM: u8 = 1;
const CHECK_BYTES: usize = 4;
const BYTES: usize = 1 + 8 + CHECK_BYTES;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct InvalidCursor;

fn check(wallet: Uuid, content: &[u8]) -> [u8; CHECK_BYTES] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(wallet.as_bytes());
    hasher.update(content);
    let mut check = [0; CHECK_BYTES];
    check.copy_from_slice(&hasher.finalize().as_bytes()[..CHECK_BYTES]);
    check
}

/// The cursor that goes on below `version` (exclusive).
pub(crate) fn encode(wallet: Uuid, version: i64) -> String {
    let mut bytes = Vec::with_capacity(BYTES);
    bytes.push(FORM);
    bytes.extend_from_slice(&version.to_be_bytes());
    let check = check(wallet, &bytes);
    bytes.extend_from_slice(&check);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The version that the cursor goes on below (exclusive).
pub(crate) fn decode(wallet: Uuid, text: &str) -> Result<i64, InvalidCursor> {
    let text = text.as_bytes();
    if text.len() != BYTES * 2 {
        return Err(InvalidCursor);
    }
    let mut bytes = [0; BYTES];
    for (byte, digits) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(digits[0])? << 4 | digit(digits[1])?;
    }
    let (content, claimed) = bytes.split_at(BYTES - CHECK_BYTES);
    if claimed != check(wallet, content) || content[0] != FORM {
        return Err(InvalidCursor);
    }
    let version = content[1..]
        .try_into()
        .map(i64::from_be_bytes)
        .map_err(|_| InvalidCursor)?;
    if version > 0 {
        Ok(version)
    } else {
        Err(InvalidCursor)
    }
}

/// Lower case only: one cursor has one text.
fn digit(byte: u8) -> Result<u8, InvalidCursor> {
    match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        _ => Err(InvalidCursor),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALLET: Uuid = Uuid::from_u128(7);

    #[test]
    fn a_cursor_reads_back() {
        for version in [1, 2, 255, 1 << 40, i64::MAX] {
            assert_eq!(decode(WALLET, &encode(WALLET, version)), Ok(version));
        }
    }

    #[test]
    fn another_wallets_cursor_is_refused() {
        assert_eq!(decode(Uuid::from_u128(8), &encode(WALLET, 5)), Err(InvalidCursor));
    }

    #[test]
    fn a_changed_cursor_is_refused() {
        let cursor = encode(WALLET, 5);
        for at in 0..cursor.len() {
            for by in ["0", "f", "F", "é", " "] {
                let mut changed = cursor.clone();
                changed.replace_range(at..=at, by);
                assert!(
                    changed == cursor || decode(WALLET, &changed).is_err(),
                    "{changed}"
                );
            }
        }
        assert_eq!(decode(WALLET, &cursor[2..]), Err(InvalidCursor));
        assert_eq!(decode(WALLET, ""), Err(InvalidCursor));
    }
}
