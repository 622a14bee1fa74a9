//! A child that shares its parent's memory until it runs another program, as those of `vfork` and `posix_spawn`: it
//! has the parent's tasks before its eyes, and is none of them.

mod common;

use common::{ms, patched};
use greenloom::spawn;
use std::ffi::{c_int, c_void};
use std::io::{PipeReader, Read, Write, pipe};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Instant;

/// Calls `f` in such a child, and says how it has ended. The calling thread stands still meanwhile.
fn in_child_sharing_memory<F: FnOnce() -> c_int>(f: F) -> c_int {
    extern "C" fn run<F: FnOnce() -> c_int>(f: *mut c_void) -> c_int {
        // SAFETY: what was passed below, called once.
        let f = unsafe { (*f.cast::<Option<F>>()).take() };
        f.map_or(2, |f| f())
    }
    let mut stack = vec![0_u128; 1 << 14];
    let mut f = Some(f);
    let mut status = 0;
    // SAFETY: the stack and the function live until the child has ended, as this thread waits for it.
    unsafe {
        let top = stack.as_mut_ptr().add(stack.len()).cast();
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        let child = libc::clone(run::<F>, top, flags, (&raw mut f).cast());
        assert!(child > 0, "{}", std::io::Error::last_os_error());
        assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
    }
    status
}

/// What is read from the pipe, of which one byte is awaited.
fn byte_of(mut reader: PipeReader) -> u8 {
    let mut byte = [0];
    reader.read_exact(&mut byte).unwrap();
    byte[0]
}

/// The flags that the kernel has.
fn flags(fd: RawFd) -> c_int {
    // SAFETY: takes no pointer. Not by the hook, which hides some.
    unsafe { libc::syscall(libc::SYS_fcntl, fd, libc::F_GETFL, 0) as c_int }
}

#[test]
fn it_waits_without_running_its_parents_tasks() {
    patched();
    let me = std::process::id();
    let done = std::sync::Arc::new(AtomicBool::new(false));
    let (rounds, ran_elsewhere) =
        (std::sync::Arc::new(AtomicU32::new(0)), std::sync::Arc::new(AtomicBool::new(false)));
    let other = spawn({
        let (done, rounds, ran_elsewhere) = (done.clone(), rounds.clone(), ran_elsewhere.clone());
        move || {
            while !done.load(Ordering::Relaxed) {
                ran_elsewhere.fetch_or(std::process::id() != me, Ordering::Relaxed);
                rounds.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(ms(1));
            }
        }
    });
    std::thread::sleep(ms(10));
    assert!(rounds.load(Ordering::Relaxed) > 1, "the other task runs while this one sleeps");
    let (reader, mut writer) = pipe().unwrap();
    // Held by this very task: in the child nobody can give it back.
    let mutex = Mutex::new(());
    let held = mutex.lock().unwrap();
    let thread = std::thread::spawn(move || {
        std::thread::sleep(ms(50));
        writer.write_all(b"x").unwrap();
    });
    let status = in_child_sharing_memory(|| {
        let began = Instant::now();
        std::thread::sleep(ms(20));
        let slept = began.elapsed() >= ms(20);
        let mut entry = libc::pollfd { fd: reader.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one entry; a buffer of one byte.
        let (polled, read) = unsafe {
            let polled = libc::poll(&raw mut entry, 1, 1);
            let mut byte = 0_u8;
            (polled, libc::read(reader.as_raw_fd(), (&raw mut byte).cast(), 1))
        };
        let is_locked = mutex.try_lock().is_err();
        c_int::from(!(slept && polled == 0 && read == 1 && is_locked))
    });
    drop(held);
    assert_eq!(status, 0);
    assert!(!ran_elsewhere.load(Ordering::Relaxed), "a task of the parent has run in the child");
    thread.join().unwrap();
    done.store(true, Ordering::Relaxed);
    other.join().unwrap();
}

#[test]
fn what_it_closes_is_open_in_its_parent() {
    patched();
    let (reader, mut writer) = pipe().unwrap();
    let fd = reader.as_raw_fd();
    let waiting = spawn(move || byte_of(reader));
    std::thread::sleep(ms(10));
    let status = in_child_sharing_memory(|| {
        // SAFETY: its own numbers.
        unsafe { libc::close(fd) | libc::dup2(2, fd).min(0) }
    });
    assert_eq!(status, 0);
    std::thread::sleep(ms(10));
    assert!(!waiting.is_finished());
    writer.write_all(b"y").unwrap();
    assert_eq!(waiting.join().unwrap(), b'y');
}

#[test]
fn a_listener_that_it_closes_or_duplicates_stays_as_it_is() {
    patched();
    // From here on this thread runs tasks.
    spawn(|| ()).join().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let accept_one = || {
        let client = TcpStream::connect(address).unwrap();
        drop((listener.accept().unwrap(), client));
    };
    accept_one();
    let fd = listener.as_raw_fd();
    assert_ne!(flags(fd) & libc::O_NONBLOCK, 0, "it is non-blocking without the program's knowledge");
    let status = in_child_sharing_memory(|| {
        // SAFETY: its own numbers.
        unsafe { libc::dup2(fd, 0).min(0) | libc::close(fd) | libc::close(0) }
    });
    assert_eq!(status, 0);
    assert_ne!(flags(fd) & libc::O_NONBLOCK, 0);
    // SAFETY: takes no pointer.
    assert_eq!(unsafe { libc::fcntl(fd, libc::F_GETFL) } & libc::O_NONBLOCK, 0, "nor is it told now");
    accept_one();
}
