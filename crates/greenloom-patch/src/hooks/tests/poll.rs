use super::fixtures::Dice;
use super::fixtures::{Zoo, closed_number, pipe, write};
use crate::hooks::epoll::epoll_wait;
use crate::hooks::poll::{poll, poll_chk, ppoll};
use crate::hooks::tasks::{killed, on_hub, parks};
use crate::{errno, real};
use libc::pollfd;
use std::ffi::c_int;
use std::os::fd::AsRawFd;
use std::ptr;
use std::time::{Duration, Instant};

fn entry(fd: c_int, events: i16) -> pollfd {
    pollfd { fd, events, revents: 0x55 }
}

/// What a call has left behind.
fn outcome(result: c_int, fds: &[pollfd]) -> (c_int, c_int, Vec<i16>) {
    let code = if result < 0 { errno::get() } else { 0 };
    (result, code, fds.iter().map(|one| one.revents).collect())
}

#[test]
fn answers_are_those_of_libc() {
    on_hub(|| {
        let zoo = Zoo::new();
        let mut dice = Dice::new(7);
        let events = [
            libc::POLLIN,
            libc::POLLOUT,
            libc::POLLPRI,
            libc::POLLRDHUP,
            libc::POLLRDNORM,
            libc::POLLWRNORM,
            libc::POLLRDBAND,
            libc::POLLHUP,
        ];
        let mut unready = 0;
        for round in 0..3000 {
            let fds: Vec<pollfd> = (0..dice.below(4))
                .map(|_| {
                    let fd = match dice.below(20) {
                        0 => -1 - dice.below(5) as c_int,
                        1 => closed_number(),
                        _ => zoo.fds[dice.below(zoo.fds.len())],
                    };
                    entry(fd, (0..dice.below(3)).fold(0, |all, _| all | events[dice.below(events.len())]))
                })
                .collect();
            let timeout = [0, 1, 2][dice.below(3)];
            let (mut native, mut hooked) = (fds.clone(), fds.clone());
            let count = fds.len() as libc::nfds_t;
            // SAFETY: as many entries.
            let (expected, got) = unsafe {
                let expected = real::poll(native.as_mut_ptr(), count, timeout);
                let expected = outcome(expected, &native);
                let result = if dice.below(2) == 0 {
                    poll(hooked.as_mut_ptr(), count, timeout)
                } else {
                    let timeout = libc::timespec { tv_sec: 0, tv_nsec: i64::from(timeout) * 1_000_000 };
                    ppoll(hooked.as_mut_ptr(), count, &timeout, ptr::null())
                };
                (expected, outcome(result, &hooked))
            };
            assert_eq!(got, expected, "round {round}: {fds:?}");
            unready += usize::from(expected.0 == 0 && timeout > 0);
        }
        assert!(unready > 200, "{unready} calls have waited");
    });
}

#[test]
fn ready_ones_do_not_park() {
    on_hub(|| {
        let (reader, writer) = pipe();
        write(&writer, b"x");
        let mut fds = [entry(reader.as_raw_fd(), libc::POLLIN), entry(writer.as_raw_fd(), libc::POLLOUT)];
        let other = greenloom::spawn(|| panic!("another task has run"));
        // SAFETY: two entries.
        unsafe {
            assert_eq!(poll(fds.as_mut_ptr(), 2, -1), 2);
            assert_eq!(poll_chk(fds.as_mut_ptr(), 2, -1, size_of_val(&fds)), 2);
        }
        other.kill();
        assert!(other.join().is_err());
    });
}

#[test]
fn threads_without_tasks_pass_through() {
    let (reader, _writer) = pipe();
    let mut fd = entry(reader.as_raw_fd(), libc::POLLIN);
    let before = Instant::now();
    // SAFETY: one entry.
    assert_eq!(unsafe { poll(&raw mut fd, 1, 30) }, 0);
    assert!(before.elapsed() >= Duration::from_millis(30));
}

#[test]
fn errors_of_arguments_are_those_of_libc() {
    on_hub(|| {
        let bad = libc::timespec { tv_sec: 0, tv_nsec: 2_000_000_000 };
        // SAFETY: no entry is touched; an invalid address is an error.
        unsafe {
            assert_eq!(ppoll(ptr::null_mut(), 0, &bad, ptr::null()), -1);
            assert_eq!(errno::get(), libc::EINVAL);
            assert_eq!(poll(ptr::null_mut(), 1, 1000), -1);
            assert_eq!(errno::get(), libc::EFAULT);
            assert_eq!(poll(ptr::null_mut(), libc::nfds_t::MAX, 1000), -1);
            assert_eq!(errno::get(), libc::EINVAL);
        }
    });
}

#[test]
fn both_directions_of_one_descriptor_and_one_given_twice() {
    on_hub(|| {
        let (one, other) = std::os::unix::net::UnixStream::pair().unwrap();
        let fd = one.as_raw_fd();
        // Full, so that it is not writable.
        one.set_nonblocking(true).unwrap();
        while std::io::Write::write(&mut &one, &[0; 4096]).is_ok() {}
        for _ in 0..2 {
            let waiter = greenloom::spawn(move || {
                let mut fds = [entry(fd, libc::POLLOUT), entry(-1, libc::POLLIN), entry(fd, libc::POLLIN)];
                // SAFETY: three entries.
                let found = unsafe { poll(fds.as_mut_ptr(), 3, 20_000) };
                (found, fds.map(|fd| fd.revents))
            });
            greenloom::sleep(Duration::from_millis(20));
            std::io::Write::write_all(&mut &other, b"x").unwrap();
            assert_eq!(waiter.join().unwrap(), (1, [0, 0, libc::POLLIN]));
            std::io::Read::read_exact(&mut &one, &mut [0]).unwrap();
        }
    });
}

#[test]
fn one_that_is_closed_meanwhile_is_invalid() {
    on_hub(|| {
        let (reader, _writer) = pipe();
        let fd = reader.as_raw_fd();
        let waiter = greenloom::spawn(move || {
            let mut one = entry(fd, libc::POLLIN);
            // SAFETY: one entry.
            (unsafe { poll(&raw mut one, 1, 20_000) }, one.revents)
        });
        greenloom::sleep(Duration::from_millis(20));
        // What the hook of `close` does.
        crate::runtime::get().unwrap().closing(fd);
        drop(reader);
        assert_eq!(waiter.join().unwrap(), (1, libc::POLLNVAL));
    });
}

#[test]
fn kills_end_the_wait() {
    on_hub(|| {
        let ends = pipe();
        let (reader, writer) = (ends.0.as_raw_fd(), ends.1.as_raw_fd());
        // SAFETY: valid entries, at least as many as said.
        unsafe {
            let wait = move |count| {
                let mut fds = [entry(reader, libc::POLLIN), entry(writer, libc::POLLRDHUP)];
                poll(fds.as_mut_ptr(), count, -1)
            };
            for count in 0..3 {
                assert_eq!(killed(move || wait(count)), (-1, libc::ECANCELED));
            }
            let instance = libc::epoll_create1(0);
            let mut event = libc::epoll_event { events: 0, u64: 0 };
            let wait = move || epoll_wait(instance, &raw mut event, 1, 60_000);
            assert_eq!(killed(wait), (-1, libc::ECANCELED));
            libc::close(instance);
        }
    });
}

#[test]
fn waits_leave_no_descriptor_behind() {
    on_hub(|| {
        let (reader, writer) = pipe();
        let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        let mut highest = 0;
        for round in 0..200 {
            let mut fds = [entry(reader.as_raw_fd(), libc::POLLIN), entry(writer.as_raw_fd(), libc::POLLPRI)];
            // SAFETY: two entries.
            assert_eq!(unsafe { poll(fds.as_mut_ptr(), 2, 1) }, 0);
            if round == 10 {
                highest = open();
            }
        }
        // Other tests run in other threads.
        assert!(open() < highest + 150);
    });
}

#[test]
fn a_state_that_only_epoll_reports_does_not_spin() {
    on_hub(|| {
        // A hang-up, and only what is exceptional is asked for: `select` does not count it.
        let (one, other) = std::os::unix::net::UnixStream::pair().unwrap();
        drop(other);
        let before = parks();
        // SAFETY: a set with one descriptor.
        let found = unsafe {
            let mut set: libc::fd_set = std::mem::zeroed();
            libc::FD_SET(one.as_raw_fd(), &raw mut set);
            let (none, mut timeout) = (ptr::null_mut(), libc::timeval { tv_sec: 0, tv_usec: 100_000 });
            let count = one.as_raw_fd() + 1;
            crate::hooks::select::select(count, none, none, &raw mut set, &raw mut timeout)
        };
        assert_eq!(found, 0);
        let parks = parks() - before;
        assert!(parks < 5000, "{parks} parks");
    });
}
