//! What the process writes to the file of `--termination-message`: Kubernetes shows it as the container's termination message,
//! where the operator reads it. Failing to write it is only a warning: the process has already succeeded or failed.

use std::path::{Path, PathBuf};

use wallex_domain::{Ailment, LastWords};
use wallex_journal::history::HistoryError;
use wallex_journal::platform_id::PlatformIdError;
use wallex_journal::schema::MigrateError;
use wallex_runtime::database::ConnectError;
use wallex_runtime::kafka::WaitError;

/// Bytes of a termination message. Kubernetes keeps 4 KiB of each, and 12 KiB of all containers of a pod; a longer one would be cut
/// within the JSON.
const LIMIT: usize = 1536;

/// An error for which the operator's conditions may have a name.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Ailing {
    pub(crate) ailment: Option<Ailment>,
    pub(crate) message: String,
}

/// The file, if there is one.
#[derive(Debug, Clone, Default)]
pub(crate) struct TerminationMessage(Option<PathBuf>);

impl TerminationMessage {
    pub(crate) fn to(path: Option<&Path>) -> Self {
        // Kubernetes sets variables with optional values to the empty string.
        Self(
            path.filter(|path| !path.as_os_str().is_empty())
                .map(Path::to_owned),
        )
    }

    /// Records what ended the process; `told` is the text shown to people.
    pub(crate) fn failed(&self, error: &anyhow::Error, told: String) {
        self.leave(LastWords::Failed {
            code: ailment(error),
            message: told,
        });
    }

    pub(crate) fn leave(&self, words: LastWords) {
        let Some(path) = &self.0 else { return };
        if let Err(error) = std::fs::write(path, text(words)) {
            eprintln!("warning: the termination message {}: {error}", path.display());
        }
    }
}

/// The message as JSON that fits the limit. Long ones are cut at the end.
fn text(mut words: LastWords) -> String {
    loop {
        let text = serde_json::to_string(&words).unwrap_or_default();
        let excess = text.len().saturating_sub(LIMIT);
        match &mut words {
            // A byte takes at most six bytes in JSON, so this never cuts too much.
            LastWords::Failed { message, .. } if excess > 0 && !message.is_empty() => {
                let left = message.len().saturating_sub(excess.div_ceil(6));
                message.truncate(message.floor_char_boundary(left));
            }
            LastWords::Failed { .. } | LastWords::Migrated(_) => return text,
        }
    }
}

fn ailment(error: &anyhow::Error) -> Option<Ailment> {
    if let Some(Ailing { ailment, .. }) = error.downcast_ref() {
        return *ailment;
    }
    match error.downcast_ref() {
        Some(ConnectError::ShutDown { was_tried: true, .. }) => return Some(Ailment::DatabaseUnreachable),
        Some(
            ConnectError::ShutDown { was_tried: false, .. }
            | ConnectError::InvalidUrl { .. }
            | ConnectError::TransactionPooling { .. },
        )
        | None => {}
    }
    match error.downcast_ref() {
        Some(WaitError::ShutDown) => return Some(Ailment::KafkaUnreachable),
        Some(WaitError::Settings(_)) | None => {}
    }
    match error.downcast_ref() {
        Some(HistoryError::Empty { .. } | HistoryError::Another { .. } | HistoryError::Shorter { .. }) => {
            return Some(Ailment::JournalRewound);
        }
        Some(HistoryError::Database(_)) | None => {}
    }
    let claimed = match error.downcast_ref() {
        Some(MigrateError::Platform(error)) => Some(error),
        Some(MigrateError::Schema(_)) | None => error.downcast_ref(),
    };
    match claimed {
        Some(PlatformIdError::BelongsToAnother { .. }) => Some(Ailment::DatabaseTaken),
        Some(PlatformIdError::Unclaimed | PlatformIdError::Database(_)) | None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_words_lose_their_end_between_characters() {
        for (message, whole) in [("x", true), ("\u{1}", false), ("ä", false), ("\"\n", false)] {
            let count = if whole { LIMIT - 96 } else { LIMIT };
            let message = message.repeat(count);
            let code = Some(Ailment::DatabaseTaken);
            let text = text(LastWords::Failed {
                code,
                message: message.clone(),
            });
            assert!(
                text.len() <= LIMIT && (text.len() > LIMIT - 8 || whole),
                "{}",
                text.len()
            );
            let Ok(LastWords::Failed { message: left, .. }) = serde_json::from_str(&text) else {
                panic!("{text}");
            };
            assert!(message.starts_with(&left) && (message == left) == whole, "{text}");
        }
    }

    #[test]
    fn an_error_that_the_operator_knows_is_named_below_its_context() {
        let ailing = Ailing {
            ailment: Some(Ailment::SchemaMissing),
            message: "no schema".to_owned(),
        };
        let error = anyhow::Error::new(ailing).context("start");
        assert_eq!(ailment(&error), Some(Ailment::SchemaMissing));
        let lost = HistoryError::Empty { expected: 1 };
        assert_eq!(ailment(&lost.into()), Some(Ailment::JournalRewound));
        assert_eq!(ailment(&anyhow::anyhow!("no port")), None);
    }
}
