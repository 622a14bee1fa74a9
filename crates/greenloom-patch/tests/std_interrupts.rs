//! Kills and timeouts of tasks inside calls of `std`: the call ends with an error, and the task with what came for it.

mod common;

use common::{ms, patched};
use greenloom::{JoinError, spawn, timeout, yield_now};
use std::cell::Cell;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::rc::Rc;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

fn is_cancelled<T>(result: io::Result<T>) -> bool {
    matches!(result, Err(error) if error.raw_os_error() == Some(libc::ECANCELED))
}

/// Runs `call` in a task that is killed in it; says whether the call ended with ECANCELED.
#[track_caller]
fn killed_in(call: impl FnOnce() -> bool + 'static) -> bool {
    patched();
    let cancelled = Rc::new(Cell::new(false));
    let task = spawn({
        let cancelled = Rc::clone(&cancelled);
        move || cancelled.set(call())
    });
    yield_now();
    assert!(!task.is_finished());
    task.kill();
    assert!(matches!(task.join(), Err(JoinError::Killed)));
    cancelled.get()
}

#[test]
fn a_kill_ends_a_read() {
    let (mut here, mut there) = UnixStream::pair().unwrap();
    let mut copy = here.try_clone().unwrap();
    assert!(killed_in(move || is_cancelled(copy.read(&mut [0]))));
    // Nothing was taken, and the next one reads as ever.
    there.write_all(b"x").unwrap();
    let mut byte = [0];
    here.read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"x");
}

#[test]
fn a_kill_ends_writing_accepting_and_waiting_for_a_child() {
    let (mut here, _there) = UnixStream::pair().unwrap();
    assert!(killed_in(move || is_cancelled(here.write_all(&vec![0; 10_000_000]))));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let copy = listener.try_clone().unwrap();
    assert!(killed_in(move || is_cancelled(copy.accept())));
    let connecting = spawn(move || TcpStream::connect(address).unwrap());
    assert!(listener.accept().is_ok());
    connecting.join().unwrap();
    let mut child = Command::new("sleep").arg("60").spawn().unwrap();
    let pid = child.id() as i32;
    assert!(killed_in(move || is_cancelled(child.wait())));
    // SAFETY: the child that was not waited for.
    unsafe {
        libc::kill(pid, libc::SIGKILL);
        libc::waitpid(pid, std::ptr::null_mut(), 0);
    }
}

#[test]
fn a_kill_ends_a_sleep_and_the_task_is_unwound_at_its_next_wait() {
    patched();
    let reached = Rc::new(Cell::new(0));
    let task = spawn({
        let reached = Rc::clone(&reached);
        move || {
            // It has no way to fail: it is over early.
            std::thread::sleep(Duration::from_secs(60));
            reached.set(1);
            greenloom::sleep(Duration::from_secs(60));
            reached.set(2);
        }
    });
    yield_now();
    let began = Instant::now();
    task.kill();
    assert!(matches!(task.join(), Err(JoinError::Killed)));
    assert!(began.elapsed() < Duration::from_secs(20));
    assert_eq!(reached.get(), 1);
}

#[test]
fn a_timeout_ends_the_call_that_waits_when_it_expires() {
    patched();
    let (mut here, _there) = UnixStream::pair().unwrap();
    let began = Instant::now();
    let late = timeout(ms(30), || here.read(&mut [0]));
    assert!(late.is_err());
    assert!((ms(30)..Duration::from_secs(20)).contains(&began.elapsed()));
    // Others of the same task are not concerned.
    let soon = timeout(Duration::from_secs(20), || {
        std::thread::sleep(ms(5));
        "done"
    });
    assert_eq!(soon, Ok("done"));
}

#[test]
fn a_timeout_that_expires_in_a_computation_ends_the_next_call() {
    patched();
    let (mut here, _there) = UnixStream::pair().unwrap();
    let late = timeout(ms(5), || {
        let began = Instant::now();
        while began.elapsed() < ms(20) {
            yield_to_the_loop();
        }
        here.read(&mut [0])
    });
    assert!(late.is_err());
}

/// Gives the hub a chance to look at its timers, without being a place where interrupts arrive.
fn yield_to_the_loop() {
    greenloom::shield(yield_now);
}

#[test]
fn locks_of_std_cannot_be_interrupted_and_a_kill_comes_after_them() {
    patched();
    let mutex = Arc::new(Mutex::new(()));
    let held = mutex.lock().unwrap();
    let got = Rc::new(Cell::new(false));
    let task = spawn({
        let (mutex, got) = (Arc::clone(&mutex), Rc::clone(&got));
        move || {
            let _guard = mutex.lock().unwrap();
            got.set(true);
            std::thread::sleep(Duration::from_secs(60));
        }
    });
    yield_now();
    task.kill();
    for _ in 0..10 {
        yield_now();
    }
    assert!(!task.is_finished() && !got.get());
    drop(held);
    assert!(matches!(task.join(), Err(JoinError::Killed)));
    assert!(got.get());
    assert!(!mutex.is_poisoned(), "the kill did not unwind under the lock");
    let shared = Arc::new((Mutex::new(false), Condvar::new()));
    let task = spawn({
        let shared = Arc::clone(&shared);
        move || drop(shared.1.wait_while(shared.0.lock().unwrap(), |done| !*done).unwrap())
    });
    yield_now();
    task.kill();
    for _ in 0..10 {
        yield_now();
    }
    assert!(!task.is_finished());
    *shared.0.lock().unwrap() = true;
    shared.1.notify_all();
    assert!(task.join().is_ok(), "nothing was told of the kill, and nothing more was waited for");
}

#[test]
fn what_others_do_meanwhile_is_not_harmed() {
    patched();
    let (mut killed, _other) = UnixStream::pair().unwrap();
    let (mut reader, mut writer) = UnixStream::pair().unwrap();
    let victims: Vec<_> = (0..20)
        .map(|_| {
            let mut stream = killed.try_clone().unwrap();
            spawn(move || is_cancelled(stream.read(&mut [0])))
        })
        .collect();
    let good = spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    });
    yield_now();
    for victim in &victims {
        victim.kill();
        writer.write_all(b"x").unwrap();
        std::thread::sleep(ms(1));
    }
    drop(writer);
    assert_eq!(good.join().unwrap(), "x".repeat(20));
    for victim in victims {
        assert!(matches!(victim.join(), Err(JoinError::Killed)));
    }
    killed.set_nonblocking(true).unwrap();
    assert_eq!(killed.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
}
