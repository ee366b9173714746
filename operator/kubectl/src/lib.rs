//! `kubectl wallex`: a platform on one screen, and manual chores.
//!
//! Runs on the user's machine, with the rights of the user's kubeconfig. It shares only `wallex_crd` with the operator: not its
//! write paths, and no Kafka client. `find` and `access` read and report what went wrong; `console`, `text` and `screen` display;
//! one module per subcommand does the rest.
//!
//! Invariant: it changes only what the user named, under the field manager [`MANAGER`], and never a status. A Secret's value is
//! never shown or written.
#![forbid(unsafe_code)]

mod access;
mod args;
mod connect;
mod console;
mod error;
mod events;
mod facts;
mod find;
mod lag;
mod pods;
mod report;
mod restart;
mod screen;
mod status;
mod switch;
mod text;
mod verify;

use std::path::Path;

use jiff::Timestamp;
use kube::Client;
use tokio_util::sync::CancellationToken;

pub use args::{Arguments, Cli, Report, Restart, Status, Target, Verb, Verify};
pub use connect::connect;
pub use console::Console;
pub use error::Error;

/// Field manager of the fields that the plugin sets.
pub const MANAGER: &str = "kubectl-wallex";

/// The program's name when kubectl calls it: `kubectl wallex` runs `kubectl-wallex` from the PATH.
pub const PROGRAM: &str = "kubectl-wallex";

/// Whether a program called by this path (argv[0]) is the plugin.
pub fn is_called(program: &Path) -> bool {
    program.file_stem().is_some_and(|stem| stem == PROGRAM)
}

/// The context of one run of the plugin.
pub struct Session {
    pub client: Client,
    /// Namespace of the platforms: `--namespace`, or the context's.
    pub namespace: String,
    pub console: Console,
    /// The clock, for ages and file names.
    pub now: fn() -> Timestamp,
    /// Cancelled by Ctrl-C.
    pub stop: CancellationToken,
}

/// The outcome of a run without an error, reported by the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All is well: 0.
    Fine,
    /// The check found problems: 1.
    NotInOrder,
    /// Stopped by Ctrl-C: 130, as in shells.
    Stopped,
}

impl Outcome {
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::NotInOrder => 1,
            Self::Stopped => 130,
        }
    }
}

/// Runs the subcommand.
///
/// # Errors
/// See [`Error`]: each says what is missing and what to do.
pub async fn run(session: &mut Session, verb: Verb) -> Result<Outcome, Error> {
    let stop = session.stop.clone();
    match verb {
        Verb::Status(args) => unless(&stop, status::show(session, &args)).await,
        Verb::Pause { name } => unless(&stop, switch::pause(session, &name)).await,
        Verb::Suspend { name } => unless(&stop, switch::suspend(session, &name)).await,
        Verb::Resume { name } => unless(&stop, switch::resume(session, &name)).await,
        // These have something to clean up or report when stopped, so they check for it themselves.
        Verb::Restart(args) => restart::roll_all(session, &args).await,
        Verb::Verify(args) => verify::by_a_job(session, &args).await,
        Verb::Report(args) => report::write(session, &args).await,
    }
}

/// Does the work, and drops it on a request to stop.
async fn unless(
    stop: &CancellationToken,
    work: impl Future<Output = Result<Outcome, Error>>,
) -> Result<Outcome, Error> {
    tokio::select! {
        biased;
        () = stop.cancelled() => Ok(Outcome::Stopped),
        done = work => done,
    }
}

/// The whole run: connects, runs the subcommand, prints an error. Returns the exit code.
pub async fn main(arguments: Arguments) -> u8 {
    let stop = CancellationToken::new();
    let interrupted = stop.clone();
    tokio::spawn(async move {
        // The first Ctrl-C requests a stop, the second forces it.
        while tokio::signal::ctrl_c().await.is_ok() {
            if interrupted.is_cancelled() {
                std::process::exit(Outcome::Stopped.exit_code().into());
            }
            interrupted.cancel();
        }
    });
    let mut console = Console::of_process();
    let Arguments { target, verb } = arguments;
    let connected = tokio::select! {
        biased;
        () = stop.cancelled() => return Outcome::Stopped.exit_code(),
        connected = connect(&target) => connected,
    };
    let (client, namespace) = match connected {
        Ok(connected) => connected,
        Err(error) => return console.failed(&error),
    };
    let mut session = Session {
        client,
        namespace,
        console,
        now: Timestamp::now,
        stop,
    };
    match run(&mut session, verb).await {
        Ok(outcome) => outcome.exit_code(),
        Err(error) => session.console.failed(&error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubectl_calls_it_by_its_name_wherever_it_lies() {
        for program in [
            "kubectl-wallex",
            "/usr/local/bin/kubectl-wallex",
            "kubectl-wallex.exe",
        ] {
            assert!(is_called(program.as_ref()), "{program}");
        }
        for program in ["wallex-operator", "/kubectl-wallex/wallex-operator", ""] {
            assert!(!is_called(program.as_ref()), "{program}");
        }
    }
}
