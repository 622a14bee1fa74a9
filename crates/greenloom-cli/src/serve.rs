//! `greenloom serve`: a TCP server that answers with what it was sent, as it is or in capitals.
//!
//! One hub per core, each with a listener of its own on the same port (SO_REUSEPORT): the kernel deals the
//! connections out, and no task ever moves. A connection is a task that reads and writes as if it were alone.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use greenloom::net::{TcpListener, TcpStream};
use greenloom::sync::{Event, Semaphore};
use greenloom::{Group, Hubs, JoinError, RemoteJoinHandle};
use rustix::io::Errno;

use crate::arguments::{positive, seconds_or_zero};
use crate::output::{self, Console};
use crate::stop::Stop;
use crate::{Exit, limits};

const EXAMPLES: &str = "\
Examples:
  greenloom serve upper                               on 127.0.0.1:7777, one hub
  greenloom serve echo --addr 0.0.0.0:9000 --cores 4  four threads, a hub and a listener each
  greenloom load                                      in another terminal: talk to it

SIGTERM or Ctrl-C drains: no new connections, those that are open may finish within --grace, exit code 0.
A second one ends it at once.";

/// Bytes read at a time.
const BUFFER: usize = 8 * 1024;
/// Pause after a failed accept: without it, a server out of descriptors would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Time between two complaints about failing accepts.
const COMPLAIN_EVERY: Duration = Duration::from_secs(1);

/// Serve TCP: answer what was sent, as it is or in capitals
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// What to answer
    service: Service,
    /// Where to listen; port 0 takes a free one, which is printed
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7777")]
    addr: String,
    /// Threads, each with a hub and a listener of its own
    #[arg(long, value_name = "N", default_value = "1", value_parser = positive)]
    cores: usize,
    /// Connections served at a time; more wait until one ends
    #[arg(long, value_name = "N", default_value = "10000", value_parser = positive)]
    max_conns: usize,
    /// Seconds that open connections get to finish when the server is told to stop
    #[arg(long, value_name = "S", default_value = "5", value_parser = seconds_or_zero)]
    grace: Duration,
}

/// What the server answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Service {
    /// The same bytes
    Echo,
    /// The same text in capitals (ASCII letters)
    Upper,
}

impl Service {
    /// Turns what was read into what is answered.
    pub(crate) fn apply(self, bytes: &mut [u8]) {
        if self == Service::Upper {
            bytes.make_ascii_uppercase();
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Service::Echo => "echo",
            Service::Upper => "upper",
        }
    }
}

/// What the hubs of one server share.
pub(crate) struct Shared {
    service: Service,
    grace: Duration,
    slots: Semaphore,
    drain: Event,
    /// Gets a permit from each hub that has closed its listener.
    closed: Semaphore,
    /// Connections that were served or are.
    pub(crate) served: AtomicU64,
    /// Connections open now.
    pub(crate) open: AtomicU64,
    bytes: AtomicU64,
    /// Connections cut off because they did not finish within the grace.
    cut_off: AtomicU64,
}

impl Shared {
    pub(crate) fn new(service: Service, max_conns: usize, grace: Duration) -> Arc<Shared> {
        Arc::new(Shared {
            service,
            grace,
            slots: Semaphore::new(max_conns),
            drain: Event::new(),
            closed: Semaphore::new(0),
            served: AtomicU64::new(0),
            open: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            cut_off: AtomicU64::new(0),
        })
    }

    /// Tells all hubs to stop accepting and to let open connections finish.
    pub(crate) fn drain(&self) {
        self.drain.set();
    }
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Exit {
    match attempt(arguments) {
        Ok(()) => Exit::SUCCESS,
        Err(message) => Exit::failure(message),
    }
}

fn attempt(arguments: &Arguments) -> Result<(), String> {
    // As many descriptors as can be had: when they run out the server goes on with those it has.
    limits::raise_to_hard();
    let console = Console::stdout();
    let stop = Stop::on_signals().map_err(|error| format!("cannot handle signals: {error}"))?;
    let listeners = bind(&arguments.addr, arguments.cores)
        .map_err(|error| format!("cannot listen on {}: {error}", arguments.addr))?;
    let address =
        listeners.first().map_or_else(|| Err(io::ErrorKind::NotFound.into()), TcpListener::local_addr);
    let address = address.map_err(|error| error.to_string())?;
    let shared = Shared::new(arguments.service, arguments.max_conns, arguments.grace);

    let start = Instant::now();
    let server = Server::start(listeners, &shared).map_err(|error| format!("cannot start a hub: {error}"))?;
    console.line(format_args!(
        "listening on {address}: {}, {} {}",
        arguments.service.name(),
        arguments.cores,
        if arguments.cores == 1 { "hub" } else { "hubs" }
    ));

    let cause = stop.wait();
    server.drain(&shared);
    console.line(format_args!(
        "{}: accepting no more, {} connections open, {} to finish",
        cause.name(),
        shared.open.load(Ordering::Relaxed),
        output::duration(arguments.grace)
    ));
    server.join().map_err(|error| format!("a hub ended early: {error}"))?;
    let count = |counter: &AtomicU64| output::grouped(counter.load(Ordering::Relaxed));
    console.line(format_args!(
        "served {} connections and {} in {}; {} cut off",
        count(&shared.served),
        output::bytes(shared.bytes.load(Ordering::Relaxed)),
        output::duration(start.elapsed()),
        count(&shared.cut_off)
    ));
    Ok(())
}

/// Listeners that are served, each in a hub of its own.
pub(crate) struct Server {
    hubs: Hubs,
    running: Vec<RemoteJoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(listeners: Vec<TcpListener>, shared: &Arc<Shared>) -> io::Result<Server> {
        let hubs = Hubs::new(listeners.len())?;
        let mut running = Vec::new();
        for (index, listener) in listeners.into_iter().enumerate() {
            let shared = shared.clone();
            running.push(hubs.spawn_on(index, move || serve(listener, &shared)));
        }
        Ok(Server { hubs, running })
    }

    /// Tells all hubs to drain; returns when nobody can connect any more.
    fn drain(&self, shared: &Shared) {
        shared.drain();
        for _ in &self.running {
            std::mem::forget(shared.closed.acquire());
        }
    }

    /// Waits until it has drained. Parks the calling task.
    pub(crate) fn join(self) -> Result<(), JoinError> {
        for hub in self.running {
            hub.join()?;
        }
        self.hubs.join();
        Ok(())
    }
}

/// One listener per hub, all on one port.
pub(crate) fn bind(addr: &str, count: usize) -> io::Result<Vec<TcpListener>> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no such address");
    for address in addr.to_socket_addrs()? {
        match bind_all(address, count) {
            Ok(listeners) => return Ok(listeners),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn bind_all(address: SocketAddr, count: usize) -> io::Result<Vec<TcpListener>> {
    if count == 1 {
        // Nobody is to share it: a second server on the same address is a mistake.
        return Ok(vec![TcpListener::bind(address)?]);
    }
    let first = TcpListener::bind_reuse_port(address)?;
    // With port 0 the first one decides which it is.
    let address = first.local_addr()?;
    let mut listeners = vec![first];
    for _ in 1..count {
        listeners.push(TcpListener::bind_reuse_port(address)?);
    }
    Ok(listeners)
}

/// Serves `listener` in the current hub until told to drain, and until its connections have ended.
pub(crate) fn serve(listener: TcpListener, shared: &Arc<Shared>) {
    let connections = Group::new();
    let acceptor = greenloom::spawn({
        let (connections, shared) = (connections.clone(), shared.clone());
        move || accept(&listener, &connections, &shared)
    });
    shared.drain.wait();
    // Ends the task and with it the listener: clients that come now are refused.
    acceptor.kill();
    acceptor.wait();
    shared.closed.release();
    if !connections.join_timeout(shared.grace) {
        shared.cut_off.fetch_add(connections.len() as u64, Ordering::Relaxed);
        connections.kill();
        connections.join();
    }
}

fn accept(listener: &TcpListener, connections: &Group, shared: &Arc<Shared>) {
    let mut complained: Option<Instant> = None;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                // At the limit this one waits here, and those after it in the kernel's queue.
                let slot = Slot::take(shared);
                connections.spawn(move || {
                    // A client that hangs up in the middle is its own business.
                    let _ = connection(stream, &slot.shared);
                });
            }
            // The client was gone before it was accepted.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                if complained.is_none_or(|at| at.elapsed() >= COMPLAIN_EVERY) {
                    complained = Some(Instant::now());
                    complain(&error, shared);
                }
                greenloom::sleep(ACCEPT_PAUSE);
            }
        }
    }
}

fn complain(error: &io::Error, shared: &Shared) {
    let open = shared.open.load(Ordering::Relaxed);
    let out_of_descriptors = [Errno::MFILE, Errno::NFILE].map(|errno| Some(errno.raw_os_error()));
    let hint = if out_of_descriptors.contains(&error.raw_os_error()) {
        "; new clients wait until a connection ends (raise ulimit -n, or set --max-conns)"
    } else {
        ""
    };
    eprintln!("greenloom: cannot accept: {error}; {open} connections are open{hint}");
}

/// One of the connections that may be served at a time.
struct Slot {
    shared: Arc<Shared>,
}

impl Slot {
    fn take(shared: &Arc<Shared>) -> Slot {
        // Given back by `Drop`: a guard could not leave this function.
        std::mem::forget(shared.slots.acquire());
        shared.open.fetch_add(1, Ordering::Relaxed);
        shared.served.fetch_add(1, Ordering::Relaxed);
        Slot { shared: shared.clone() }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.shared.open.fetch_sub(1, Ordering::Relaxed);
        self.shared.slots.release();
    }
}

fn connection(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = [0; BUFFER];
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        let bytes = &mut buffer[..count];
        shared.service.apply(bytes);
        stream.write_all(bytes)?;
        shared.bytes.fetch_add(count as u64, Ordering::Relaxed);
    }
}
