//! The opaque cursors of lists: the key to read on after. A cursor is bound to its scope (the list with everything that
//! says which rows it has) and carries a check, so that one that was shortened, edited or taken to another list is
//! refused instead of silently starting somewhere else. It is no secret and grants nothing.

/// Bumped when the content changes; cursors of another form are refused as invalid.
const FORM: u8 = 2;
const CHECK_BYTES: usize = 8;

/// What a cursor belongs to: the name of the list, and its filters in one order.
#[derive(Clone)]
pub(crate) struct Scope(blake3::Hasher);

impl Scope {
    /// Lists have different names.
    pub(crate) fn of(list: &str) -> Self {
        Self(blake3::Hasher::new()).with(Some(list.as_bytes()))
    }

    /// Adds a filter, or its absence. Each is told apart from its neighbours.
    #[must_use]
    pub(crate) fn with(mut self, filter: Option<impl AsRef<[u8]>>) -> Self {
        match filter {
            None => {
                self.0.update(&[0]);
            }
            Some(filter) => {
                let bytes = filter.as_ref();
                self.0.update(&[1]);
                self.0.update(&(bytes.len() as u64).to_be_bytes());
                self.0.update(bytes);
            }
        }
        self
    }

    fn check(&self, content: &[u8]) -> [u8; CHECK_BYTES] {
        let mut hasher = self.0.clone();
        hasher.update(content);
        let mut check = [0; CHECK_BYTES];
        check.copy_from_slice(&hasher.finalize().as_bytes()[..CHECK_BYTES]);
        check
    }

    /// The cursor that goes on after `key`.
    pub(crate) fn encode(&self, key: &[u8]) -> String {
        let mut bytes = vec![FORM];
        bytes.extend_from_slice(key);
        let check = self.check(&bytes);
        bytes.extend_from_slice(&check);
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The key, of a cursor that this scope made with a key of `N` bytes.
    pub(crate) fn decode<const N: usize>(&self, text: &str) -> Option<[u8; N]> {
        let text = text.as_bytes();
        if text.len() != (1 + N + CHECK_BYTES) * 2 {
            return None;
        }
        let mut bytes = Vec::with_capacity(1 + N + CHECK_BYTES);
        for digits in text.chunks_exact(2) {
            bytes.push(digit(digits[0])? << 4 | digit(digits[1])?);
        }
        let (content, claimed) = bytes.split_at(1 + N);
        if content[0] != FORM || claimed != self.check(content) {
            return None;
        }
        content[1..].try_into().ok()
    }
}

/// Lower case only: one cursor has one text.
fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(wallet: &str, reference: Option<&str>) -> Scope {
        Scope::of("entries").with(Some(wallet)).with(reference)
    }

    #[test]
    fn a_cursor_reads_back() {
        for version in [1, 2, 255, 1 << 40, i64::MAX] {
            let key = version.to_be_bytes();
            assert_eq!(scope("a", None).decode(&scope("a", None).encode(&key)), Some(key));
        }
    }

    #[test]
    fn a_cursor_of_another_list_or_filter_is_refused() {
        let cursor = scope("a", Some("b")).encode(&[0; 8]);
        let others = [
            scope("b", Some("b")),
            scope("a", None),
            scope("a", Some("")),
            scope("ab", Some("")),
            Scope::of("holds").with(Some("a")).with(Some("b")),
            Scope::of("entries").with(Some("a")),
        ];
        for other in others {
            assert_eq!(other.decode::<8>(&cursor), None);
        }
        assert_eq!(scope("a", Some("b")).decode::<16>(&cursor), None);
    }

    #[test]
    fn a_changed_cursor_is_refused() {
        let scope = scope("a", None);
        let cursor = scope.encode(&5_i64.to_be_bytes());
        for at in 0..cursor.len() {
            for by in ["0", "f", "F", "é", " "] {
                let mut changed = cursor.clone();
                changed.replace_range(at..=at, by);
                assert!(
                    changed == cursor || scope.decode::<8>(&changed).is_none(),
                    "{changed}"
                );
            }
        }
        assert_eq!(scope.decode::<8>(&cursor[2..]), None);
        assert_eq!(scope.decode::<8>(""), None);
    }
}
