//! `switchhook`: the webhook layer for Genesys Cloud, in one program.
//!
//! This is the only crate that reads the command line, the environment and configuration files, and the
//! only one that writes to stdout. It wires the others together and holds no decision of its own.
//!
//! * [`cmd`]: one file for each group of commands
//! * [`client`]: the gateway's API, for every command that talks to one that runs
//! * [`config`]: files and environment, handed to `switchhook_wire::config`
//! * [`output`], [`exit`]: what is said, where, and how the process ends
//! * [`live`], [`logs`], [`signals`]: what long-running commands share

mod client;
mod cmd;
mod config;
mod exit;
mod live;
mod logs;
mod output;
mod signals;

use std::process::ExitCode;

use crate::exit::{Code, Failure};
use crate::output::Output;

fn main() -> ExitCode {
    let cli = match cmd::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are asked for and go to stdout; mistakes go to stderr with exit code 2.
            error.print().ok();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(Code::Usage as u8));
        }
    };
    let output = Output::new(cli.global.json, cli.global.quiet, cli.global.no_color);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(cmd::run(cli, output)),
        Err(error) => Err(Failure::unexpected("the runtime cannot be started", error)),
    };
    match result {
        Ok(()) => Code::Success.into(),
        Err(failure) => {
            output.fail(&failure);
            failure.code.into()
        }
    }
}
