//! The other limit: one thread and an io_uring, one receive and one send submitted per message, and one
//! system call for as many of them as are ready.

use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;

use anyhow::{Context as _, Result, bail};
use io_uring::{IoUring, opcode, types::Fd};

use crate::echo::BUFFER;

/// Set in a completion's user data if it was a send; the rest is the connection's index.
const SENT: u64 = 1 << 32;

pub(super) fn serve(listener: TcpListener, connections: usize) -> Result<()> {
    let mut ring = IoUring::builder()
        .setup_single_issuer()
        .setup_coop_taskrun()
        .build(connections.next_power_of_two().max(64) as u32)
        .context("io_uring_setup")?;
    let mut streams: Vec<TcpStream> = Vec::with_capacity(connections);
    for _ in 0..connections {
        streams.push(listener.accept()?.0);
    }
    let mut buffers = vec![[0u8; BUFFER]; connections];
    for index in 0..connections {
        receive(&mut ring, &streams[index], &mut buffers[index], index)?;
    }
    let mut open = connections;
    let mut completed = Vec::with_capacity(connections);
    while open > 0 {
        ring.submit_and_wait(1)?;
        completed.extend(ring.completion().map(|entry| (entry.user_data(), entry.result())));
        for (data, result) in completed.drain(..) {
            let index = (data & !SENT) as usize;
            if result < 0 {
                return Err(std::io::Error::from_raw_os_error(-result)).context("a completion");
            }
            match (data & SENT != 0, result as usize) {
                (true, _) => receive(&mut ring, &streams[index], &mut buffers[index], index)?,
                (false, 0) => open -= 1,
                (false, n) => send(&mut ring, &streams[index], &buffers[index][..n], index)?,
            }
        }
    }
    Ok(())
}

fn receive(ring: &mut IoUring, stream: &TcpStream, buffer: &mut [u8; BUFFER], index: usize) -> Result<()> {
    let entry = opcode::Recv::new(Fd(stream.as_raw_fd()), buffer.as_mut_ptr(), BUFFER as u32);
    push(ring, entry.build().user_data(index as u64))
}

fn send(ring: &mut IoUring, stream: &TcpStream, data: &[u8], index: usize) -> Result<()> {
    let entry = opcode::Send::new(Fd(stream.as_raw_fd()), data.as_ptr(), data.len() as u32);
    push(ring, entry.flags(libc::MSG_NOSIGNAL).build().user_data(index as u64 | SENT))
}

fn push(ring: &mut IoUring, entry: io_uring::squeue::Entry) -> Result<()> {
    // SAFETY: streams and buffers live in `serve` until every connection has closed, a connection has one
    // operation under way, and its buffer is not touched meanwhile.
    if unsafe { ring.submission().push(&entry) }.is_err() {
        bail!("the ring holds an entry per connection, so it cannot be full");
    }
    Ok(())
}
