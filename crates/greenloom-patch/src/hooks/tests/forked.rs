//! A process that forks while its tasks wait.

use super::fixtures::{pipe, write};
use crate::hooks::elsewhere::{Lost, elsewhere};
use crate::hooks::poll::poll;
use crate::hooks::tasks::{jobs_take, on_hub};
use crate::runtime;
use std::ffi::c_int;
use std::os::fd::AsRawFd;
use std::time::Duration;

/// Forks; the child ends with what `f` says.
fn in_child(f: impl FnOnce() -> bool) -> bool {
    // SAFETY: the child runs what follows, and ends at once.
    unsafe {
        let pid = libc::fork();
        assert!(pid >= 0);
        if pid == 0 {
            libc::alarm(20);
            libc::_exit(c_int::from(!f()));
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(pid, &raw mut status, 0), pid);
        status == 0
    }
}

#[test]
fn waits_for_several_go_on_in_both() {
    on_hub(|| {
        let ((one, writer), (other, _others_writer)) = (pipe(), pipe());
        let (first, second) = (one.as_raw_fd(), other.as_raw_fd());
        let waiter = greenloom::spawn(move || {
            let entry = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
            let mut fds = [entry(first), entry(second)];
            // SAFETY: two entries.
            unsafe { poll(fds.as_mut_ptr(), 2, -1) == 1 && fds[0].revents == libc::POLLIN }
        });
        greenloom::sleep(Duration::from_millis(20));
        assert!(in_child(|| {
            let slept = !waiter.wait_timeout(Duration::from_millis(50));
            write(&writer, b"x");
            slept && waiter.wait_timeout(Duration::from_secs(10))
        }));
        assert!(waiter.join().unwrap());
    });
}

#[test]
fn a_job_of_the_parent_is_lost_to_the_child() {
    on_hub(|| {
        jobs_take(Some(Duration::from_millis(500)));
        let runtime = runtime::parkable().unwrap();
        let caller = greenloom::spawn(move || {
            elsewhere(runtime, "test", || 7).map_err(|lost| matches!(lost, Lost::Forked))
        });
        greenloom::sleep(Duration::from_millis(20));
        assert!(in_child(|| match caller.join_timeout(Duration::from_secs(10)) {
            Ok(ended) => ended.ok() == Some(Err(true)),
            Err(_) => false,
        }));
    });
}
