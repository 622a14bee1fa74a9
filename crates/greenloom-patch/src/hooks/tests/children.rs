use crate::errno;
use crate::hooks::children::{waitid, waitpid};
use crate::hooks::tasks::{killed, on_hub};
use libc::pid_t;
use std::ffi::c_int;
use std::process::Command;
use std::ptr;
use std::time::Duration;

/// A child that ends by itself after so many seconds.
fn child(seconds: &str) -> pid_t {
    Command::new("sleep").arg(seconds).spawn().unwrap().id() as pid_t
}

/// One in a group of its own.
fn child_with_group(seconds: &str) -> pid_t {
    use std::os::unix::process::CommandExt;
    Command::new("sleep").arg(seconds).process_group(0).spawn().unwrap().id() as pid_t
}

fn end(pid: pid_t) {
    // SAFETY: a child of this test's.
    unsafe {
        libc::kill(pid, libc::SIGKILL);
        libc::waitpid(pid, ptr::null_mut(), 0);
    }
}

#[test]
fn any_child_of_a_group() {
    on_hub(|| {
        let pid = child_with_group("0.2");
        let ticks = greenloom::spawn(|| {
            greenloom::sleep(Duration::from_millis(50));
        });
        let mut status: c_int = -1;
        // SAFETY: a valid place.
        assert_eq!(unsafe { waitpid(-pid, &raw mut status, 0) }, pid);
        assert_eq!(status, 0);
        assert!(ticks.is_finished());
        // SAFETY: a valid place.
        assert_eq!(unsafe { waitpid(-pid, &raw mut status, 0) }, -1);
        assert_eq!(errno::get(), libc::ECHILD);
    });
}

#[test]
fn one_that_stops_and_goes_on() {
    on_hub(|| {
        let pid = child("60");
        let mut status: c_int = 0;
        // SAFETY: a valid place; a child of this test's.
        unsafe {
            for (signal, option) in [(libc::SIGSTOP, libc::WUNTRACED), (libc::SIGCONT, libc::WCONTINUED)] {
                let waiter = greenloom::spawn(move || {
                    let mut status = 0;
                    (waitpid(pid, &raw mut status, option), status)
                });
                greenloom::sleep(Duration::from_millis(20));
                assert!(!waiter.is_finished());
                libc::kill(pid, signal);
                let (waited, status) = waiter.join().unwrap();
                assert_eq!(waited, pid);
                assert!(libc::WIFSTOPPED(status) || libc::WIFCONTINUED(status));
            }
            libc::kill(pid, libc::SIGKILL);
            assert_eq!(waitpid(pid, &raw mut status, 0), pid);
            assert_eq!((libc::WIFSIGNALED(status), libc::WTERMSIG(status)), (true, libc::SIGKILL));
        }
    });
}

#[test]
fn no_hang_and_no_child() {
    on_hub(|| {
        let pid = child("60");
        // SAFETY: no place is needed.
        unsafe {
            assert_eq!(waitpid(pid, ptr::null_mut(), libc::WNOHANG), 0);
            assert_eq!(waitpid(pid, ptr::null_mut(), 0x4000), -1);
            assert_eq!(errno::get(), libc::EINVAL);
            assert_eq!(waitpid(1, ptr::null_mut(), 0), -1);
            assert_eq!(errno::get(), libc::ECHILD);
        }
        end(pid);
    });
}

#[test]
fn a_kill_leaves_the_child_to_be_waited_for() {
    on_hub(|| {
        let pid = child_with_group("60");
        for asked in [pid, -pid] {
            // SAFETY: no place is needed.
            assert_eq!(killed(move || unsafe { waitpid(asked, ptr::null_mut(), 0) }), (-1, libc::ECANCELED));
        }
        // SAFETY: a child of this test's.
        unsafe {
            libc::kill(pid, libc::SIGKILL);
            assert_eq!(waitpid(pid, ptr::null_mut(), 0), pid);
        }
    });
}

#[test]
fn one_that_another_thread_has_waited_for() {
    on_hub(|| {
        let pid = child("0.2");
        // SAFETY: no place is needed.
        let other = std::thread::spawn(move || unsafe { libc::waitpid(pid, ptr::null_mut(), 0) });
        // SAFETY: as above.
        let mine = unsafe { waitpid(pid, ptr::null_mut(), 0) };
        let code = errno::get();
        let theirs = other.join().unwrap();
        assert!(mine == pid || theirs == pid);
        assert!(mine == pid || (mine, code) == (-1, libc::ECHILD));
    });
}

#[test]
fn by_waitid_without_taking_the_status() {
    on_hub(|| {
        let pid = child("0.2");
        // SAFETY: valid places, or none.
        unsafe {
            let fd = libc::syscall(libc::SYS_pidfd_open, libc::c_long::from(pid), 0) as c_int;
            let options = libc::WEXITED | libc::WNOWAIT;
            let mut info: libc::siginfo_t = std::mem::zeroed();
            assert_eq!(waitid(libc::P_PIDFD, fd as libc::id_t, &raw mut info, options), 0);
            assert_eq!(info.si_pid(), pid);
            assert_eq!(waitid(libc::P_PID, pid as libc::id_t, ptr::null_mut(), libc::WEXITED), 0);
            assert_eq!(waitid(libc::P_PID, pid as libc::id_t, ptr::null_mut(), libc::WEXITED), -1);
            assert_eq!(errno::get(), libc::ECHILD);
            libc::close(fd);
        }
    });
}

#[test]
fn a_nonblocking_descriptor_of_a_child_does_not_wait() {
    on_hub(|| {
        let pid = child("60");
        // SAFETY: no place is needed.
        unsafe {
            let flag = libc::c_long::from(libc::O_NONBLOCK);
            let fd = libc::syscall(libc::SYS_pidfd_open, libc::c_long::from(pid), flag) as c_int;
            assert!(fd >= 0);
            assert_eq!(waitid(libc::P_PIDFD, fd as libc::id_t, ptr::null_mut(), libc::WEXITED), -1);
            assert_eq!(errno::get(), libc::EAGAIN);
            libc::close(fd);
        }
        end(pid);
    });
}
