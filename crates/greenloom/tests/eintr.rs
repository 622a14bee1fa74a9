//! Signals that interrupt system calls all the time.

// Not under Miri: it has no signals. Nor where coroutines are threads, which is for the sanitizers: ThreadSanitizer keeps
// signals back from a thread that waits.
#![cfg(not(any(miri, greenloom_threads)))]

#[path = "util/tcp.rs"]
mod tcp;

use greenloom::net::{TcpListener, TcpStream, wait_readable};
use greenloom::process::Command;
use greenloom::{join_all, offload, sleep, spawn};
use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tcp::{ANY, pair};

const MS: Duration = Duration::from_millis(1);

/// Interrupts the calling thread as fast as another can, until dropped.
struct Storm {
    over: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

static SIGNALS: AtomicUsize = AtomicUsize::new(0);

impl Storm {
    fn new() -> Storm {
        extern "C" fn handler(_: i32) {
            SIGNALS.fetch_add(1, Ordering::Relaxed);
        }
        let handler: extern "C" fn(i32) = handler;
        // SAFETY: the handler does what is allowed in one. Without SA_RESTART.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler as usize;
            assert_eq!(libc::sigaction(libc::SIGUSR2, &action, std::ptr::null_mut()), 0);
        }
        // SAFETY: no memory is passed.
        let target = unsafe { libc::pthread_self() };
        let over = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let over = over.clone();
            move || {
                while !over.load(Ordering::Relaxed) {
                    // SAFETY: the thread is there until this one was joined.
                    unsafe { libc::pthread_kill(target, libc::SIGUSR2) };
                    std::thread::sleep(Duration::from_micros(20));
                }
            }
        });
        Storm { over, thread: Some(thread) }
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

#[test]
fn data_arrives_whole() {
    let _storm = Storm::new();
    let before = SIGNALS.load(Ordering::Relaxed);
    let listener = TcpListener::bind(ANY).unwrap();
    let address = listener.local_addr().unwrap();
    let server = spawn(move || {
        for _ in 0..20 {
            let (mut stream, _) = listener.accept().unwrap();
            spawn(move || {
                let mut buffer = [0; 4096];
                while let read @ 1.. = stream.read(&mut buffer).unwrap() {
                    stream.write_all(&buffer[..read]).unwrap();
                }
            });
        }
    });
    let clients: Vec<_> = (0..20_u8)
        .map(|i| {
            spawn(move || {
                let mut stream = TcpStream::connect(address).unwrap();
                let data = vec![i; 20_000];
                for _ in 0..20 {
                    stream.write_all(&data).unwrap();
                    let mut answer = vec![0; data.len()];
                    stream.read_exact(&mut answer).unwrap();
                    assert!(answer == data);
                }
            })
        })
        .collect();
    join_all(clients).into_iter().for_each(|client| client.unwrap());
    server.join().unwrap();
    sleep(20 * MS);
    assert!(SIGNALS.load(Ordering::Relaxed) > before + 20, "there was no storm");
}

#[test]
fn waits_last_as_long_as_they_should() {
    let _storm = Storm::new();
    let (mut client, _server) = pair();
    let began = Instant::now();
    sleep(40 * MS);
    client.set_read_timeout(Some(40 * MS)).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::TimedOut);
    assert!(!wait_readable(&client, Some(40 * MS)).unwrap());
    let took = began.elapsed();
    assert!(took >= 120 * MS && took < 2000 * MS, "{took:?}");
}

#[test]
fn natively_waiting_threads_too() {
    std::thread::spawn(|| {
        let (mut client, server) = pair();
        let _storm = Storm::new();
        client.set_read_timeout(Some(40 * MS)).unwrap();
        let began = Instant::now();
        assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::TimedOut);
        assert!(began.elapsed() >= 40 * MS);
        drop(server);
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
    })
    .join()
    .unwrap();
}

#[test]
fn jobs_and_child_processes_end() {
    let _storm = Storm::new();
    let job = spawn(|| {
        offload(|| {
            std::thread::sleep(20 * MS);
            7
        })
    });
    let output = Command::new("sh").args(["-c", "sleep 0.05; echo done"]).output().unwrap();
    assert_eq!(output.stdout, b"done\n");
    assert_eq!(job.join().unwrap(), 7);
}
