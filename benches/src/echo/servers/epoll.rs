//! The limit: one thread, edge-triggered epoll, one `read` and one `write` per message, no tasks at all.
//!
//! A read shorter than the buffer has drained the socket, so it is not tried again before the next event.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use anyhow::{Context as _, Result};

use crate::echo::BUFFER;

pub(super) fn serve(listener: TcpListener, connections: usize) -> Result<()> {
    // SAFETY: no pointer is passed.
    let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
    if epoll < 0 {
        return Err(std::io::Error::last_os_error()).context("epoll_create1");
    }
    // SAFETY: the descriptor was just made, and nothing else owns it.
    let epoll = unsafe { OwnedFd::from_raw_fd(epoll) };
    let mut streams: Vec<Option<TcpStream>> = Vec::with_capacity(connections);
    for index in 0..connections {
        let (stream, _) = listener.accept()?;
        stream.set_nonblocking(true)?;
        let wanted = libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLET;
        let mut event = libc::epoll_event { events: wanted as u32, u64: index as u64 };
        // SAFETY: both descriptors are open and `event` is readable for the call.
        if unsafe { libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, stream.as_raw_fd(), &mut event) }
            < 0
        {
            return Err(std::io::Error::last_os_error()).context("epoll_ctl");
        }
        streams.push(Some(stream));
    }
    let mut open = connections;
    let mut buffer = [0; BUFFER];
    // SAFETY: epoll_event is plain data, for which all zeroes is a valid value.
    let mut events: [libc::epoll_event; 256] = unsafe { std::mem::zeroed() };
    while open > 0 {
        // SAFETY: `events` is writable for the number of entries given.
        let n = unsafe { libc::epoll_wait(epoll.as_raw_fd(), events.as_mut_ptr(), events.len() as i32, -1) };
        for event in &events[..n.max(0) as usize] {
            let slot = &mut streams[event.u64 as usize];
            let Some(stream) = slot else { continue };
            if !echo(stream, &mut buffer)? {
                *slot = None;
                open -= 1;
            }
        }
    }
    Ok(())
}

/// Echoes what there is to read; false at the end of the stream.
fn echo(stream: &mut TcpStream, buffer: &mut [u8]) -> Result<bool> {
    loop {
        match stream.read(buffer) {
            Ok(0) => return Ok(false),
            Ok(n) => {
                stream.write_all(&buffer[..n])?;
                if n < buffer.len() {
                    return Ok(true);
                }
            }
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return Ok(true),
            Err(e) => return Err(e.into()),
        }
    }
}
