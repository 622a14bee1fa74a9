//! greenloom, a task per connection, blocking style.

use std::io::{Read, Write};
use std::net::TcpListener;

use anyhow::Result;

use crate::echo::BUFFER;

pub(super) fn serve(listener: TcpListener, connections: usize) -> Result<()> {
    let listener = greenloom::net::TcpListener::from(listener);
    let mut handles = Vec::with_capacity(connections);
    for _ in 0..connections {
        let (mut stream, _) = listener.accept()?;
        handles.push(greenloom::spawn(move || -> std::io::Result<()> {
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
}
