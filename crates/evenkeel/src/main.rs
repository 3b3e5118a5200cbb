//! The `evenkeel` program: reads its command line and does one thing.

mod ask;
mod certs;
mod cli;
mod commands;
mod control;
mod demo;
mod limits;
mod listeners;
mod picture;
mod supervisor;

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match commands::dispatch(cli) {
        Ok(code) => code,
        Err(sentence) => {
            // The one place where a failure becomes words and an exit status.
            eprintln!("evenkeel: {sentence}");
            ExitCode::FAILURE
        }
    }
}
