//! Shutdown: the first SIGTERM or SIGINT asks everyone to finish, the second ends the process at once.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A token that the first SIGTERM or SIGINT cancels. A second signal exits with 128 + its number (143, 130), the
/// shell's convention. Call it once, inside the runtime, before anything that may wait.
pub fn token() -> CancellationToken {
    let token = CancellationToken::new();
    match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(terminate), Ok(interrupt)) => {
            tokio::spawn(watch(terminate, interrupt, token.clone()));
        }
        (Err(error), _) | (_, Err(error)) => {
            tracing::error!(%error, "signals cannot be watched: SIGTERM ends the process without draining");
        }
    }
    token
}

async fn watch(mut terminate: Signal, mut interrupt: Signal, token: CancellationToken) {
    loop {
        let (name, code) = tokio::select! {
            _ = terminate.recv() => ("SIGTERM", 143),
            _ = interrupt.recv() => ("SIGINT", 130),
        };
        if token.is_cancelled() {
            tracing::warn!(signal = name, "second signal: exiting without waiting");
            std::process::exit(code);
        }
        tracing::info!(signal = name, "shutting down");
        token.cancel();
    }
}
