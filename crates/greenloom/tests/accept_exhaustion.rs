//! Accepting when the process has no descriptors left.

// Not under Miri: it starts no processes.
#![cfg(not(miri))]

#[path = "util/child.rs"]
mod child;

use child::{in_child, stderr};
use greenloom::net::unix::UnixListener;
use greenloom::net::{TcpListener, TcpStream};
use greenloom::{sleep, spawn};
use std::fs::File;
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::os::linux::net::SocketAddrExt;
use std::time::{Duration, Instant};

const MS: Duration = Duration::from_millis(1);

fn alone(test: &str, body: fn()) {
    let output = in_child(test, &[], body);
    assert!(output.status.success(), "{:?}\n{}", output.status, stderr(&output));
}

/// A hub has descriptors of its own.
fn make_hub() {
    spawn(|| ()).join().unwrap();
}

/// Leaves the process no descriptor but `free`.
fn exhaust(free: usize) -> Vec<File> {
    let limit = libc::rlimit { rlim_cur: 64, rlim_max: 64 };
    // SAFETY: valid for the call.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
    let mut files: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    files.truncate(files.len() - free);
    files
}

/// CPU time of this process.
fn cpu() -> Duration {
    // SAFETY: a structure of zeros is valid, and so is the pointer.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        assert_eq!(libc::getrusage(libc::RUSAGE_SELF, &mut usage), 0);
        usage
    };
    let time = |t: libc::timeval| Duration::new(t.tv_sec as u64, t.tv_usec as u32 * 1000);
    time(usage.ru_utime) + time(usage.ru_stime)
}

#[test]
fn a_patient_accept_waits_for_a_descriptor_without_spinning() {
    alone("a_patient_accept_waits_for_a_descriptor_without_spinning", || {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        make_hub();
        let files = exhaust(1);
        let client = TcpStream::connect(address).unwrap();
        assert_eq!(listener.accept().unwrap_err().raw_os_error(), Some(libc::EMFILE));
        let server = spawn(move || {
            let (mut stream, _) = listener.accept_patiently().unwrap();
            stream.write_all(b"at last").unwrap();
        });
        let (began, before) = (Instant::now(), cpu());
        sleep(300 * MS);
        assert!(!server.is_finished());
        let spent = cpu() - before;
        assert!(spent < began.elapsed() / 4, "{spent:?} of {:?}", began.elapsed());
        drop(files);
        let mut answer = String::new();
        (&client).read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "at last");
        server.join().unwrap();
    });
}

#[test]
fn incoming_gives_errors_at_a_bearable_rate_and_goes_on() {
    alone("incoming_gives_errors_at_a_bearable_rate_and_goes_on", || {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        make_hub();
        let files = exhaust(1);
        let client = TcpStream::connect(address).unwrap();
        let server = spawn(move || {
            let mut errors = 0;
            for stream in listener.incoming() {
                match stream {
                    Ok(mut stream) => {
                        stream.write_all(b"x").unwrap();
                        break;
                    }
                    Err(error) => {
                        assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
                        errors += 1;
                    }
                }
            }
            errors
        });
        sleep(300 * MS);
        drop(files);
        (&client).read_exact(&mut [0]).unwrap();
        let errors = server.join().unwrap();
        // At once, then after 5, 10, 20, 40, 80, 100, 100 ms.
        assert!((4..=9).contains(&errors), "{errors} errors");
    });
}

#[test]
fn a_unix_listener_waits_too() {
    alone("a_unix_listener_waits_too", || {
        let name = format!("greenloom-exhaustion-{}", std::process::id());
        let address = std::os::unix::net::SocketAddr::from_abstract_name(name).unwrap();
        let listener = UnixListener::bind_addr(&address).unwrap();
        make_hub();
        let files = exhaust(1);
        let client = greenloom::net::unix::UnixStream::connect_addr(&address).unwrap();
        let server = spawn(move || listener.accept_patiently().map(drop).unwrap());
        sleep(30 * MS);
        assert!(!server.is_finished());
        drop(files);
        server.join().unwrap();
        drop(client);
    });
}

#[test]
fn connecting_and_cloning_without_a_descriptor_are_errors() {
    alone("connecting_and_cloning_without_a_descriptor_are_errors", || {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        make_hub();
        let _files = exhaust(0);
        let error = TcpStream::connect(listener.local_addr().unwrap()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
        assert_eq!(listener.try_clone().unwrap_err().raw_os_error(), Some(libc::EMFILE));
        // Others go on: sleeping needs none.
        sleep(MS);
    });
}

#[test]
fn a_thread_without_a_descriptor_for_a_hub_says_so() {
    alone("a_thread_without_a_descriptor_for_a_hub_says_so", || {
        let _files = exhaust(0);
        let error = greenloom::Builder::new().spawn(|| ()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
    });
}
