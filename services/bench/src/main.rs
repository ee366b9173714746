//! `wallex-bench`: the load generator as a program.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use wallex_bench::Args;

/// As in the services: the generator shares the processors with what it measures.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(name = "wallex-bench", version)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

#[tokio::main]
async fn main() -> ExitCode {
    match wallex_bench::run(Cli::parse().args).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
