use super::fixtures::Dice;
use super::fixtures::{Zoo, closed_number, move_up, pipe, write};
use crate::hooks::select::{pselect, select};
use crate::hooks::tasks::{killed, on_hub};
use crate::{errno, real};
use libc::{fd_set, timeval};
use std::ffi::c_int;
use std::os::fd::{AsRawFd, RawFd};
use std::ptr;
use std::time::Duration;

/// Sets that are large enough for descriptors beyond `FD_SETSIZE`.
type Set = [u64; 64];

const NONE: Set = [0; 64];

fn insert(set: &mut Set, fd: RawFd) {
    set[fd as usize / 64] |= 1 << (fd as usize % 64);
}

fn start(set: &mut Option<Set>) -> *mut fd_set {
    set.as_mut().map_or(ptr::null_mut(), |set| set.as_mut_ptr().cast())
}

#[test]
fn answers_are_those_of_libc() {
    on_hub(|| {
        let zoo = Zoo::new();
        // The kernel's table, beyond which descriptors are not looked at, does not grow in the middle of this.
        let _high = move_up(pipe().0, 1500);
        let mut dice = Dice::new(11);
        let mut unready = 0;
        for round in 0..3000 {
            let mut asked = [0; 3].map(|_| (dice.below(4) != 0).then_some(NONE));
            for set in asked.iter_mut().flatten() {
                for _ in 0..dice.below(3) {
                    let bad = dice.below(40) == 0;
                    insert(set, if bad { closed_number() } else { zoo.fds[dice.below(zoo.fds.len())] });
                }
            }
            let count = [1000, 1000, 1024, 0, -1, 10][dice.below(6)];
            let us = [0, 1000, 1000, 2000][dice.below(4)];
            let (mut native, mut hooked) = (asked, asked);
            let [read, write, except] = native.each_mut().map(start);
            let mut timeout = timeval { tv_sec: 0, tv_usec: us };
            // SAFETY: sets that are large enough.
            let expected = unsafe { real::select(count, read, write, except, &raw mut timeout) };
            let expected = (expected, if expected < 0 { errno::get() } else { 0 }, native);
            let [read, write, except] = hooked.each_mut().map(start);
            let mut timeout = timeval { tv_sec: 0, tv_usec: us };
            // SAFETY: as above, and a valid time.
            let got = unsafe {
                if dice.below(2) == 0 {
                    select(count, read, write, except, &raw mut timeout)
                } else {
                    let time = libc::timespec { tv_sec: 0, tv_nsec: us * 1000 };
                    timeout.tv_usec = 0;
                    pselect(count, read, write, except, &time, ptr::null())
                }
            };
            let got = (got, if got < 0 { errno::get() } else { 0 }, hooked);
            assert_eq!(got, expected, "round {round}: {count} {asked:?}");
            if got.0 == 0 {
                assert_eq!((timeout.tv_sec, timeout.tv_usec), (0, 0), "round {round}");
                unready += usize::from(us > 0);
            }
        }
        assert!(unready > 200, "{unready} calls have waited");
    });
}

#[test]
fn descriptors_beyond_the_size_of_a_set() {
    on_hub(|| {
        let (reader, writer) = pipe();
        let reader = move_up(reader, 1500);
        let fd = reader.as_raw_fd();
        let waiter = greenloom::spawn(move || {
            let mut set = Some(NONE);
            insert(set.as_mut().unwrap(), fd);
            let (none, at) = (ptr::null_mut(), start(&mut set));
            // More than there may ever be: no more is looked at than the kernel's table has room for.
            // SAFETY: a set that is large enough for it.
            let found = unsafe { select(c_int::MAX, at, none, none, none.cast()) };
            (found, set.unwrap()[fd as usize / 64] == 1 << (fd as usize % 64))
        });
        greenloom::sleep(Duration::from_millis(20));
        write(&writer, b"x");
        assert_eq!(waiter.join().unwrap(), (1, true));
    });
}

#[test]
fn a_timeout_of_more_than_a_second_of_microseconds_counts() {
    on_hub(|| {
        let (none, mut timeout) = (ptr::null_mut(), timeval { tv_sec: 0, tv_usec: 1_100_000 });
        let ticks = greenloom::spawn(|| {
            for _ in 0..10 {
                greenloom::sleep(Duration::from_millis(50));
            }
        });
        // SAFETY: without sets.
        assert_eq!(unsafe { select(0, none, none, none, &raw mut timeout) }, 0);
        assert!(ticks.is_finished(), "others ran");
    });
}

#[test]
fn errors_leave_the_sets_and_tell_the_time_left() {
    on_hub(|| {
        let (reader, _writer) = pipe();
        let fd = reader.as_raw_fd();
        let wait = move || {
            let mut set = Some(NONE);
            insert(set.as_mut().unwrap(), fd);
            let asked = set;
            let (none, mut timeout) = (ptr::null_mut(), timeval { tv_sec: 60, tv_usec: 0 });
            // SAFETY: a set that is large enough.
            let found = unsafe { select(fd + 1, start(&mut set), none, none, &raw mut timeout) };
            (found, set == asked, (30..60).contains(&timeout.tv_sec))
        };
        assert_eq!(killed(wait), ((-1, true, true), libc::ECANCELED));
        let waiter = greenloom::spawn(move || (wait(), errno::get()));
        greenloom::sleep(Duration::from_millis(20));
        crate::runtime::get().unwrap().closing(fd);
        drop(reader);
        assert_eq!(waiter.join().unwrap(), ((-1, true, true), libc::EBADF));
    });
}

#[test]
fn bad_times_are_errors() {
    on_hub(|| {
        let none = ptr::null_mut();
        let mut negative = timeval { tv_sec: -1, tv_usec: 0 };
        let bad = libc::timespec { tv_sec: 0, tv_nsec: -1 };
        // SAFETY: without sets.
        unsafe {
            assert_eq!(select(0, none, none, none, &raw mut negative), -1);
            assert_eq!(errno::get(), libc::EINVAL);
            assert_eq!(pselect(0, none, none, none, &bad, ptr::null()), -1);
            assert_eq!(errno::get(), libc::EINVAL);
        }
    });
}
