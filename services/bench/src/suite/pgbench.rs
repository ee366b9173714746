//! The yardstick: pgbench's TPC-B on the same server, before and after. What a machine and its disk can do differs by an order
//! of magnitude; a ratio to this can be compared.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, bail};
use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;
use wallex_runtime::database::ssl_mode;

use crate::suite::server::Server;

/// Clients and threads, as in `-M prepared -c 32 -j 2`.
const CLIENTS: &str = "32";
const THREADS: &str = "2";

/// A filled database for pgbench.
pub(crate) struct Pgbench {
    program: PathBuf,
    environment: Vec<(&'static str, String)>,
    seconds: u64,
}

impl Pgbench {
    pub(crate) async fn fill(
        server: &Server,
        database: String,
        scale: u32,
        seconds: u64,
        stop: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let url = server.create(&database).await?;
        let pgbench = Self {
            program: program(),
            environment: environment(&url.parse()?)?,
            seconds,
        };
        let scale = scale.to_string();
        pgbench.call(&["-i", "-q", "-s", &scale], stop).await?;
        server.settle().await;
        Ok(pgbench)
    }

    /// Transactions per second.
    pub(crate) async fn run(&self, stop: &CancellationToken) -> anyhow::Result<f64> {
        let seconds = self.seconds.to_string();
        let arguments = [
            "-n", "-M", "prepared", "-c", CLIENTS, "-j", THREADS, "-T", &seconds,
        ];
        let output = self.call(&arguments, stop).await?;
        per_second(&output).with_context(|| format!("pgbench's output has no tps: {output}"))
    }

    async fn call(&self, arguments: &[&str], stop: &CancellationToken) -> anyhow::Result<String> {
        let program = self.program.display();
        let output = Command::new(&self.program)
            .args(arguments)
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .output();
        let output = tokio::select! {
            output = output => output,
            () = stop.cancelled() => bail!("stopped"),
        };
        let output = output
            .with_context(|| format!("{program} cannot be run; it comes with Debian's postgresql package"))?;
        if !output.status.success() {
            bail!("{program} failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// Debian's, of the newest version; otherwise the one on the path.
fn program() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let version = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    versions
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter_map(|path| Some((version(&path)?, path.join("bin/pgbench"))))
        .filter(|(_, program)| program.exists())
        .max()
        .map_or_else(|| PathBuf::from("pgbench"), |(_, program)| program)
}

/// For libpq: in variables, so that the password does not show in the list of processes.
fn environment(options: &PgConnectOptions) -> anyhow::Result<Vec<(&'static str, String)>> {
    let url = options.to_url_lossy();
    let database = options.get_database().context("no database")?;
    Ok(vec![
        ("PGHOST", options.get_host().to_owned()),
        ("PGPORT", options.get_port().to_string()),
        ("PGUSER", options.get_username().to_owned()),
        ("PGDATABASE", database.to_owned()),
        ("PGPASSWORD", decoded(url.password().unwrap_or_default())),
        ("PGSSLMODE", ssl_mode(options).to_owned()),
        ("PGAPPNAME", "wallex-bench-tpcb".to_owned()),
    ])
}

/// Undoes the percent-encoding of a URL.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(escaped.unwrap_or(bytes[at]));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn per_second(output: &str) -> Option<f64> {
    let line = output.lines().find_map(|line| line.strip_prefix("tps = "))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_stands_in_the_last_line() {
        let output = "latency average = 6.2 ms\ninitial connection time = 49.1 ms\ntps = 5135.042573 (without initial connection time)\n";
        assert_eq!(per_second(output), Some(5_135.042_573));
        assert_eq!(per_second("pgbench: error"), None);
    }

    #[test]
    fn a_password_may_contain_anything() {
        assert_eq!(decoded("p%40ss%25w%C3%B6rd"), "p@ss%wörd");
        assert_eq!(decoded("50%"), "50%");
    }
}
