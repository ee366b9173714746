//! The binary `kubectl-wallex`, which kubectl runs as `kubectl wallex`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser as _;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = wallex_kubectl::Cli::parse();
    wallex_kubectl::main(cli.arguments).await.into()
}
