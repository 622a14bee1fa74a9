use crate::hooks::sleep::{clock_nanosleep, nanosleep, sleep, usleep};
use crate::hooks::tasks::{killed, on_hub};
use crate::{errno, real};
use libc::timespec;
use std::ptr;
use std::time::{Duration, Instant};

fn now(clock: libc::clockid_t) -> timespec {
    let mut time = timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a valid place.
    assert_eq!(unsafe { libc::clock_gettime(clock, &raw mut time) }, 0);
    time
}

#[test]
fn absolute_times_of_each_clock() {
    on_hub(|| {
        for clock in [libc::CLOCK_REALTIME, libc::CLOCK_MONOTONIC, libc::CLOCK_BOOTTIME] {
            for ahead in [-1, 1] {
                let mut until = now(clock);
                until.tv_sec += ahead;
                let others = greenloom::spawn(|| greenloom::sleep(Duration::from_millis(100)));
                // SAFETY: a valid time.
                let slept = unsafe { clock_nanosleep(clock, libc::TIMER_ABSTIME, &until, ptr::null_mut()) };
                assert_eq!(slept, 0);
                let after = now(clock);
                assert!((after.tv_sec, after.tv_nsec) >= (until.tv_sec, until.tv_nsec));
                assert_eq!(others.is_finished(), ahead > 0);
                others.join().unwrap();
            }
        }
    });
}

#[test]
fn bad_times_and_clocks_are_errors() {
    on_hub(|| {
        let times = [(0, 1_000_000_000), (0, -1), (-1, 0)];
        for (tv_sec, tv_nsec) in times {
            let time = timespec { tv_sec, tv_nsec };
            // SAFETY: valid places.
            unsafe {
                assert_eq!(nanosleep(&time, ptr::null_mut()), -1);
                assert_eq!(errno::get(), libc::EINVAL);
                for clock in [libc::CLOCK_MONOTONIC, 99] {
                    let expected = real::clock_nanosleep(clock, 0, &time, ptr::null_mut());
                    assert_eq!(clock_nanosleep(clock, 0, &time, ptr::null_mut()), expected);
                    assert_ne!(expected, 0);
                }
            }
        }
        // SAFETY: an invalid address is an error.
        unsafe {
            assert_eq!(nanosleep(ptr::null(), ptr::null_mut()), -1);
            assert_eq!(errno::get(), libc::EFAULT);
        }
    });
}

#[test]
fn sleeping_for_no_time_lets_others_run() {
    on_hub(|| {
        let other = greenloom::spawn(|| ());
        // SAFETY: a number.
        unsafe { usleep(0) };
        assert!(other.is_finished());
    });
}

#[test]
fn a_kill_ends_a_sleep_without_an_error() {
    on_hub(|| {
        let time = timespec { tv_sec: 600, tv_nsec: 0 };
        // SAFETY: a valid time.
        unsafe {
            assert_eq!(killed(move || nanosleep(&time, ptr::null_mut())).0, 0);
            assert_eq!(
                killed(move || clock_nanosleep(libc::CLOCK_MONOTONIC, 0, &time, ptr::null_mut())).0,
                0
            );
            assert_eq!(killed(move || sleep(600)).0, 0);
            let mut until = now(libc::CLOCK_REALTIME);
            until.tv_sec += 600;
            let realtime = libc::CLOCK_REALTIME;
            let wait = move || clock_nanosleep(realtime, libc::TIMER_ABSTIME, &until, ptr::null_mut());
            assert_eq!(killed(wait).0, 0);
        }
    });
}

#[test]
fn sleeps_after_an_interrupt_neither_last_nor_spin() {
    on_hub(|| {
        let (sleeps, took) = killed(|| {
            // SAFETY: numbers.
            unsafe { sleep(600) };
            let before = Instant::now();
            for _ in 0..20 {
                // SAFETY: a number.
                unsafe { sleep(600) };
            }
            (20, before.elapsed())
        })
        .0;
        assert!(took >= Duration::from_millis(sleeps) && took < Duration::from_secs(10), "{took:?}");
    });
}
