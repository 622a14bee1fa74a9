//! Where nothing waits, a hook is libc: the same calls, made by a task through hooks and by a thread without, have the same
//! results, errors and bytes.

use crate::hooked;
use crate::plain::*;
use crate::sandbox::is_refused;
use crate::{sandbox, tasks};
use std::os::fd::{AsRawFd, IntoRawFd};
use std::sync::OnceLock;

/// The calls of one side, hooked or not.
#[derive(Clone, Copy)]
struct Calls {
    is_hooked: bool,
}

macro_rules! either {
    ($calls:expr, $name:ident($($arg:expr),*)) => {
        // SAFETY: as far as the kernel cares.
        if $calls.is_hooked { hooked::$name($($arg),*) } else { unsafe { libc::$name($($arg),*) } }
    };
}

/// Numbers that look random and are the same on both sides.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % end
    }
}

const BAD_ADDRESS: usize = 16;
const BAD: *mut u8 = BAD_ADDRESS as *mut u8;

/// A list of buffers at a bad address. A sandbox that refuses what the hooks would ask is a limit: there it is a crash.
fn bad_list() -> *const libc::iovec {
    static LIST: [usize; 2] = [BAD_ADDRESS, 1];
    if is_refused() { LIST.as_ptr().cast() } else { BAD.cast_const().cast() }
}

/// What came of each call: its name, the outcome, a sum of the bytes.
type Log = Vec<(&'static str, Outcome, u32)>;

fn both(scenario: fn(Calls, u64) -> Log, seeds: std::ops::Range<u64>) {
    sandbox::begin();
    for seed in seeds {
        let expected = std::thread::spawn(move || scenario(Calls { is_hooked: false }, seed)).join().unwrap();
        let found = scenario(Calls { is_hooked: true }, seed);
        assert!(expected.iter().any(|(_, outcome, _)| outcome.is_ok()));
        for (i, (expected, found)) in expected.iter().zip(&found).enumerate() {
            assert_eq!(expected, found, "call {i} of seed {seed}");
        }
        assert_eq!(expected.len(), found.len());
    }
    assert_eq!(tasks::parks(), 0);
}

/// Quick without optimization, too.
fn checksum(bytes: &[u8]) -> u32 {
    let words = bytes.chunks(8).map(|chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        u64::from_le_bytes(word)
    });
    words.fold(0_u64, |sum, word| sum.rotate_left(5) ^ word) as u32
}

/// Random calls on both ends of a connection, which do not wait: by a flag, or by the mode.
fn conversation(calls: Calls, seed: u64) -> Log {
    let mut random = Random(seed);
    let kind = [libc::SOCK_STREAM, libc::SOCK_DGRAM, libc::SOCK_SEQPACKET, 0, -1][seed as usize % 5];
    let ends = match kind {
        0 => {
            let (a, b) = tcp();
            [a.into_raw_fd(), b.into_raw_fd()]
        }
        -1 => {
            let (a, b) = pipe();
            [a.into_raw_fd(), b.into_raw_fd()]
        }
        kind => {
            let (a, b) = sockets(kind);
            [a.into_raw_fd(), b.into_raw_fd()]
        }
    };
    // TCP tells the other end with a delay, which is waited for; a full buffer has delays that are too long for that.
    let settle = || {
        if kind == 0 {
            std::thread::sleep(MS)
        }
    };
    let sizes = if kind == 0 { 5 } else { 7 };
    let by_mode = kind == -1 || random.below(2) == 0;
    if by_mode {
        ends.iter().for_each(set_nonblocking);
    }
    let flag = if by_mode { 0 } else { libc::MSG_DONTWAIT };
    static DATA: OnceLock<Vec<u8>> = OnceLock::new();
    let data = DATA.get_or_init(|| pattern(100_000));
    let mut log = Log::new();
    for _ in 0..if kind == 0 { 20 } else { 60 } {
        let fd = ends[random.below(2) as usize];
        let len = [0, 1, 5, 100, 4096, 5000, 100_000][random.below(sizes) as usize];
        let mut buffer = vec![0_u8; len];
        let is_bad = random.below(12) == 0;
        let to = if is_bad { BAD } else { buffer.as_mut_ptr() }.cast();
        let from = if is_bad { BAD.cast_const() } else { data.as_ptr() }.cast();
        let (half, rest) = (len / 2, len - len / 2);
        let start = if is_bad { BAD } else { data.as_ptr().cast_mut() };
        let out = [(start, half), (start.wrapping_add(half), rest)]
            .map(|(base, len)| libc::iovec { iov_base: base.cast(), iov_len: len });
        let into = [(buffer.as_mut_ptr(), half), (buffer.as_mut_ptr().wrapping_add(half), rest)]
            .map(|(base, len)| libc::iovec { iov_base: base.cast(), iov_len: len });
        let list = |list: &[libc::iovec; 2]| {
            if is_bad && !is_refused() { BAD.cast_const().cast() } else { list.as_ptr() }
        };
        let more = [0, libc::MSG_PEEK, libc::MSG_TRUNC, libc::MSG_WAITALL][random.below(4) as usize];
        let (name, outcome) = match random.below(if by_mode { 9 } else { 5 }) {
            0 | 1 => ("recv", outcome(|| either!(calls, recv(fd, to, len, flag | more)))),
            2 | 3 => ("send", outcome(|| either!(calls, send(fd, from, len, flag | libc::MSG_NOSIGNAL)))),
            4 if random.below(6) == 0 => {
                // SAFETY: takes no pointer.
                let down = unsafe { libc::shutdown(fd, random.below(3) as i32) };
                ("shutdown", Ok(down as isize))
            }
            4 => (
                "sendto",
                outcome(|| {
                    either!(calls, sendto(fd, from, len, flag | libc::MSG_NOSIGNAL, std::ptr::null(), 0))
                }),
            ),
            5 => ("read", outcome(|| either!(calls, read(fd, to, len)))),
            6 => ("write", outcome(|| either!(calls, write(fd, from, len)))),
            7 => ("readv", outcome(|| either!(calls, readv(fd, list(&into), 2)))),
            _ => ("writev", outcome(|| either!(calls, writev(fd, list(&out), 2)))),
        };
        let got = outcome.unwrap_or(0).clamp(0, len as isize) as usize;
        log.push((name, outcome, checksum(&buffer[..got])));
        settle();
    }
    for fd in ends {
        log.push(("close", outcome(|| either!(calls, close(fd)) as isize), 0));
    }
    log
}

#[test]
fn conversations_of_streams_datagrams_and_pipes() {
    both(conversation, 0..100);
}

/// Calls that must fail, or that have nothing to do.
fn oddities(calls: Calls, _: u64) -> Log {
    let mut log = Log::new();
    let (reader, writer) = pipe();
    let (a, b) = sockets(libc::SOCK_STREAM);
    let (connected, peer) = tcp();
    let null = std::fs::File::open("/dev/null").unwrap();
    let mut buffer = [0_u8; 8];
    let to = buffer.as_mut_ptr().cast();
    let from = buffer.as_ptr().cast();
    let fds = [-1, 100_000, reader.as_raw_fd(), writer.as_raw_fd(), null.as_raw_fd()];
    for (i, fd) in fds.into_iter().enumerate() {
        let mut note = |name, outcome| log.push((name, outcome, i as u32));
        note("recv", outcome(|| either!(calls, recv(fd, to, 8, 0))));
        note("send", outcome(|| either!(calls, send(fd, from, 8, 0))));
        note("recvmsg", outcome(|| either!(calls, recvmsg(fd, BAD.cast(), 0))));
        note("sendmsg", outcome(|| either!(calls, sendmsg(fd, BAD.cast(), 0))));
        note("connect", outcome(|| either!(calls, connect(fd, BAD.cast(), 16)) as isize));
        note("accept", outcome(|| either!(calls, accept(fd, BAD.cast(), BAD.cast())) as isize));
        note("ioctl", outcome(|| either!(calls, ioctl(fd, 0x5555, 0)) as isize));
        note("getfl", outcome(|| either!(calls, fcntl(fd, libc::F_GETFL, 0)) as isize).map(|_| 0));
        if i != 2 {
            note("read", outcome(|| either!(calls, read(fd, to, 8))));
            note("readv", outcome(|| either!(calls, readv(fd, bad_list(), 1))));
        }
        if i != 3 {
            note("write", outcome(|| either!(calls, write(fd, from, 8))));
            note("writev", outcome(|| either!(calls, writev(fd, bad_list(), 1))));
        }
        note("readv none", outcome(|| either!(calls, readv(fd, std::ptr::null(), 0))));
        note("readv less", outcome(|| either!(calls, readv(fd, std::ptr::null(), -1))));
        note("writev many", outcome(|| either!(calls, writev(fd, std::ptr::null(), 5000))));
        note("read nothing", outcome(|| either!(calls, read(fd, to, 0))));
        note("write nothing", outcome(|| either!(calls, write(fd, from, 0))));
        note("sendfile", outcome(|| either!(calls, sendfile(fd, fd, std::ptr::null_mut(), 8))));
        note(
            "splice",
            outcome(|| either!(calls, splice(fd, std::ptr::null_mut(), fd, std::ptr::null_mut(), 8, 0))),
        );
    }
    let (a, mut note) = (a.as_raw_fd(), |name, outcome| log.push((name, outcome, 0)));
    note("connect", outcome(|| either!(calls, connect(a, BAD.cast(), 16)) as isize));
    note("connect none", outcome(|| either!(calls, connect(a, BAD.cast(), 0)) as isize));
    note("recvmsg", outcome(|| either!(calls, recvmsg(a, BAD.cast(), 0))));
    note("sendmsg", outcome(|| either!(calls, sendmsg(a, BAD.cast(), 0))));
    note("sendmmsg", outcome(|| either!(calls, sendmmsg(a, BAD.cast(), 2, 0)) as isize));
    if !is_refused() {
        note("readv", outcome(|| either!(calls, readv(a, bad_list(), 1))));
        note("writev", outcome(|| either!(calls, writev(a, bad_list(), 1))));
    }
    note("send to", outcome(|| either!(calls, sendto(a, from, 8, 0, BAD.cast(), 16))));
    note("read nothing", outcome(|| either!(calls, read(a, to, 0))));
    drop(b);
    note("recv at the end", outcome(|| either!(calls, recv(a, to, 8, libc::MSG_WAITALL))));
    note("send at the end", outcome(|| either!(calls, send(a, from, 8, 0))));
    note("write at the end", outcome(|| either!(calls, write(a, from, 8))));
    // With data unread, a close resets the connection.
    let c = connected.as_raw_fd();
    note("send", outcome(|| either!(calls, send(c, from, 8, 0))));
    std::thread::sleep(5 * MS);
    drop(peer);
    std::thread::sleep(5 * MS);
    note("recv reset", outcome(|| either!(calls, recv(c, to, 8, 0))));
    note("recv after", outcome(|| either!(calls, recv(c, to, 8, 0))));
    note("send after", outcome(|| either!(calls, send(c, from, 8, 0))));
    drop(reader);
    let w = writer.as_raw_fd();
    note("write to nobody", outcome(|| either!(calls, write(w, from, 8))));
    log
}

#[test]
fn errors() {
    both(oddities, 0..1);
}
