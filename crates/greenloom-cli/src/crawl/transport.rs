//! The HTTP client's way to the network: greenloom's sockets under `ureq`.
//!
//! `ureq` is a blocking client. Given a connector whose sockets park the calling task instead of the thread,
//! and a resolver that asks the thread pool, the same client runs thousands of requests on one thread. TLS
//! (`rustls`, in `ureq`'s own connector) sits on top and notices nothing.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

use greenloom::net::TcpStream;
use rustix::net::RecvFlags;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};
use ureq::{Error, Timeout};

/// Addresses of one name that are tried; `ureq` keeps no more.
const ADDRESSES_MAX: usize = 16;

/// Looks names up in the thread pool, so that a slow name server holds up one task and not the hub.
#[derive(Debug)]
pub(super) struct OffloadResolver;

impl Resolver for OffloadResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let host_and_port = uri
            .scheme()
            .zip(uri.authority())
            .and_then(|(scheme, authority)| DefaultResolver::host_and_port(scheme, authority))
            .ok_or_else(|| Error::BadUri(uri.to_string()))?;
        // An address needs no look-up.
        let found: Vec<SocketAddr> = match host_and_port.parse() {
            Ok(address) => vec![address],
            Err(_) => {
                let look_up =
                    move || greenloom::offload(move || host_and_port.to_socket_addrs().map(Vec::from_iter));
                match timeout.not_zero() {
                    Some(limit) => {
                        greenloom::timeout(*limit, look_up).map_err(|_| Error::Timeout(timeout.reason))??
                    }
                    None => look_up()?,
                }
            }
        };
        let mut addresses = self.empty();
        for address in config.ip_family().keep_wanted(found.into_iter()).take(ADDRESSES_MAX) {
            addresses.push(address);
        }
        if addresses.is_empty() { Err(Error::HostNotFound) } else { Ok(addresses) }
    }
}

/// Opens TCP connections.
#[derive(Debug)]
pub(super) struct TcpConnector;

impl Connector for TcpConnector {
    type Out = TcpTransport;

    fn connect(
        &self,
        details: &ConnectionDetails,
        _chained: Option<()>,
    ) -> Result<Option<TcpTransport>, Error> {
        let stream = connect_any(&details.addrs, details.timeout)?;
        stream.set_nodelay(details.config.no_delay())?;
        let config = details.config;
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        Ok(Some(TcpTransport { stream, buffers }))
    }
}

/// Connects to the first address that answers. The time left is shared out evenly among those left to try.
fn connect_any(addresses: &[SocketAddr], timeout: NextTimeout) -> Result<TcpStream, Error> {
    let deadline = timeout.not_zero().and_then(|limit| Instant::now().checked_add(*limit));
    let mut last = Error::HostNotFound;
    for (tried, address) in addresses.iter().enumerate() {
        let attempt = match deadline {
            None => TcpStream::connect(address),
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                let share = left / u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
                if share.is_zero() {
                    return Err(Error::Timeout(timeout.reason));
                }
                TcpStream::connect_timeout(address, share)
            }
        };
        match attempt {
            Ok(stream) => return Ok(stream),
            Err(error) => last = timed_out(error, Timeout::Connect),
        }
    }
    Err(last)
}

/// A connection as `ureq` sees it.
#[derive(Debug)]
pub(super) struct TcpTransport {
    stream: TcpStream,
    buffers: LazyBuffers,
}

impl Transport for TcpTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let timeout = timeout.for_write();
        self.stream.set_write_timeout(limit(timeout)?)?;
        let output = &self.buffers.output()[..amount];
        self.stream.write_all(output).map_err(|error| timed_out(error, timeout.reason))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let timeout = timeout.for_read();
        self.stream.set_read_timeout(limit(timeout)?)?;
        let input = self.buffers.input_append_buf();
        let amount = self.stream.read(input).map_err(|error| timed_out(error, timeout.reason))?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    /// An idle connection is open if it has nothing to say. `ureq` asks while it holds a lock, so this must not
    /// park: it peeks.
    fn is_open(&mut self) -> bool {
        let peeked = rustix::net::recv(&self.stream, &mut [0_u8; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT);
        peeked.is_err_and(|error| io::Error::from(error).kind() == io::ErrorKind::WouldBlock)
    }
}

/// The time left as sockets want it: never zero, which would mean no timeout at all to some.
fn limit(timeout: NextTimeout) -> Result<Option<Duration>, Error> {
    match timeout.not_zero() {
        Some(_) if timeout.after.is_zero() => Err(Error::Timeout(timeout.reason)),
        limit => Ok(limit.map(|limit| *limit)),
    }
}

fn timed_out(error: io::Error, reason: Timeout) -> Error {
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Error::Timeout(reason),
        _ => Error::Io(error),
    }
}
