//! A process that forks while its greenlets wait. Each test runs in a process of its own, which has one thread.

// Not under Miri: it does not fork. Nor where coroutines are threads: a forked child has none of them.
#![cfg(not(any(miri, greenloom_threads)))]

#[path = "util/child.rs"]
mod child;

use child::{in_child, stderr};
use greenloom::net::unix::UnixStream;
use greenloom::net::{TcpListener, TcpStream, wait_readable};
use greenloom::{JoinHandle, join_all, offload, sleep, spawn, yield_now};
use std::cell::Cell;
use std::io::{PipeReader, Read, Write};
use std::net::Ipv4Addr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

/// Runs `test`'s body in a process of its own, which has to end well.
fn alone(test: &str, body: fn()) {
    let output = in_child(test, &[], body);
    assert!(output.status.success(), "{:?}\n{}", output.status, stderr(&output));
}

/// A forked process.
struct Forked(libc::pid_t);

impl Forked {
    /// Forks; the child runs `f`. Neither lives longer than 20 seconds.
    fn new(f: impl FnOnce()) -> Forked {
        // SAFETY: this process has one thread that does anything, so the child is complete.
        let pid = unsafe { libc::fork() };
        // SAFETY: nothing special.
        unsafe { libc::alarm(20) };
        if pid == 0 {
            let code = i32::from(catch_unwind(AssertUnwindSafe(f)).is_err());
            // SAFETY: nothing of the parent's is run.
            unsafe { libc::_exit(code) };
        }
        assert!(pid > 0);
        Forked(pid)
    }

    /// Waits for its end, which has to be a good one.
    fn join(self) {
        // SAFETY: nothing special.
        unsafe { libc::alarm(20) };
        let mut status = 0;
        // SAFETY: the status is valid for the call.
        let pid = unsafe { libc::waitpid(self.0, &mut status, 0) };
        assert_eq!((pid, status), (self.0, 0), "the forked process failed");
    }
}

/// Greenlets that each wait for a byte on a socket, and the other ends.
fn readers(count: usize) -> (Vec<JoinHandle<()>>, Vec<UnixStream>) {
    let pairs = (0..count).map(|_| UnixStream::pair().unwrap());
    let (readers, writers) = pairs
        .map(|(mut one, other)| (spawn(move || one.read_exact(&mut [0]).unwrap()), other))
        .collect::<(Vec<_>, Vec<_>)>();
    sleep(MS);
    (readers, writers)
}

#[test]
fn both_processes_keep_their_greenlets() {
    alone("both_processes_keep_their_greenlets", || {
        let slept = Rc::new(Cell::new(false));
        let sleeper = spawn({
            let slept = slept.clone();
            move || {
                sleep(20 * MS);
                slept.set(true);
            }
        });
        let (reader, mut writer) = std::io::pipe().unwrap();
        let ready = spawn(move || wait_readable(&reader, None).map(|ready| (ready, reader)));
        sleep(MS);
        let finish = |sleeper: JoinHandle<()>, ready: JoinHandle<std::io::Result<(bool, PipeReader)>>| {
            sleeper.join().unwrap();
            assert!(ready.join().unwrap().unwrap().0);
        };
        // SAFETY: as in `Forked::new`.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            // Nobody has read it, so it wakes both.
            writer.write_all(b"x").unwrap();
            finish(sleeper, ready);
            // SAFETY: as in `Forked::new`.
            unsafe { libc::_exit(i32::from(!slept.get())) };
        }
        finish(sleeper, ready);
        assert!(slept.get());
        Forked(pid).join();
    });
}

#[test]
fn the_child_eats_none_of_the_parents_events() {
    alone("the_child_eats_none_of_the_parents_events", || {
        let (readers, mut writers) = readers(100);
        let (mut started, mut start) = std::io::pipe().unwrap();
        let child = Forked::new(|| {
            // The child's own readers of the same sockets would read what is the parent's.
            readers.iter().for_each(JoinHandle::kill);
            yield_now();
            start.write_all(b"x").unwrap();
            // Its hub polls all the time.
            for _ in 0..100 {
                sleep(MS);
            }
            // It works: with new sockets, and with the number of an old one.
            let (mut one, mut other) = UnixStream::pair().unwrap();
            let echo = spawn(move || {
                one.read_exact(&mut [0]).unwrap();
            });
            sleep(MS);
            other.write_all(b"x").unwrap();
            echo.join().unwrap();
        });
        started.read_exact(&mut [0]).unwrap();
        for (i, writer) in writers.iter_mut().enumerate() {
            writer.write_all(b"x").unwrap();
            if i % 10 == 0 {
                sleep(5 * MS);
            }
        }
        assert!(join_all(readers).iter().all(Result::is_ok));
        child.join();
    });
}

#[test]
fn what_the_child_closes_stays_registered_in_the_parent() {
    alone("what_the_child_closes_stays_registered_in_the_parent", || {
        let (one, mut other) = UnixStream::pair().unwrap();
        // Duplicated, so that closing takes the registration out of the poller; and waited for, so that there is one.
        let duplicate = one.try_clone().unwrap();
        let wait = |mut stream: UnixStream| {
            spawn(move || {
                stream.read_exact(&mut [0]).unwrap();
                stream
            })
        };
        let reader = wait(one);
        sleep(MS);
        other.write_all(b"1").unwrap();
        let one = reader.join().unwrap();
        // SAFETY: as in `Forked::new`.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            // The first thing that the child's hub hears.
            drop(one);
            drop(duplicate);
            sleep(MS);
            // SAFETY: as in `Forked::new`.
            unsafe { libc::_exit(0) };
        }
        Forked(pid).join();
        let reader = wait(one);
        sleep(MS);
        other.write_all(b"2").unwrap();
        reader.join().unwrap();
    });
}

#[test]
fn a_listener_is_shared_with_the_child() {
    alone("a_listener_is_shared_with_the_child", || {
        let listener = Rc::new(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
        let address = listener.local_addr().unwrap();
        let serve = |listener: Rc<TcpListener>, name: &'static [u8]| {
            spawn(move || {
                loop {
                    let (mut stream, _) = listener.accept().unwrap();
                    stream.write_all(name).unwrap();
                }
            })
        };
        let server = serve(listener.clone(), b"p");
        sleep(MS);
        // Its greenlet is the child's, too, and says "p" there as well.
        let child = Forked::new(|| {
            let second = serve(listener.clone(), b"c");
            sleep(300 * MS);
            second.kill();
            server.kill();
        });
        let clients: Vec<_> = (0..100)
            .map(|_| {
                spawn(move || {
                    let mut name = [0];
                    TcpStream::connect(address).unwrap().read_exact(&mut name).unwrap();
                    name
                })
            })
            .collect();
        let answers = join_all(clients);
        assert!(answers.iter().all(|answer| matches!(answer, Ok([b'p' | b'c']))));
        child.join();
    });
}

#[test]
fn the_pool_is_new_in_the_child_and_jobs_of_the_parent_are_the_parents() {
    alone("the_pool_is_new_in_the_child_and_jobs_of_the_parent_are_the_parents", || {
        assert_eq!(offload(|| 1), 1);
        let slow = spawn(|| {
            offload(|| {
                std::thread::sleep(50 * MS);
                2
            })
        });
        sleep(10 * MS);
        // SAFETY: the other threads are the pool's, and hold no lock that the child takes.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            let lost = slow.join();
            let fresh = offload(|| 3);
            let good = lost.is_err_and(|e| e.message().is_some_and(|m| m.contains("forked"))) && fresh == 3;
            // SAFETY: as in `Forked::new`.
            unsafe { libc::_exit(i32::from(!good)) };
        }
        assert_eq!(slow.join().unwrap(), 2);
        Forked(pid).join();
    });
}

#[test]
fn a_child_of_a_child() {
    alone("a_child_of_a_child", || {
        let (readers, mut writers) = readers(10);
        Forked::new(|| {
            sleep(MS);
            Forked::new(|| {
                for writer in &mut writers {
                    writer.write_all(b"x").unwrap();
                }
                assert!(join_all(readers).iter().all(Result::is_ok));
                assert_eq!(offload(|| 4), 4);
            })
            .join();
        })
        .join();
    });
}
