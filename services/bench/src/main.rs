//! `wallex-bench`: the load generator as a program.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use wallex_bench::{Args, SuiteArgs};

/// As in the services: the generator shares the processors with what it measures.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(name = "wallex-bench", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(flatten)]
    args: Args,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Subcommand)]
enum Verb {
    Suite(SuiteArgs),
}

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { args, verb } = Cli::parse();
    let code = match verb {
        None => wallex_bench::run(args).await,
        Some(Verb::Suite(args)) => wallex_bench::run_suite(args).await,
    };
    match code {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
