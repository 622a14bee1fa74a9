//! The end of a thread that has run tasks: destructors of its thread-locals wait as they did before, with its hub and
//! without.

mod common;

use common::{ms, patched};
use greenloom::spawn;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Waits in every way when it is dropped.
struct Waits(Arc<(Mutex<()>, AtomicU32)>);

impl Drop for Waits {
    fn drop(&mut self) {
        let began = Instant::now();
        std::thread::sleep(ms(5));
        std::thread::park_timeout(ms(1));
        assert!(began.elapsed() >= ms(5));
        let (mut reader, mut writer) = std::io::pipe().unwrap();
        let thread = std::thread::spawn(move || {
            std::thread::sleep(ms(5));
            writer.write_all(b"x").unwrap();
        });
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        thread.join().unwrap();
        drop(self.0.0.lock().unwrap());
        let output = std::process::Command::new("true").output().unwrap();
        assert!(output.status.success() && text == "x");
        self.0.1.fetch_add(1, Ordering::SeqCst);
    }
}

thread_local! {
    static FIRST: std::cell::RefCell<Option<Waits>> = const { std::cell::RefCell::new(None) };
    static SECOND: std::cell::RefCell<Option<Waits>> = const { std::cell::RefCell::new(None) };
}

#[test]
fn destructors_of_thread_locals_wait_as_ever() {
    patched();
    let shared = Arc::new((Mutex::new(()), AtomicU32::new(0)));
    let threads: Vec<_> = (0..8)
        .map(|number| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || {
                // The last that was made goes first: one before the hub, the other after it.
                FIRST.with(|first| *first.borrow_mut() = Some(Waits(Arc::clone(&shared))));
                let task = spawn(|| std::thread::sleep(ms(5)));
                SECOND.with(|second| *second.borrow_mut() = Some(Waits(Arc::clone(&shared))));
                if number % 2 == 0 {
                    task.join().unwrap();
                }
            })
        })
        .collect();
    let began = Instant::now();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(shared.1.load(Ordering::SeqCst), 16);
    assert!(began.elapsed() < Duration::from_secs(30));
}

#[test]
fn many_threads_use_sockets_of_std_with_tasks_and_without() {
    patched();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    const THREADS: usize = 16;
    const CALLS: usize = 20;
    let server = std::thread::spawn(move || {
        // Tasks accept on one thread, while this one has the listener as well.
        let tasks = (0..THREADS * CALLS).map(|_| {
            let (mut stream, _) = listener.accept().unwrap();
            spawn(move || {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                std::thread::sleep(ms(1));
                stream.write_all(&[byte[0] + 1]).unwrap();
            })
        });
        for task in greenloom::join_all(tasks.collect::<Vec<_>>()) {
            task.unwrap();
        }
    });
    let clients: Vec<_> = (0..THREADS)
        .map(|number| {
            std::thread::spawn(move || {
                let call = move || {
                    let mut stream = std::net::TcpStream::connect(address).unwrap();
                    stream.write_all(&[number as u8]).unwrap();
                    let mut byte = [0];
                    stream.read_exact(&mut byte).unwrap();
                    assert_eq!(byte[0], number as u8 + 1);
                };
                if number % 2 == 0 {
                    (0..CALLS).for_each(|_| call());
                } else {
                    let tasks = (0..CALLS).map(|_| spawn(call)).collect::<Vec<_>>();
                    greenloom::join_all(tasks).into_iter().for_each(|task| task.unwrap());
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    server.join().unwrap();
}
