//! Where `preadv2` and `pwritev2` do not work: on older kernels, in sandboxes. All of the other tests, with a filter that
//! refuses them.

use crate::tasks;
use std::process::{Command, Stdio};

const REFUSED: &str = "GREENLOOM_TEST_REFUSED";

/// A filter of system calls that fails those two with this error; for this process and for good.
fn refuse(error: u32) {
    let allow = libc::SECCOMP_RET_ALLOW;
    let fail = libc::SECCOMP_RET_ERRNO | error;
    let statement = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let jump = |k: libc::c_long, jt: u8, jf: u8| libc::sock_filter {
        code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
        jt,
        jf,
        k: k as u32,
    };
    let mut program = [
        // The number of the call is the first field.
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0),
        jump(libc::SYS_preadv2, 1, 0),
        jump(libc::SYS_pwritev2, 0, 1),
        statement(libc::BPF_RET | libc::BPF_K, fail),
        statement(libc::BPF_RET | libc::BPF_K, allow),
    ];
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the filter is valid for the call.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &filter), 0);
    }
}

/// Whether the calls are refused.
pub(crate) fn is_refused() -> bool {
    std::env::var_os(REFUSED).is_some()
}

/// From now on the hooks park on this thread; and it has the filter that the environment asks for.
pub(crate) fn begin() {
    enter();
    tasks::begin();
}

/// Installs the filter that the environment asks for; on each thread before its first test.
fn enter() {
    use std::cell::Cell;
    thread_local!(static IS_IN: Cell<bool> = const { Cell::new(false) });
    if let Ok(error) = std::env::var(REFUSED)
        && !IS_IN.replace(true)
    {
        refuse(error.parse().unwrap());
        let mut byte = 0_u8;
        let list = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
        // By its number, as not every libc has it.
        // SAFETY: the list is valid for the call.
        let read =
            unsafe { libc::syscall(libc::SYS_preadv2, 0, &raw const list, 1, -1_i64, 0, libc::RWF_NOWAIT) };
        assert_eq!(read, -1);
    }
}

#[test]
fn everything_works_without_calls_that_never_wait() {
    if is_refused() {
        return;
    }
    let tests =
        ["pipes::", "files::", "sockets::", "terminals::", "messages::", "copying::", "same_as_libc::"];
    let children = [libc::ENOSYS, libc::EPERM, libc::EOPNOTSUPP].map(|error| {
        Command::new(std::env::current_exe().unwrap())
            .env(REFUSED, error.to_string())
            .args(tests)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    });
    for child in children {
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
        let count = text.split("test result: ok. ").nth(1).unwrap().split(' ').next().unwrap();
        assert!(count.parse::<usize>().unwrap() > 40, "{text}");
    }
}
