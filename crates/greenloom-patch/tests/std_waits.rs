//! What blocks in `std` parks the task that calls it, and nothing else of the program changes.

mod common;

use common::{assert_together, connect, ms, patched, together};
use greenloom::{spawn, yield_now};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::rc::Rc;
use std::sync::mpsc;
use std::sync::{Arc, Barrier, Mutex};
use std::time::Instant;

#[test]
fn a_thousand_sleeps_are_one() {
    let (_, took) = together(1000, |_| std::thread::sleep(ms(200)));
    assert!(took >= ms(200));
    assert_together("1000 sleeps of 0.2 s", took, ms(3000), ms(200_000));
}

#[test]
fn sleeps_end_in_the_order_of_their_times() {
    patched();
    let order = Rc::new(Mutex::new(Vec::new()));
    let naps = [30, 10, 20].map(|time| {
        let order = Rc::clone(&order);
        spawn(move || {
            std::thread::sleep(ms(time));
            order.lock().unwrap().push(time);
        })
    });
    greenloom::join_all(naps);
    assert_eq!(*order.lock().unwrap(), [10, 20, 30]);
}

#[test]
fn five_hundred_connections_echo_on_one_thread() {
    const CONNECTIONS: usize = 500;
    patched();
    let threads = common::threads();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = spawn(move || {
        let serve = |mut stream: TcpStream| {
            let mut buffer = [0; 64];
            loop {
                match stream.read(&mut buffer).unwrap() {
                    0 => return,
                    count => stream.write_all(&buffer[..count]).unwrap(),
                }
            }
        };
        let connections: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                let (stream, _) = listener.accept().unwrap();
                spawn(move || serve(stream))
            })
            .collect();
        for connection in connections {
            connection.join().unwrap();
        }
    });
    // All are open at the same time before the first one says anything.
    let all_open = Arc::new(Barrier::new(CONNECTIONS));
    let (_, took) = together(CONNECTIONS, move |number| {
        let mut stream = connect(number, address);
        all_open.wait();
        for round in 0..5 {
            let said = format!("{number} {round}");
            stream.write_all(said.as_bytes()).unwrap();
            let mut heard = vec![0; said.len()];
            stream.read_exact(&mut heard).unwrap();
            assert_eq!(heard, said.as_bytes());
            std::thread::sleep(ms(20));
        }
    });
    server.join().unwrap();
    assert_eq!(common::threads(), threads, "nobody has made a thread");
    assert_together("500 connections, 5 echoes 20 ms apart", took, ms(8000), ms(50_000));
}

#[test]
fn sockets_keep_their_timeouts_and_their_mode() {
    patched();
    let (mut here, _there) = UnixStream::pair().unwrap();
    here.set_read_timeout(Some(ms(20))).unwrap();
    let others = spawn(|| std::thread::sleep(ms(1)));
    let began = Instant::now();
    let error = here.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    assert!(began.elapsed() >= ms(20));
    assert!(others.is_finished());
    here.set_nonblocking(true).unwrap();
    let began = Instant::now();
    assert_eq!(here.read(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    assert!(began.elapsed() < ms(15));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn connecting_by_name_and_with_a_timeout_lets_others_run() {
    let listener = TcpListener::bind("localhost:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (streams, _) = together(20, move |number| {
        if number % 2 == 0 {
            TcpStream::connect(("localhost", address.port())).unwrap()
        } else {
            TcpStream::connect_timeout(&address, ms(5000)).unwrap()
        }
    });
    let accepted: Vec<_> = streams.iter().map(|_| listener.accept().unwrap().0).collect();
    assert_eq!(accepted.len(), 20);
    let refused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = spawn(move || TcpStream::connect(refused).unwrap_err()).join().unwrap();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
}

#[test]
fn datagrams_wait_too() {
    patched();
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = receiver.local_addr().unwrap();
    let task = spawn(move || {
        let mut buffer = [0; 8];
        let (count, _) = receiver.recv_from(&mut buffer).unwrap();
        buffer[..count].to_vec()
    });
    yield_now();
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    sender.send_to(b"hello", address).unwrap();
    assert_eq!(task.join().unwrap(), b"hello");
}

#[test]
fn a_full_pipe_waits_for_its_reader() {
    patched();
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    let sent: Vec<u8> = (0..1_000_000_u32).map(|n| n as u8).collect();
    let task = spawn({
        let sent = sent.clone();
        move || writer.write_all(&sent).unwrap()
    });
    let mut received = Vec::new();
    reader.read_to_end(&mut received).unwrap();
    task.join().unwrap();
    assert_eq!(received, sent);
}

#[test]
fn twenty_children_run_together() {
    let (outputs, took) = together(20, |number| {
        let script = format!("sleep 0.3; echo {number}; echo error >&2; exit {}", number % 3);
        Command::new("sh").arg("-c").arg(script).output().unwrap()
    });
    for (number, output) in outputs.iter().enumerate() {
        assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{number}\n"));
        assert_eq!(output.stderr, b"error\n");
        assert_eq!(output.status.code(), Some(number as i32 % 3));
    }
    assert_together("20 children that sleep for 0.3 s", took, ms(1900), ms(6000));
    let (statuses, _) = together(5, |_| Command::new("true").status().unwrap());
    assert!(statuses.iter().all(std::process::ExitStatus::success));
}

#[test]
fn regular_files_are_read_and_written_as_ever() {
    let (texts, _) = together(20, |number| {
        let path = std::env::temp_dir().join(format!("greenloom-file-{}-{number}", std::process::id()));
        let text = number.to_string().repeat(10_000);
        std::fs::write(&path, &text).unwrap();
        let read = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        read == text
    });
    assert!(texts.iter().all(|same| *same));
}

#[test]
fn a_thread_without_tasks_blocks_as_ever() {
    patched();
    let thread = std::thread::spawn(|| {
        let (mut reader, mut writer) = UnixStream::pair().unwrap();
        let other = std::thread::spawn(move || {
            std::thread::sleep(ms(20));
            writer.write_all(b"x").unwrap();
        });
        let mut byte = [0];
        reader.read_exact(&mut byte).unwrap();
        other.join().unwrap();
        let (sender, receiver) = mpsc::channel();
        let other = std::thread::spawn(move || sender.send(receiver_name()).unwrap());
        let name = receiver.recv().unwrap();
        other.join().unwrap();
        (byte, name)
    });
    assert_eq!(thread.join().unwrap(), (*b"x", "none".to_owned()));
}

fn receiver_name() -> String {
    greenloom::current_name().unwrap_or_else(|| "none".to_owned())
}
