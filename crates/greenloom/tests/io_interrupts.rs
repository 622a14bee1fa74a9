//! Kills that arrive while a greenlet waits for a descriptor.

// Not under Miri: it has no poll(2).
#![cfg(not(miri))]

#[path = "util/tcp.rs"]
mod tcp;

use greenloom::net::{TcpListener, TcpStream, UdpSocket};
use greenloom::{JoinError, sleep, spawn, yield_now};
use std::cell::RefCell;
use std::io::{BufWriter, ErrorKind, Read, Write};
use std::rc::Rc;
use std::time::Duration;
use tcp::{ANY, fill, full_listener, pair};

const MS: Duration = Duration::from_millis(1);

/// Runs `f` until it waits, kills it, and sees that it has ended by that.
fn kill_while_waiting(f: impl FnOnce() + 'static) {
    let task = spawn(f);
    sleep(5 * MS);
    assert!(!task.is_finished(), "it does not wait");
    task.kill();
    assert!(matches!(task.join(), Err(JoinError::Killed)));
}

#[test]
fn at_a_read_and_the_stream_is_closed() {
    let (client, mut server) = pair();
    kill_while_waiting(move || drop((&client).read(&mut [0])));
    assert_eq!(server.read(&mut [0]).unwrap(), 0);
}

#[test]
fn at_a_read_and_no_byte_is_lost_to_the_next_reader() {
    let (client, mut server) = pair();
    let client = Rc::new(client);
    let first = spawn({
        let client = client.clone();
        move || drop((&*client).read(&mut [0; 4]))
    });
    sleep(5 * MS);
    server.write_all(b"data").unwrap();
    first.kill();
    assert!(matches!(first.join(), Err(JoinError::Killed)));
    let mut data = [0; 4];
    (&*client).read_exact(&mut data).unwrap();
    assert_eq!(&data, b"data");
}

#[test]
fn at_a_write() {
    let (client, server) = pair();
    fill(&client);
    kill_while_waiting(move || drop((&client).write_all(&[0; 1 << 20])));
    drop(server);
}

#[test]
fn at_an_accept_and_the_listener_goes_on() {
    let listener = Rc::new(TcpListener::bind(ANY).unwrap());
    let address = listener.local_addr().unwrap();
    let accepting = listener.clone();
    kill_while_waiting(move || drop(accepting.accept()));
    let client = spawn(move || TcpStream::connect(address).unwrap());
    listener.accept().unwrap();
    client.join().unwrap();
}

#[test]
fn at_a_connect() {
    let (_listener, _connected, address) = full_listener();
    kill_while_waiting(move || drop(TcpStream::connect(address)));
}

#[test]
fn at_a_borrowed_descriptor_and_a_datagram() {
    let (reader, _writer) = std::io::pipe().unwrap();
    kill_while_waiting(move || drop(greenloom::net::wait_readable(&reader, None)));
    let socket = UdpSocket::bind(ANY).unwrap();
    kill_while_waiting(move || drop(socket.recv(&mut [0])));
}

#[test]
fn one_that_never_has_to_wait_is_killed_all_the_same() {
    let (mut client, mut server) = pair();
    let task = spawn(move || {
        loop {
            client.write_all(b"x").unwrap();
            server.read_exact(&mut [0]).unwrap();
        }
    });
    yield_now();
    task.kill();
    let result: Result<(), JoinError> = task.join();
    assert!(matches!(result, Err(JoinError::Killed)));
}

#[test]
fn a_destructor_that_would_have_to_wait_gets_an_error() {
    struct Flush(TcpStream, Rc<RefCell<Vec<ErrorKind>>>);
    impl Drop for Flush {
        fn drop(&mut self) {
            let errors = [
                self.0.write(&[0; 1 << 20]).unwrap_err(),
                self.0.read(&mut [0]).unwrap_err(),
                greenloom::net::wait_readable(&self.0, None).unwrap_err(),
            ];
            self.1.borrow_mut().extend(errors.iter().map(std::io::Error::kind));
        }
    }
    let (client, server) = pair();
    fill(&client);
    let errors = Rc::new(RefCell::new(Vec::new()));
    let flush = Flush(client, errors.clone());
    kill_while_waiting(move || {
        let _flush = flush;
        sleep(Duration::from_secs(60));
    });
    assert_eq!(*errors.borrow(), [ErrorKind::WouldBlock; 3]);
    drop(server);
}

#[test]
fn a_destructor_that_need_not_wait_does_its_work() {
    let (client, mut server) = pair();
    kill_while_waiting(move || {
        let mut writer = BufWriter::new(client);
        writer.write_all(b"last words").unwrap();
        sleep(Duration::from_secs(60));
    });
    let mut words = String::new();
    server.read_to_string(&mut words).unwrap();
    assert_eq!(words, "last words");
}

#[test]
fn a_panic_leaves_the_other_side_with_the_end_of_the_stream() {
    let (client, mut server) = pair();
    let task = spawn(move || {
        let _client = client;
        std::panic::resume_unwind(Box::new("oh"));
    });
    assert_eq!(server.read(&mut [0]).unwrap(), 0);
    assert!(matches!(task.join(), Err(JoinError::Panicked(_))));
}
