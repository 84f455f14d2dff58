//! The store, measured beside etcd and beside what the disk can do.
//!
//! `cargo run --release -p orc-benches --bin store -- commits --dir .`
//!
//! | step | what |
//! |---|---|
//! | `commits` | durable commits a second and p99: orc's trait in process, etcd by its client, orc over HTTPS; the disk's own sync rate |
//! | `fanout` | one writer, 10,000 watchers with selectors: deliveries a second, p99 delay, bytes a watcher |
//! | `list` | a list of 150,000 pods over HTTPS: first byte, total, memory beyond the store's own |
//! | `growth` | 10k, 100k, 1M pods: load, memory, recovery after `kill -9`, with plots |

mod commits;
mod fanout;
mod growth;
mod list;
mod memory;
mod raw_etcd;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Measures the store", disable_help_subcommand = true)]
struct Args {
    #[command(subcommand)]
    step: Step,
}

#[derive(Subcommand)]
enum Step {
    /// Durable commits, beside etcd.
    Commits(commits::Args),
    /// Watch fan-out.
    Fanout(fanout::Args),
    /// A list of very many pods.
    List(list::Args),
    /// How time and memory grow with the number of objects.
    Growth(growth::Args),
    /// One size of `growth`; started by it.
    #[command(hide = true)]
    GrowthChild(growth::Child),
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        match args.step {
            Step::Commits(args) => commits::run(args).await,
            Step::Fanout(args) => fanout::run(args).await,
            Step::List(args) => list::run(args).await,
            Step::Growth(args) => growth::run(args),
            Step::GrowthChild(args) => growth::child(args).await,
        }
    })
}
