//! A TCP server that answers in capitals, and 500 clients that say hello to it all at once.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use greenloom::net::TcpListener;

use super::{Check, Guide, Step};
use crate::load::{self, Plan, Report};
use crate::output;
use crate::serve::{self, Server, Service, Shared};

pub(super) const CLIENTS: usize = 500;
const HELLOS: usize = 10;
const PATIENCE: Duration = Duration::from_secs(10);
const ANY_PORT: &str = "127.0.0.1:0";

pub(super) const ONE_THREAD: Step = Step {
    title: "A server and 500 clients on one thread",
    story: &["Each says hello ten times and gets it back in capitals: 1,000 tasks."],
    show: |guide| {
        checked(|| {
            let listener = TcpListener::bind(ANY_PORT)?;
            let address = listener.local_addr()?;
            let shared = Shared::new(Service::Upper, CLIENTS, Duration::ZERO);
            let server = greenloom::spawn({
                let shared = shared.clone();
                move || serve::serve(listener, &shared)
            });
            let report = say_hello(guide, address);
            shared.drain();
            server.join()?;
            Ok(check(guide, &report, &shared))
        })
    },
};

pub(super) const HUB_PER_CORE: Step = Step {
    title: "The same server with one hub per core",
    story: &["A thread, a hub and a listener per core; the kernel deals clients out."],
    show: |guide| {
        checked(|| {
            let cores = thread::available_parallelism().map_or(2, usize::from);
            let listeners = serve::bind(ANY_PORT, cores)?;
            let address = listeners[0].local_addr()?;
            let shared = Shared::new(Service::Upper, CLIENTS, Duration::ZERO);
            let server = Server::start(listeners, &shared)?;
            guide.say(format_args!("{cores} hubs"));
            let report = say_hello(guide, address);
            shared.drain();
            server.join()?;
            Ok(check(guide, &report, &shared))
        })
    },
};

fn checked(step: impl FnOnce() -> Result<Check, Box<dyn Error>>) -> Check {
    step().unwrap_or_else(|error| Check::new(false, format!("the server failed: {error}")))
}

fn say_hello(guide: &Guide, address: std::net::SocketAddr) -> Report {
    let plan = Plan { address, clients: CLIENTS, messages: HELLOS, size: "hello".len(), timeout: PATIENCE };
    load::load(plan, &guide.console, None)
}

fn check(guide: &Guide, report: &Report, shared: &Arc<Shared>) -> Check {
    let replies = report.round_trips.len();
    guide.measured(
        &format!("{} replies", output::grouped(replies)),
        report.took,
        &format!("{}/s", output::grouped(report.rate() as u64)),
    );
    guide.say(format_args!("round trips: {}", output::quantiles(&report.round_trips)));
    for (error, count) in &report.errors {
        guide.say(format_args!("{count} x {error}"));
    }
    let passed = report.errors.is_empty()
        && replies == (CLIENTS * HELLOS) as u64
        && report.service == Some(Service::Upper)
        && shared.served.load(Ordering::Relaxed) == CLIENTS as u64;
    Check::new(passed, "every client got every hello back in capitals")
}
