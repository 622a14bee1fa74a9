//! `greenloom load`: many clients that talk to a server at once, and how long it made them wait.
//!
//! Each client is a task with a connection of its own that sends a message, waits for the whole reply, checks
//! it, and sends the next: a closed loop. A server that stalls therefore slows its clients down, and the stall
//! counts once per client, not once per message that would have been sent meanwhile.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::rc::Rc;
use std::time::{Duration, Instant};

use clap::Args;
use greenloom::Group;
use greenloom::net::TcpStream;
use hdrhistogram::Histogram;

use crate::arguments::{positive, seconds};
use crate::output::{self, Console, REDRAW_INTERVAL};
use crate::serve::Service;
use crate::stop::{Cause, Stop};
use crate::{Exit, limits};

const EXAMPLES: &str = "\
Examples:
  greenloom load                               500 clients, 20 messages each, to 127.0.0.1:7777
  greenloom load --clients 5000 --messages 100 --size 1024
  greenloom load --addr server.example:9000 --timeout 2

Each reply must be the message itself (serve echo) or its capitals (serve upper).
Exit codes: 0 all replies were right, 1 some were not, 2 bad arguments, 130 ended by Ctrl-C.";

/// Longest piece sent before its reply is read. Sending all of a large message first could block for ever: the
/// server stops reading while nobody reads what it answers.
const PIECE: usize = 32 * 1024;

/// Measure a server: many clients at once, latencies, and whether the replies are right
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Where the server is
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7777")]
    addr: String,
    /// Clients at a time, each with a connection of its own
    #[arg(long, value_name = "N", default_value = "500", value_parser = positive)]
    clients: usize,
    /// Messages that each client sends
    #[arg(long, value_name = "N", default_value = "20", value_parser = positive)]
    messages: usize,
    /// Bytes in a message
    #[arg(long, value_name = "BYTES", default_value = "64", value_parser = positive)]
    size: usize,
    /// Seconds to wait for a connection, and for a reply
    #[arg(long, value_name = "S", default_value = "10", value_parser = seconds)]
    timeout: Duration,
}

/// What the clients do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) address: SocketAddr,
    pub(crate) clients: usize,
    pub(crate) messages: usize,
    pub(crate) size: usize,
    pub(crate) timeout: Duration,
}

/// What the clients saw.
pub(crate) struct Report {
    /// Times to connect, in microseconds.
    pub(crate) connects: Histogram<u64>,
    /// Times from a message to its whole reply, in microseconds.
    pub(crate) round_trips: Histogram<u64>,
    /// How often each kind of error occurred.
    pub(crate) errors: BTreeMap<String, u64>,
    /// What the server does, by its first reply.
    pub(crate) service: Option<Service>,
    pub(crate) took: Duration,
    pub(crate) stopped: Option<Cause>,
}

impl Report {
    fn new() -> Report {
        Report {
            connects: output::latencies(),
            round_trips: output::latencies(),
            errors: BTreeMap::new(),
            service: None,
            took: Duration::ZERO,
            stopped: None,
        }
    }

    /// Right replies per second.
    pub(crate) fn rate(&self) -> f64 {
        self.round_trips.len() as f64 / self.took.as_secs_f64().max(1e-9)
    }
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Exit {
    match attempt(arguments) {
        Ok(exit) => exit,
        Err(message) => Exit::failure(message),
    }
}

fn attempt(arguments: &Arguments) -> Result<Exit, String> {
    limits::allow_sockets(arguments.clients as u64)?;
    let addr = arguments.addr.clone();
    let address = greenloom::offload(move || addr.to_socket_addrs().map(|mut found| found.next()))
        .map_err(|error| format!("{}: {error}", arguments.addr))?
        .ok_or_else(|| format!("{}: no such address", arguments.addr))?;
    let stop = Stop::on_signals().map_err(|error| format!("cannot handle signals: {error}"))?;
    let plan = Plan {
        address,
        clients: arguments.clients,
        messages: arguments.messages,
        size: arguments.size,
        timeout: arguments.timeout,
    };
    let console = Console::stdout();
    let report = load(plan, &console, Some(&stop));
    summary(&report, &plan, &console);
    Ok(match report.stopped {
        Some(cause) => Exit::code(cause.exit_code()),
        None if report.errors.is_empty() => Exit::SUCCESS,
        None => Exit::code(1),
    })
}

fn summary(report: &Report, plan: &Plan, console: &Console) {
    if let Some(cause) = report.stopped {
        console.line(format_args!("stopped by {}; what there is until now:", cause.name()));
    }
    let replies = report.round_trips.len();
    console.row(
        "replies",
        format_args!(
            "{} to {} clients in {}: {}/s, {}/s each way (server: {})",
            output::grouped(replies),
            output::grouped(plan.clients as u64),
            output::duration(report.took),
            output::grouped(report.rate() as u64),
            output::bytes((report.rate() * plan.size as f64) as u64),
            report.service.map_or("unknown", Service::name),
        ),
    );
    if !report.connects.is_empty() {
        console.row("connect", output::quantiles(&report.connects));
    }
    if replies > 0 {
        console.row("round trip", output::quantiles(&report.round_trips));
    }
    if report.errors.is_empty() {
        console.row("errors", "none");
    }
    for (error, count) in &report.errors {
        console.row("errors", format_args!("{count} x {error}"));
    }
}

/// What the clients of one run share; they are tasks of one thread.
struct Shared {
    plan: Plan,
    report: RefCell<Report>,
    service: Cell<Option<Service>>,
    done: Cell<u64>,
}

/// Runs all clients in tasks of the current thread and waits for them.
pub(crate) fn load(plan: Plan, console: &Console, stop: Option<&Stop>) -> Report {
    let shared = Rc::new(Shared {
        plan,
        report: RefCell::new(Report::new()),
        service: Cell::new(None),
        done: Cell::new(0),
    });
    let start = Instant::now();
    let clients = Group::new();
    for client in 0..plan.clients {
        let shared = shared.clone();
        clients.spawn(move || {
            if let Err((what, error)) = converse(client, &shared) {
                let kind = format!("{what}: {}", plain(&error));
                *shared.report.borrow_mut().errors.entry(kind).or_insert(0) += 1;
            }
        });
    }
    let total = (plan.clients * plan.messages) as u64;
    let mut progress = console.progress("replies", total);
    let mut stopped = None;
    while !clients.join_timeout(REDRAW_INTERVAL) {
        progress.set(shared.done.get(), total, || format!("{} clients", clients.len()));
        stopped = stop.and_then(Stop::asked);
        if stopped.is_some() {
            clients.kill();
            break;
        }
    }
    drop(progress);
    let mut report = shared.report.replace(Report::new());
    report.service = shared.service.get();
    report.took = start.elapsed();
    report.stopped = stopped;
    report
}

/// One client: connects, then sends its messages one by one. An error comes with what was being done.
fn converse(client: usize, shared: &Shared) -> Result<(), (&'static str, io::Error)> {
    let plan = &shared.plan;
    let start = Instant::now();
    let mut stream =
        TcpStream::connect_timeout(&plan.address, plan.timeout).map_err(|error| ("connect", error))?;
    record(&mut shared.report.borrow_mut().connects, start.elapsed());
    stream
        .set_nodelay(true)
        .and_then(|()| stream.set_read_timeout(Some(plan.timeout)))
        .and_then(|()| stream.set_write_timeout(Some(plan.timeout)))
        .map_err(|error| ("set up", error))?;
    let mut message = vec![0; plan.size];
    let mut reply = vec![0; plan.size];
    for number in 0..plan.messages {
        // Letters only, so that every message differs from its capitals.
        for (index, byte) in message.iter_mut().enumerate() {
            *byte = b'a' + ((client + number + index) % 26) as u8;
        }
        let start = Instant::now();
        for (sent, received) in message.chunks(PIECE).zip(reply.chunks_mut(PIECE)) {
            stream.write_all(sent).map_err(|error| ("send", error))?;
            stream.read_exact(received).map_err(|error| ("receive", error))?;
        }
        let elapsed = start.elapsed();
        check(&message, &reply, &shared.service).map_err(|error| ("check", error))?;
        record(&mut shared.report.borrow_mut().round_trips, elapsed);
        shared.done.set(shared.done.get() + 1);
    }
    Ok(())
}

/// Whether `reply` is what a server of this kind answers; the first reply of all decides the kind.
fn check(message: &[u8], reply: &[u8], service: &Cell<Option<Service>>) -> io::Result<()> {
    let found = if reply == message {
        Service::Echo
    } else if reply.iter().eq(message.to_ascii_uppercase().iter()) {
        Service::Upper
    } else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the reply is neither the message nor its capitals",
        ));
    };
    let expected = service.get().unwrap_or(found);
    service.set(Some(expected));
    if found == expected {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, "some replies are in capitals and some are not"))
    }
}

fn record(histogram: &mut Histogram<u64>, elapsed: Duration) {
    histogram.saturating_record(elapsed.as_micros().try_into().unwrap_or(u64::MAX));
}

/// An error's text, the same for all errors of one kind.
fn plain(error: &io::Error) -> String {
    match error.kind() {
        // Blocking sockets report a timeout as either.
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => "timed out".to_owned(),
        io::ErrorKind::UnexpectedEof => "the server closed the connection".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_checked() {
        let service = Cell::new(None);
        check(b"abc", b"ABC", &service).unwrap();
        assert_eq!(service.get(), Some(Service::Upper));
        check(b"abc", b"abc", &service).unwrap_err();
        check(b"abc", b"ABc", &service).unwrap_err();
    }
}
