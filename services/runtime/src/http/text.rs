//! Texts as callers write them. The invariant: a name that a body accepts can be queried; both follow the rule below.

/// Maximum length of a name in characters: a reference, an owner, an external id.
pub const MAX_NAME: usize = 255;

/// Completes "… must …", and also works as a sentence of its own.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
pub enum InvalidText {
    #[error("must have 1 to {max} characters")]
    Length { max: usize },
    #[error("must not contain control characters other than line feed and tab")]
    Control,
}

/// Refuses a text that is empty, longer than `max` characters, or contains characters not allowed in names. PostgreSQL
/// cannot store NUL at all.
pub fn check_text(text: &str, max: usize) -> Result<(), InvalidText> {
    if text.is_empty() || text.chars().count() > max {
        return Err(InvalidText::Length { max });
    }
    let unfit = |c: char| c.is_control() && c != '\n' && c != '\t';
    if text.chars().any(unfit) {
        return Err(InvalidText::Control);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_count_and_not_bytes() {
        for text in ["x", "ééé", "日本語", "a\nb", "\t", " "] {
            assert_eq!(check_text(text, 3), Ok(()), "{text:?}");
        }
        for text in ["", "four", "éééé"] {
            assert_eq!(
                check_text(text, 3),
                Err(InvalidText::Length { max: 3 }),
                "{text:?}"
            );
        }
    }

    #[test]
    fn control_characters_are_refused() {
        for text in ["\0", "a\rb", "\u{7f}", "\u{85}", "\u{9f}"] {
            assert_eq!(check_text(text, 3), Err(InvalidText::Control), "{text:?}");
        }
    }
}
