//! An unmodified blocking HTTP server: touche, whose loop for a connection reads, calls the handler and writes until the
//! connection ends. A task runs it for each connection, so one thread serves them all.

mod common;

use common::{assert_together, connect, ms, together};
use greenloom::spawn;
use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Barrier};
use touche::{Body, Connection, HttpBody, Request, Response, Server};

/// How many clients are slow at the same time.
const CLIENTS: usize = 500;

fn handle(request: Request<Body>) -> Result<Response<Vec<u8>>, Infallible> {
    std::thread::sleep(ms(100));
    let mut answer = request.uri().path().as_bytes().to_vec();
    answer.extend(request.into_body().into_bytes().unwrap_or_default());
    Ok(Response::new(answer))
}

#[test]
fn five_hundred_slow_clients_are_served_on_one_thread() {
    common::patched();
    let threads = common::threads();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            drop(spawn(move || {
                let connection = std::iter::once(Connection::from(stream));
                Server::builder().from_connections(connection).serve_single_thread(handle)
            }));
        }
    }));
    let all_connected = Arc::new(Barrier::new(CLIENTS));
    let (answers, took) = together(CLIENTS, move |number| {
        let mut stream = connect(number, address);
        all_connected.wait();
        // A request in five pieces: whoever reads it waits for each.
        let request = format!(
            "POST /{number} HTTP/1.1\r\nHost: here\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody"
        );
        for piece in request.as_bytes().chunks(request.len().div_ceil(5)) {
            stream.write_all(piece).unwrap();
            std::thread::sleep(ms(50));
        }
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    for (number, answer) in answers.iter().enumerate() {
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.ends_with(&format!("/{number}body")),
            "{answer}"
        );
    }
    assert_eq!(common::threads(), threads, "nobody has made a thread");
    assert_together(
        "500 clients that take 0.25 s to ask, answered after 0.1 s",
        took,
        ms(10_000),
        ms(175_000),
    );
}
