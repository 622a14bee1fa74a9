//! The client: a bare epoll loop that keeps one message under way on each of its connections.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::MESSAGE;

/// Open connections to an echo server.
pub struct Client {
    epoll: OwnedFd,
    connections: Vec<Connection>,
}

struct Connection {
    stream: TcpStream,
    sent: [u8; MESSAGE],
    received: [u8; MESSAGE],
    filled: usize,
}

/// When to send no more.
#[derive(Clone, Copy)]
pub enum Until {
    Messages(u64),
    Time(Duration),
}

impl Client {
    /// Opens the connections, and registers each for reading.
    pub fn connect(port: u16, connections: usize) -> Result<Client> {
        // SAFETY: no pointer is passed.
        let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if epoll < 0 {
            return Err(std::io::Error::last_os_error()).context("epoll_create1");
        }
        // SAFETY: the descriptor was just made, and nothing else owns it.
        let epoll = unsafe { OwnedFd::from_raw_fd(epoll) };
        let mut client = Client { epoll, connections: Vec::with_capacity(connections) };
        for index in 0..connections {
            let stream = TcpStream::connect(("127.0.0.1", port)).context("connect to the server")?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: index as u64 };
            let (epoll, fd) = (client.epoll.as_raw_fd(), stream.as_raw_fd());
            // SAFETY: both descriptors are open and `event` is readable for the call.
            if unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, &mut event) } < 0 {
                return Err(std::io::Error::last_os_error()).context("epoll_ctl");
            }
            let mut sent = [0; MESSAGE];
            sent[8..16].copy_from_slice(&(index as u64).to_le_bytes());
            client.connections.push(Connection { stream, sent, received: [0; MESSAGE], filled: 0 });
        }
        Ok(client)
    }

    /// Sends messages and checks the echoes, one at a time per connection, until told to stop and the last echo
    /// is back. Returns how many went round.
    pub fn run(&mut self, until: Until) -> Result<u64> {
        let limit = match until {
            Until::Messages(n) => n,
            Until::Time(_) => u64::MAX,
        };
        let end = match until {
            Until::Messages(_) => None,
            Until::Time(time) => Some(Instant::now() + time),
        };
        let (mut sent, mut done) = (0u64, 0u64);
        for connection in &mut self.connections {
            if sent < limit {
                connection.send(sent)?;
                sent += 1;
            }
        }
        // SAFETY: epoll_event is plain data, for which all zeroes is a valid value.
        let mut events: [libc::epoll_event; 256] = unsafe { std::mem::zeroed() };
        let mut stopping = false;
        while done < sent {
            let capacity = events.len() as i32;
            // SAFETY: `events` is writable for `capacity` entries.
            let n = unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), events.as_mut_ptr(), capacity, -1) };
            if n < 0 {
                let error = std::io::Error::last_os_error();
                if error.kind() == std::io::ErrorKind::Interrupted {
                    continue;
                }
                return Err(error).context("epoll_wait");
            }
            stopping = stopping || end.is_some_and(|end| Instant::now() >= end);
            for event in &events[..n as usize] {
                let connection = &mut self.connections[event.u64 as usize];
                if !connection.receive()? {
                    continue;
                }
                done += 1;
                if !stopping && sent < limit {
                    connection.send(sent)?;
                    sent += 1;
                }
            }
        }
        Ok(done)
    }
}

impl Connection {
    fn send(&mut self, number: u64) -> Result<()> {
        self.sent[..8].copy_from_slice(&number.to_le_bytes());
        self.stream.write_all(&self.sent).context("the client's send")
    }

    /// Reads once; true if the echo is complete now.
    fn receive(&mut self) -> Result<bool> {
        match self.stream.read(&mut self.received[self.filled..]) {
            Ok(0) => bail!("the server closed a connection"),
            Ok(n) => self.filled += n,
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return Ok(false),
            Err(e) => return Err(e).context("the client's receive"),
        }
        if self.filled < MESSAGE {
            return Ok(false);
        }
        self.filled = 0;
        if self.sent != self.received {
            bail!("the server sent back something else");
        }
        Ok(true)
    }
}
