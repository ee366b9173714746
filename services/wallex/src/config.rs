//! `wallex config`: the settings in force, and a reference of all settings. It fails only on an invalid setting, and
//! never shows a secret: the platform crate has already masked what it prints.

use std::io::Write as _;
use std::process::ExitCode;

use wallex_runtime::settings::reference;
use wallex_runtime::{Flags, Settings};

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Print every setting with its meaning, values and default instead, as docs/configuration.md
    #[arg(long)]
    reference: bool,
}

pub(crate) fn run(flags: &Flags, args: &Args) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    if args.reference {
        write!(out, "{}", reference())?;
        return Ok(ExitCode::SUCCESS);
    }
    let (_, in_force) = Settings::load_in_force(flags)?;
    for setting in in_force {
        writeln!(out, "{setting}")?;
    }
    Ok(ExitCode::SUCCESS)
}
