//! Signals received like messages. Handlers are the whole process's, so each test runs in a process of its own.

// Not under Miri: it has no signals. Nor where coroutines are threads, which is for the sanitizers: ThreadSanitizer keeps
// signals back from a thread that waits.
#![cfg(not(any(miri, greenloom_threads)))]

#[path = "util/child.rs"]
mod child;

use child::{in_child, stderr};
use greenloom::process::Command;
use greenloom::signal::{Signals, ctrl_c};
use greenloom::{JoinError, sleep, spawn, yield_now};
use std::cell::RefCell;
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::{Duration, Instant};

const MS: Duration = Duration::from_millis(1);

fn alone(test: &str, body: fn()) {
    let output = in_child(test, &[], body);
    assert!(output.status.success(), "{:?}\n{}", output.status, stderr(&output));
}

fn raise(signal: i32) {
    // SAFETY: there is a handler for it.
    unsafe { libc::raise(signal) };
}

fn send(signal: i32) {
    // SAFETY: there is a handler for it.
    unsafe { libc::kill(libc::getpid(), signal) };
}

#[test]
fn a_waiting_greenlet_receives_them_while_the_hub_sleeps() {
    alone("a_waiting_greenlet_receives_them_while_the_hub_sleeps", || {
        let signals = Signals::new([libc::SIGUSR1, libc::SIGTERM]).unwrap();
        let received = Rc::new(RefCell::new(Vec::new()));
        let receiver = spawn({
            let received = received.clone();
            move || signals.iter().take(3).for_each(|signal| received.borrow_mut().push(signal))
        });
        let sent = [libc::SIGUSR1, libc::SIGTERM, libc::SIGUSR1];
        for (i, &signal) in sent.iter().enumerate() {
            send(signal);
            while received.borrow().len() <= i {
                sleep(MS);
            }
        }
        receiver.join().unwrap();
        assert_eq!(*received.borrow(), sent);
    });
}

#[test]
fn one_ends_the_hubs_sleep() {
    alone("one_ends_the_hubs_sleep", || {
        let signals = Signals::new([libc::SIGUSR1]).unwrap();
        // SAFETY: ends a process that has gone wrong.
        unsafe { libc::alarm(30) };
        std::thread::spawn(|| {
            std::thread::sleep(30 * MS);
            send(libc::SIGUSR1);
        });
        // Nothing else wakes it: no timer, no descriptor, no other greenlet.
        assert_eq!(signals.recv(), libc::SIGUSR1);
    });
}

#[test]
fn from_other_threads_and_processes() {
    alone("from_other_threads_and_processes", || {
        let signals = Signals::new([libc::SIGUSR2]).unwrap();
        std::thread::spawn(|| {
            std::thread::sleep(20 * MS);
            raise(libc::SIGUSR2);
        });
        assert_eq!(signals.recv(), libc::SIGUSR2);
        let kill = format!("kill -USR2 {}", std::process::id());
        let child = spawn(move || Command::new("sh").args(["-c", &kill]).status().unwrap());
        assert_eq!(signals.recv(), libc::SIGUSR2);
        assert!(child.join().unwrap().success());
    });
}

#[test]
fn one_that_came_before_is_kept_and_several_are_one() {
    alone("one_that_came_before_is_kept_and_several_are_one", || {
        let signals = Signals::new([libc::SIGUSR1, libc::SIGUSR2]).unwrap();
        for _ in 0..1000 {
            raise(libc::SIGUSR2);
            raise(libc::SIGUSR1);
        }
        assert_eq!(signals.try_recv(), Some(libc::SIGUSR1));
        assert_eq!(signals.recv(), libc::SIGUSR2);
        assert_eq!(signals.try_recv(), None);
        let began = Instant::now();
        assert_eq!(signals.recv_timeout(10 * MS), None);
        assert!(began.elapsed() >= 10 * MS);
        raise(libc::SIGUSR1);
        assert_eq!(signals.recv_timeout(10 * MS), Some(libc::SIGUSR1));
    });
}

#[test]
fn several_receivers_of_one_object_get_one_each() {
    alone("several_receivers_of_one_object_get_one_each", || {
        let signals = Rc::new(Signals::new([libc::SIGUSR1]).unwrap());
        let receive = || {
            let signals = signals.clone();
            spawn(move || signals.recv())
        };
        let receivers = [receive(), receive(), receive()];
        yield_now();
        // The one who is told goes; another takes its place.
        receivers[0].kill();
        for _ in 0..2 {
            sleep(MS);
            raise(libc::SIGUSR1);
        }
        let [first, second, third] = receivers.map(|receiver| receiver.join());
        assert!(matches!(first, Err(JoinError::Killed)));
        assert_eq!((second.unwrap(), third.unwrap()), (libc::SIGUSR1, libc::SIGUSR1));
    });
}

#[test]
fn several_objects_receive_the_same_signal() {
    alone("several_objects_receive_the_same_signal", || {
        let (one, other) = (Signals::new([libc::SIGUSR1]).unwrap(), Signals::new([libc::SIGUSR1]).unwrap());
        raise(libc::SIGUSR1);
        assert_eq!((one.recv(), other.recv()), (libc::SIGUSR1, libc::SIGUSR1));
        drop(one);
        raise(libc::SIGUSR1);
        assert_eq!(other.recv(), libc::SIGUSR1);
        drop(other);
        // Ignored from now on.
        raise(libc::SIGUSR1);
    });
}

#[test]
fn ctrl_c_is_waited_for() {
    alone("ctrl_c_is_waited_for", || {
        let waiting = spawn(ctrl_c);
        yield_now();
        assert!(!waiting.is_finished());
        send(libc::SIGINT);
        waiting.join().unwrap().unwrap();
    });
}

#[test]
fn signals_arrive_in_a_forked_child() {
    alone("signals_arrive_in_a_forked_child", || {
        let signals = Signals::new([libc::SIGUSR1]).unwrap();
        let receiver = spawn(move || signals.recv());
        sleep(MS);
        // SAFETY: this thread is the only one.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: ends a process that has gone wrong, and at last this one.
            unsafe {
                libc::alarm(10);
                libc::_exit(i32::from(receiver.join().unwrap() != libc::SIGUSR1));
            }
        }
        sleep(20 * MS);
        // SAFETY: the child's.
        unsafe { libc::kill(child, libc::SIGUSR1) };
        let mut status = 0;
        // SAFETY: valid for the call.
        unsafe { libc::waitpid(child, &mut status, 0) };
        assert_eq!(status, 0);
        sleep(5 * MS);
        assert!(!receiver.is_finished(), "it was not the parent's");
        raise(libc::SIGUSR1);
        receiver.join().unwrap();
    });
}

#[test]
fn what_cannot_be_received_is_an_error() {
    for signal in [libc::SIGKILL, libc::SIGSTOP, libc::SIGSEGV, 0, -1, 65, 1000] {
        assert_eq!(Signals::new([signal]).unwrap_err().kind(), ErrorKind::InvalidInput, "{signal}");
    }
}
