//! tokio's current-thread runtime, a task per connection.

use std::net::TcpListener;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::echo::BUFFER;

pub(super) fn serve(listener: TcpListener, connections: usize) -> Result<()> {
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let mut handles = Vec::with_capacity(connections);
        for _ in 0..connections {
            let (mut stream, _) = listener.accept().await?;
            handles.push(tokio::spawn(async move {
                let mut buffer = [0; BUFFER];
                loop {
                    match stream.read(&mut buffer).await? {
                        0 => return std::io::Result::Ok(()),
                        n => stream.write_all(&buffer[..n]).await?,
                    }
                }
            }));
        }
        for handle in handles {
            handle.await??;
        }
        Ok(())
    })
}
