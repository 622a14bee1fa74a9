//! monoio, a task per connection, over epoll (its "legacy" driver) and over io_uring.

use std::net::TcpListener;

use anyhow::Result;
use monoio::io::{AsyncReadRent, AsyncWriteRentExt};

use crate::echo::BUFFER;

pub(super) fn serve_epoll(listener: TcpListener, connections: usize) -> Result<()> {
    listener.set_nonblocking(true)?;
    let mut runtime = monoio::RuntimeBuilder::<monoio::LegacyDriver>::new().build()?;
    runtime.block_on(echo(listener, connections))
}

pub(super) fn serve_uring(listener: TcpListener, connections: usize) -> Result<()> {
    let mut runtime = monoio::RuntimeBuilder::<monoio::IoUringDriver>::new().build()?;
    runtime.block_on(echo(listener, connections))
}

async fn echo(listener: TcpListener, connections: usize) -> Result<()> {
    let listener = monoio::net::TcpListener::from_std(listener)?;
    let mut handles = Vec::with_capacity(connections);
    for _ in 0..connections {
        let (mut stream, _) = listener.accept().await?;
        handles.push(monoio::spawn(async move {
            let mut buffer = Vec::with_capacity(BUFFER);
            loop {
                let (read, filled) = stream.read(buffer).await;
                if read? == 0 {
                    return std::io::Result::Ok(());
                }
                let (written, mut sent) = stream.write_all(filled).await;
                written?;
                sent.clear();
                buffer = sent;
            }
        }));
    }
    for handle in handles {
        handle.await?;
    }
    Ok(())
}
