//! `wallex log-level`: asks a role on this machine, or in this pod, over the loopback interface. The image has neither
//! a shell nor an HTTP client, so the binary brings its own.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::{Method, StatusCode};
use wallex_runtime::http::client::{Connection, Target};
use wallex_runtime::{Flags, Settings};

/// A working role answers at once.
const LIMIT: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// trace, debug, info, warn, error, off, or levels by module as the setting log has them. None: show what is in force
    level: Option<String>,
    /// Port of the role [default: that of the setting listen]
    #[arg(long)]
    port: Option<u16>,
}

pub(crate) async fn run(flags: &Flags, args: &Args) -> anyhow::Result<ExitCode> {
    let port = match args.port {
        Some(port) => port,
        None => Settings::load(flags)?.listen.port(),
    };
    let role = format!("http://127.0.0.1:{port}");
    let mut connection = Connection::new(Arc::new(Target::parse(&role)?));
    let (method, body) = match &args.level {
        Some(level) => (Method::PUT, Bytes::from(level.clone())),
        None => (Method::GET, Bytes::new()),
    };
    let answer = connection
        .send(method, "/log-level", &[], body, LIMIT)
        .await
        .with_context(|| format!("asking the role at {role}; name its port with --port"))?;
    let text = String::from_utf8_lossy(&answer.body);
    if answer.status != StatusCode::OK {
        bail!("{}: {}", answer.status, text.trim());
    }
    write!(std::io::stdout(), "{text}")?;
    Ok(ExitCode::SUCCESS)
}
