use crate::hooks::tasks::on_hub;
use crate::hooks::threads::pthread_join;
use libc::pthread_t;
use std::os::unix::thread::JoinHandleExt;
use std::ptr;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// What pthreads call it, which is a number only where std says so.
#[allow(clippy::unnecessary_cast, reason = "it is a pointer in musl")]
pub(super) fn into_pthread<T>(thread: JoinHandle<T>) -> pthread_t {
    thread.into_pthread_t() as pthread_t
}

#[test]
fn a_kill_does_not_end_a_join() {
    on_hub(|| {
        let thread = into_pthread(thread::spawn(|| thread::sleep(Duration::from_millis(200))));
        // SAFETY: a thread that nobody else joins.
        let joiner = greenloom::spawn(move || unsafe { pthread_join(thread, ptr::null_mut()) });
        greenloom::sleep(Duration::from_millis(20));
        joiner.kill();
        greenloom::sleep(Duration::from_millis(20));
        assert!(!joiner.is_finished());
        assert_eq!(joiner.join().unwrap(), 0);
    });
}

/// musl ends the process.
#[cfg(target_env = "gnu")]
#[test]
fn joins_that_can_only_be_wrong_are_errors() {
    on_hub(|| {
        // SAFETY: its own thread, and one that is detached and runs.
        unsafe {
            assert_eq!(pthread_join(libc::pthread_self(), ptr::null_mut()), libc::EDEADLK);
            let (go_on, wait) = std::sync::mpsc::channel::<()>();
            let detached = into_pthread(thread::spawn(move || wait.recv()));
            libc::pthread_detach(detached);
            assert_eq!(pthread_join(detached, ptr::null_mut()), libc::EINVAL);
            drop(go_on);
        }
    });
}
