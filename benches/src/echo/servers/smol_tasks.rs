//! smol's local executor, a task per connection.

use std::net::TcpListener;

use anyhow::Result;
use smol::io::{AsyncReadExt, AsyncWriteExt};

use crate::echo::BUFFER;

pub(super) fn serve(listener: TcpListener, connections: usize) -> Result<()> {
    let executor = smol::LocalExecutor::new();
    smol::block_on(executor.run(async {
        let listener = smol::net::TcpListener::try_from(listener)?;
        let mut handles = Vec::with_capacity(connections);
        for _ in 0..connections {
            let (mut stream, _) = listener.accept().await?;
            handles.push(executor.spawn(async move {
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
            handle.await?;
        }
        Ok(())
    }))
}
