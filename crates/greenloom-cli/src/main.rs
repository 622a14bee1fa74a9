//! The `greenloom` program: what the runtime can do, in four commands.
//!
//! `demo` is the tour of the tutorial; `crawl` a web crawler; `serve` and `load` a server and what measures it.
//! Each is an ordinary blocking-style program on the public API of the `greenloom` crate.

mod arguments;
mod crawl;
mod demo;
mod limits;
mod load;
mod output;
mod serve;
mod site;
mod stop;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Blocking-style tasks, many to a thread: a tour, a crawler, a server and a load generator
#[derive(Debug, Parser)]
#[command(name = "greenloom", version, max_term_width = 100, subcommand_required = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Arguments),
    Crawl(crawl::Arguments),
    Serve(serve::Arguments),
    Load(load::Arguments),
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Exit(u8);

impl Exit {
    const SUCCESS: Exit = Exit(0);

    fn code(code: u8) -> Exit {
        Exit(code)
    }

    /// Says what went wrong on standard error.
    fn failure(message: impl std::fmt::Display) -> Exit {
        eprintln!("greenloom: {message}");
        Exit(1)
    }
}

fn main() -> ExitCode {
    // Bad arguments end in `parse`: a message on standard error and exit code 2.
    let Exit(code) = match Cli::parse().command {
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Crawl(arguments) => crawl::run(arguments),
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Load(arguments) => load::run(&arguments),
    };
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
