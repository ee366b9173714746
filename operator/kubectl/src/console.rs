//! Where the plugin writes: results to standard output, progress and errors to standard error.
//!
//! Invariant: text from a cluster is shown without control characters, so no log line or message can control the terminal.

use std::borrow::Cow;
use std::io::{self, IsTerminal as _, Write};

use super::connect::may_colour;
use super::error::Error;

/// The two output streams of the process, or their substitutes.
pub struct Console {
    out: Box<dyn Write + Send + Sync>,
    err: Box<dyn Write + Send + Sync>,
    /// Whether results are coloured.
    pub colour: bool,
    /// Whether results are drawn on a terminal that can be cleared.
    pub terminal: bool,
}

impl Console {
    pub fn of_process() -> Self {
        Self {
            out: Box::new(io::stdout()),
            err: Box::new(io::stderr()),
            colour: may_colour(),
            terminal: io::stdout().is_terminal(),
        }
    }

    /// Writes to these streams instead, without colour.
    pub fn new(out: impl Write + Send + Sync + 'static, err: impl Write + Send + Sync + 'static) -> Self {
        Self {
            out: Box::new(out),
            err: Box::new(err),
            colour: false,
            terminal: false,
        }
    }

    /// Prints a finished result, such as a screen.
    pub(super) fn print(&mut self, text: &str) -> Result<(), Error> {
        self.out.write_all(text.as_bytes())?;
        Ok(self.out.flush()?)
    }

    /// Prints a line of a result.
    pub(super) fn line(&mut self, text: &str) -> Result<(), Error> {
        writeln!(self.out, "{}", harmless(text))?;
        Ok(self.out.flush()?)
    }

    /// Clears a terminal; elsewhere an empty line separates one drawing from the next.
    pub(super) fn clear(&mut self) -> Result<(), Error> {
        self.print(if self.terminal { "\x1b[H\x1b[2J" } else { "\n" })
    }

    /// Reports progress. Progress that can't be shown is not a failure.
    pub(super) fn progress(&mut self, text: &str) {
        let _ = writeln!(self.err, "{}", harmless(text));
        let _ = self.err.flush();
    }

    /// Reports why it failed. Returns the exit code.
    pub(super) fn failed(&mut self, error: &Error) -> u8 {
        if error.is_closed_pipe() {
            return 0;
        }
        for (number, line) in error.to_string().lines().enumerate() {
            let prefix = if number == 0 { "error: " } else { "" };
            self.progress(&format!("{prefix}{line}"));
        }
        1
    }
}

/// `text` without control characters, except tabs.
pub(super) fn harmless(text: &str) -> Cow<'_, str> {
    let harmful = |c: char| c.is_control() && c != '\t';
    if text.contains(harmful) {
        text.chars()
            .map(|c| if harmful(c) { '\u{fffd}' } else { c })
            .collect::<String>()
            .into()
    } else {
        text.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_a_cluster_steers_a_terminal() {
        assert_eq!(harmless("fine\tas it is"), "fine\tas it is");
        assert_eq!(harmless("\x1b[2Jgone"), "\u{fffd}[2Jgone");
    }
}
