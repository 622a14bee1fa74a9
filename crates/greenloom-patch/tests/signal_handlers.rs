//! Signal handlers call what may be called in one, at any moment of a program whose tasks wait.

mod common;

use common::child::{in_child, stderr};
use common::{ms, patched};
use greenloom::spawn;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

static PIPE: AtomicI32 = AtomicI32::new(-1);
static CALLS: AtomicUsize = AtomicUsize::new(0);
static FAILURES: AtomicUsize = AtomicUsize::new(0);

/// Everything here goes through the hooks, as this program is patched.
extern "C" fn handle(_: i32) {
    // SAFETY: of this thread; the calls get valid memory.
    unsafe {
        let errno = *libc::__errno_location();
        let fd = PIPE.load(Ordering::Relaxed);
        let copy = libc::dup(fd);
        let mut entry = libc::pollfd { fd: copy, events: libc::POLLOUT, revents: 0 };
        let well = libc::poll(&raw mut entry, 1, 0) == 1
            && libc::write(copy, b"s".as_ptr().cast(), 1) == 1
            && libc::fcntl(copy, libc::F_GETFL) & libc::O_ACCMODE == libc::O_WRONLY
            && libc::close(copy) == 0
            && libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) <= 0;
        CALLS.fetch_add(1, Ordering::Relaxed);
        FAILURES.fetch_add(usize::from(!well), Ordering::Relaxed);
        *libc::__errno_location() = errno;
    }
}

/// Signals come all the time, to whichever thread.
fn begin() {
    // SAFETY: the handler does what it may.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handle as *const () as usize;
        action.sa_flags = libc::SA_RESTART;
        libc::sigaction(libc::SIGALRM, &action, std::ptr::null_mut());
        let every = libc::timeval { tv_sec: 0, tv_usec: 300 };
        let timer = libc::itimerval { it_interval: every, it_value: every };
        libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut());
    }
}

fn tasks_of_one_thread(end: Instant, shared: &Arc<Mutex<u64>>) {
    let tasks: Vec<_> = (0..20)
        .map(|number| {
            let shared = Arc::clone(shared);
            spawn(move || {
                while Instant::now() < end {
                    let (mut reader, mut writer) = std::io::pipe().unwrap();
                    let other = spawn(move || {
                        std::thread::sleep(ms(number % 3));
                        writer.write_all(b"xyz").unwrap();
                    });
                    let mut text = String::new();
                    reader.read_to_string(&mut text).unwrap();
                    other.join().unwrap();
                    let mut count = shared.lock().unwrap();
                    *count += text.len() as u64;
                    if number == 0 {
                        std::thread::sleep(ms(1));
                    }
                }
            })
        })
        .collect();
    greenloom::join_all(tasks).into_iter().for_each(|task| task.unwrap());
}

#[test]
fn they_may_come_at_any_moment() {
    fn body() {
        std::thread::spawn(|| {
            std::thread::sleep(Duration::from_secs(60));
            eprintln!("it hangs");
            std::process::abort();
        });
        patched();
        let (reader, writer) = std::io::pipe().unwrap();
        PIPE.store(writer.as_raw_fd(), Ordering::Relaxed);
        // Empties the pipe, so that the handler never waits.
        std::thread::spawn(move || {
            let mut reader = reader;
            while reader.read(&mut [0; 4096]).unwrap() > 0 {}
        });
        let end = Instant::now() + Duration::from_secs(1);
        let shared = Arc::new(Mutex::new(0));
        begin();
        let elsewhere = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || tasks_of_one_thread(end, &shared)
        });
        tasks_of_one_thread(end, &shared);
        elsewhere.join().unwrap();
        assert!(*shared.lock().unwrap() > 0);
        assert!(CALLS.load(Ordering::Relaxed) > 20, "hardly any signal has come");
        assert_eq!(FAILURES.load(Ordering::Relaxed), 0);
    }
    let output = in_child("they_may_come_at_any_moment", &[], body);
    assert!(output.status.success(), "{}\n{}", output.status, stderr(&output));
}
