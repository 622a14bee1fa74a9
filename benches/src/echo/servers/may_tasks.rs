//! may with one worker thread, a coroutine per connection.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::fd::{FromRawFd, IntoRawFd};

use anyhow::Result;

use crate::echo::BUFFER;

pub(super) fn serve(listener: TcpListener, connections: usize) -> Result<()> {
    may::config().set_workers(1);
    // SAFETY: the descriptor was just given up by its only owner.
    let listener = unsafe { may::net::TcpListener::from_raw_fd(listener.into_raw_fd()) };
    let accepting = may::go!(move || -> std::io::Result<()> {
        let mut handles = Vec::with_capacity(connections);
        for _ in 0..connections {
            let (mut stream, _) = listener.accept()?;
            handles.push(may::go!(move || -> std::io::Result<()> {
                let mut buffer = [0; BUFFER];
                loop {
                    match stream.read(&mut buffer)? {
                        0 => return Ok(()),
                        n => stream.write_all(&buffer[..n])?,
                    }
                }
            }));
        }
        for handle in handles {
            handle.join().expect("a task panicked")?;
        }
        Ok(())
    });
    Ok(accepting.join().expect("the accepting task panicked")?)
}
