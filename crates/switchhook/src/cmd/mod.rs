//! The command line: which commands there are, and who does each.
//!
//! One file for each group of commands. A command takes its arguments and an [`Output`], and returns
//! nothing or a [`Failure`]. The examples of every `--help` stand in [`examples`] and are themselves tested.

mod alert;
mod apply;
mod attempt;
mod audit;
mod bench;
pub(crate) mod breaker;
mod changes;
mod check;
mod client;
mod demo;
mod dlq;
mod drift;
mod event;
mod examples;
mod explain;
mod export;
mod genesys;
mod group;
mod job;
mod plan;
mod policy;
mod replay;
mod resource;
mod secret;
mod send;
mod serve;
mod sim;
mod store;
mod tail;
mod token;
mod trial;
mod version;
mod versions;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::client::{Client, SERVER_DEFAULT, Trust};
use crate::config;
use crate::exit::{Failure, Outcome};
use crate::output::Output;

/// The webhook layer for Genesys Cloud: takes signed events in, stores them, and delivers them.
#[derive(Debug, Parser)]
#[command(
    name = "switchhook",
    version,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    /// Flags that every command takes.
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Flags that every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Print results as JSON, one value on each line
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Say nothing on stderr but errors
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Use no colour (also: NO_COLOR)
    #[arg(long, global = true)]
    pub(crate) no_color: bool,
    /// Admin address of the gateway (also: SWITCHHOOK_SERVER) [default: http://127.0.0.1:8081]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) server: Option<String>,
    /// File with the API token (also: SWITCHHOOK_TOKEN, the token itself)
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Certificates to trust an https address by, in PEM, instead of this machine's (also: SWITCHHOOK_CA)
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
}

impl Global {
    /// A client of the gateway that the flags and the environment name.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        let server = self
            .server
            .clone()
            .or_else(|| config::setting("SWITCHHOOK_SERVER"));
        let token = config::token(self.token_file.as_deref())?;
        let server = server.as_deref().unwrap_or(SERVER_DEFAULT);
        let ca = self.ca.clone();
        let ca = ca.or_else(|| config::setting("SWITCHHOOK_CA").map(PathBuf::from));
        let trust = match ca {
            Some(file) => Trust::Pem(config::text(&file)?),
            None => Trust::Machine,
        };
        Ok(Client::new(server, token.as_deref(), &trust)?)
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch it work: gateway, event source and three receivers in one process
    Demo(demo::Args),
    /// Run the gateway
    Serve(serve::Args),
    /// Send a signed test event through a source
    Send(send::Args),
    /// Watch attempts as they happen
    Tail(tail::Args),
    /// Have the gateway read its configuration file again
    Reload(versions::ReloadArgs),
    /// The configuration of the gateway: what is in force, its versions, and going back
    #[command(subcommand)]
    Config(versions::Command),
    /// Show what files that declare resources would change at the gateway
    Plan(plan::Args),
    /// Have the gateway have what files declare
    Apply(apply::Args),
    /// Write the resources of the gateway's API as a file that declares them
    Export(export::Args),
    /// Show where the gateway and files differ, and who changed it when
    Drift(drift::Args),
    /// Check a configuration file: all problems at once
    Check(check::Args),
    /// Run the tests in a configuration file: event in, what comes out
    Test(trial::Args),
    /// Retry policies, and the schedule that each gives
    #[command(subcommand)]
    Policy(policy::Command),
    /// Ways in
    #[command(subcommand)]
    Source(resource::Action<resource::SourceFlags>),
    /// Where deliveries go
    #[command(subcommand)]
    Endpoint(resource::EndpointCommand),
    /// Which events go where
    #[command(subcommand)]
    Subscription(resource::SubscriptionCommand),
    /// Endpoints that share subscriptions, and their partitions
    #[command(subcommand)]
    Group(group::Command),
    /// Breakers of endpoints: how they stand, and opening and closing them
    #[command(subcommand)]
    Breaker(breaker::Command),
    /// Secrets: what is known of them, and new values
    #[command(subcommand)]
    Secret(secret::Command),
    /// Accepted events and what became of them
    #[command(subcommand)]
    Event(event::Command),
    /// Attempts: HTTP requests one by one, over all events
    #[command(subcommand)]
    Attempt(attempt::Command),
    /// Explain an event: who takes it and who does not, where it is, and why
    Explain(explain::Args),
    /// Deliver events of the log again
    Replay(replay::Args),
    /// Replays that the gateway works on
    #[command(subcommand)]
    Job(job::Command),
    /// Dead letters: deliveries that were given up
    #[command(subcommand)]
    Dlq(dlq::Command),
    /// What the gateway watches, and what is out of bounds
    #[command(subcommand)]
    Alert(alert::Command),
    /// API tokens: who may use the gateway's API
    #[command(subcommand)]
    Token(token::Command),
    /// OAuth clients: programs that fetch their tokens with an id and a secret
    #[command(subcommand)]
    Client(client::Command),
    /// Who did what
    #[command(subcommand)]
    Audit(audit::Command),
    /// Webhooks at a management API: Genesys Cloud's shape, a gateway's, a simulator's
    Genesys(genesys::GenesysArgs),
    /// Changes made there that failed for good or were cut off
    Changes(changes::ChangesArgs),
    /// The store: state, proof, copies
    #[command(subcommand)]
    Store(store::Command),
    /// Measure events per second, latencies, CPU and memory on this machine
    Bench(bench::Args),
    /// A process of the bench
    #[command(subcommand, hide = true)]
    BenchRole(bench::Role),
    /// Simulate what stands around a gateway
    #[command(subcommand)]
    Sim(sim::Command),
    /// Print the version, and that of the gateway with --server
    Version,
}

/// The command line with the examples of every command.
fn command() -> clap::Command {
    examples::attach(Cli::command())
}

/// Reads the command line.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    Cli::from_arg_matches(&command().try_get_matches_from(args)?)
}

/// Does what the command line says.
pub(crate) async fn run(cli: Cli, output: Output) -> Outcome {
    let Cli { global, command } = cli;
    match command {
        Command::Demo(args) => demo::run(args, output).await,
        Command::Serve(args) => serve::run(args, output).await,
        Command::Send(args) => send::run(args, &global.client()?, output).await,
        Command::Tail(args) => tail::run(args, &global.client()?, output).await,
        Command::Reload(args) => versions::reload(args, &global.client()?, output).await,
        Command::Config(command) => versions::run(command, &global.client()?, output).await,
        Command::Plan(args) => plan::run(args, &global.client()?, output).await,
        Command::Apply(args) => apply::run(args, &global.client()?, output).await,
        Command::Export(args) => export::run(args, &global.client()?, output).await,
        Command::Drift(args) => drift::run(args, &global.client()?, output).await,
        Command::Check(args) => check::run(&args, output),
        Command::Test(args) => trial::run(args, output),
        Command::Policy(command) => policy::run(command, &global, output).await,
        Command::Source(action) => action.run(&global.client()?, output).await,
        Command::Endpoint(command) => command.run(&global.client()?, output).await,
        Command::Subscription(command) => command.run(&global.client()?, output).await,
        Command::Group(command) => group::run(command, &global.client()?, output).await,
        Command::Breaker(command) => breaker::run(command, &global.client()?, output).await,
        Command::Secret(command) => secret::run(command, &global, output).await,
        Command::Event(command) => event::run(command, &global.client()?, output).await,
        Command::Attempt(command) => attempt::run(command, &global.client()?, output).await,
        Command::Explain(args) => explain::run(args, &global.client()?, output).await,
        Command::Replay(args) => replay::run(args, &global.client()?, output).await,
        Command::Job(command) => job::run(command, &global.client()?, output).await,
        Command::Dlq(command) => dlq::run(command, &global.client()?, output).await,
        Command::Alert(command) => alert::run(command, &global.client()?, output).await,
        Command::Token(command) => token::run(command, &global.client()?, output).await,
        Command::Client(command) => client::run(command, &global.client()?, output).await,
        Command::Audit(command) => audit::run(command, &global, output).await,
        Command::Genesys(args) => genesys::run(args, output).await,
        Command::Changes(args) => changes::run(args, output).await,
        Command::Store(command) => store::run(command, &global, output).await,
        Command::Bench(args) => bench::run(args, output).await,
        Command::BenchRole(role) => bench::run_role(role, output).await,
        Command::Sim(command) => sim::run(command, output).await,
        Command::Version => version::run(&global, output).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }
}
