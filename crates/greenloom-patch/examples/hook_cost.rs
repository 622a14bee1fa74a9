//! What a hook costs where nothing has to wait: each call by libc and through its hook, in ns.
//!
//! `cargo run --release -p greenloom-patch --example hook_cost`

use greenloom_patch::runtime::{Deadline, Interest, Runtime, TaskId, Wait, Wake};
use std::ffi::{CString, c_int, c_void};
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Instant;

const CALLS: u32 = 1000;
const ROUNDS: usize = 500;

/// One that would park, and never has to.
struct Never;

// SAFETY: nothing is ever parked.
unsafe impl Runtime for Never {
    fn may_park(&self) -> bool {
        true
    }
    fn current(&self) -> TaskId {
        1
    }
    fn now(&self) -> Deadline {
        0
    }
    fn is_interrupted(&self) -> bool {
        false
    }
    fn wait_fd(&self, _: RawFd, _: Interest, _: Deadline, what: &'static str) -> Wait {
        panic!("{what} waits")
    }
    fn sleep(&self, _: Deadline, what: &'static str) -> Wait {
        panic!("{what} waits")
    }
    fn waker(&self) -> Arc<dyn Wake> {
        unreachable!()
    }
    fn park(&self, _: &Arc<dyn Wake>, _: Deadline, _: bool, what: &'static str) -> Wait {
        panic!("{what} waits")
    }
    fn offload(&self, job: Box<dyn FnOnce() + Send>) -> Result<(), Box<dyn FnOnce() + Send>> {
        Err(job)
    }
    fn closing(&self, _: RawFd) {}
}

type Transfer = unsafe extern "C-unwind" fn(c_int, *mut c_void, usize) -> isize;
type Message = unsafe extern "C-unwind" fn(c_int, *mut c_void, usize, c_int) -> isize;

/// libc's function and its hook.
fn both<F: Copy>(name: &str) -> [F; 2] {
    let name = CString::new(name).unwrap();
    // SAFETY: the name is a string.
    let plain = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) }.cast_const().cast();
    let hook = greenloom_patch::testing::hook(&name).unwrap();
    // SAFETY: `F` is the type of both.
    [plain, hook].map(|function: *const ()| unsafe { std::mem::transmute_copy(&function) })
}

/// Prints the best time of one call of each of the two, without what `rest` takes.
fn compare<F: Copy>(what: &str, name: &str, call: impl Fn(F)) {
    let functions = both::<F>(name);
    let mut best = [f64::MAX; 2];
    for _ in 0..ROUNDS {
        for (function, best) in functions.iter().zip(&mut best) {
            let start = Instant::now();
            (0..CALLS).for_each(|_| call(*function));
            *best = best.min(start.elapsed().as_nanos() as f64 / f64::from(CALLS));
        }
    }
    println!("{what:<44} libc {:5.0}   hook {:5.0}   more {:4.0}", best[0], best[1], best[1] - best[0]);
}

fn main() {
    greenloom_patch::runtime::set(&Never);
    let mut pipe = [0; 2];
    let mut pair = [0; 2];
    // SAFETY: room for two descriptors each.
    unsafe {
        assert_eq!(libc::pipe(pipe.as_mut_ptr()), 0);
        assert_eq!(libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM, 0, pair.as_mut_ptr()), 0);
    }
    let mut bytes = [0_u8; 64];
    let buffer: *mut c_void = bytes.as_mut_ptr().cast();
    // SAFETY: in all that follows, the buffer is as long as is said, and there is data for each read.
    unsafe {
        let feed = |fds: [c_int; 2]| assert_eq!(libc::write(fds[1], buffer, 8), 8);
        let empty = |fds: [c_int; 2]| assert_eq!(libc::read(fds[0], buffer, 64), 8);
        println!("each with a plain call on the other end");
        compare("recv, socket, 8 of 8 bytes", "recv", |call: Message| {
            feed(pair);
            call(pair[0], buffer, 8, 0);
        });
        compare("recv, socket, 8 of 64 bytes", "recv", |call: Message| {
            feed(pair);
            call(pair[0], buffer, 64, 0);
        });
        compare("send, socket", "send", |call: Message| {
            call(pair[1], buffer, 8, 0);
            empty(pair);
        });
        compare("read, socket, 8 of 64 bytes", "read", |call: Transfer| {
            feed(pair);
            call(pair[0], buffer, 64);
        });
        compare("write, socket", "write", |call: Transfer| {
            call(pair[1], buffer, 8);
            empty(pair);
        });
        compare("read, pipe, 8 of 8 bytes", "read", |call: Transfer| {
            feed(pipe);
            call(pipe[0], buffer, 8);
        });
        compare("read, pipe, 8 of 64 bytes", "read", |call: Transfer| {
            feed(pipe);
            call(pipe[0], buffer, 64);
        });
        compare("write, pipe", "write", |call: Transfer| {
            call(pipe[1], buffer, 8);
            empty(pipe);
        });
        let path = CString::new(std::env::temp_dir().join("hook_cost").to_str().unwrap()).unwrap();
        let file = libc::open(path.as_ptr(), libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC, 0o600);
        libc::unlink(path.as_ptr());
        assert_eq!(libc::write(file, buffer, 64), 64);
        compare("read, file, 8 bytes", "read", |call: Transfer| {
            libc::lseek(file, 8, libc::SEEK_SET);
            call(file, buffer, 8);
        });
        compare("write, file, 8 bytes", "write", |call: Transfer| {
            libc::lseek(file, 8, libc::SEEK_SET);
            call(file, buffer, 8);
        });
        type Close = unsafe extern "C-unwind" fn(c_int) -> c_int;
        compare("close, of a duplicate", "close", |call: Close| {
            call(libc::dup(pair[0]));
        });
        type Fcntl = unsafe extern "C-unwind" fn(c_int, c_int, libc::c_ulong) -> c_int;
        compare("fcntl(F_GETFL)", "fcntl", |call: Fcntl| {
            call(pair[0], libc::F_GETFL, 0);
        });
    }
}
