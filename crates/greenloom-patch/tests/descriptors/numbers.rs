//! `close`, `dup*`, `fcntl`, `ioctl`.

use crate::plain::*;
use crate::{hooked, sandbox};
use greenloom::spawn;
use std::os::fd::AsRawFd;
use std::process::Command;

#[test]
fn errors_are_libcs() {
    sandbox::begin();
    assert_eq!(outcome(|| hooked::close(-1) as isize), Err(libc::EBADF));
    assert_eq!(outcome(|| hooked::dup(-1) as isize), Err(libc::EBADF));
    assert_eq!(outcome(|| hooked::dup2(-1, 1000) as isize), Err(libc::EBADF));
    assert_eq!(outcome(|| hooked::dup3(1, 1, 0) as isize), Err(libc::EINVAL));
    assert_eq!(outcome(|| hooked::fcntl(-1, libc::F_GETFL, 0) as isize), Err(libc::EBADF));
    assert_eq!(outcome(|| hooked::ioctl(-1, libc::FIONBIO as _, 0) as isize), Err(libc::EBADF));
}

#[test]
fn a_descriptor_that_is_replaced_is_closed_for_its_waiters() {
    sandbox::begin();
    type Replace = fn(i32, i32) -> i32;
    let calls: [Replace; 2] = [hooked::dup2, |from, to| hooked::dup3(from, to, libc::O_CLOEXEC)];
    for replace in calls {
        let (reader, writer) = pipe();
        let (other, _other_writer) = pipe();
        let fd = reader.as_raw_fd();
        let task = waiting(move || read(&fd, &mut [0; 8]));
        assert_eq!(replace(other.as_raw_fd(), fd), fd);
        assert_eq!(task.join().unwrap(), Err(libc::EBADF));
        drop(writer);
    }
}

#[test]
fn one_that_is_not_replaced_after_all_is_not() {
    sandbox::begin();
    let (reader, writer) = pipe();
    let fd = reader.as_raw_fd();
    let task = waiting(move || read(&fd, &mut [0; 8]));
    assert_eq!(outcome(|| hooked::dup2(-1, fd) as isize), Err(libc::EBADF));
    assert_eq!(outcome(|| hooked::dup2(fd, fd) as isize), Ok(fd as isize));
    assert_eq!(outcome(|| hooked::dup3(writer.as_raw_fd(), fd, 12345) as isize), Err(libc::EINVAL));
    assert_eq!(write(&writer, b"data"), Ok(4));
    assert_eq!(task.join().unwrap(), Ok(4));
}

#[test]
fn another_thread_may_close() {
    sandbox::begin();
    let (reader, writer) = pipe();
    std::thread::spawn(move || {
        use std::os::fd::IntoRawFd;
        assert_eq!(hooked::close(reader.into_raw_fd()), 0);
        assert_eq!(hooked::close(writer.into_raw_fd()), 0);
    })
    .join()
    .unwrap();
}

#[test]
fn fcntl_passes_what_it_does_not_know() {
    sandbox::begin();
    let (reader, writer) = pipe();
    assert_eq!(hooked::fcntl(reader.as_raw_fd(), libc::F_GETPIPE_SZ, 0), 65536);
    assert_eq!(hooked::fcntl(reader.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC as _), 0);
    assert_eq!(hooked::fcntl(reader.as_raw_fd(), libc::F_GETFD, 0), libc::FD_CLOEXEC);
    assert_eq!(write(&writer, b"data"), Ok(4));
    let mut waiting = 0;
    assert_eq!(hooked::ioctl(reader.as_raw_fd(), libc::FIONREAD as _, (&raw mut waiting) as _), 0);
    assert_eq!(waiting, 4);
    let mut one = 1;
    assert_eq!(hooked::ioctl(reader.as_raw_fd(), libc::FIONBIO as _, (&raw mut one) as _), 0);
    assert_eq!(flags(&reader) & libc::O_NONBLOCK, libc::O_NONBLOCK);
}

fn whole_file(kind: i32) -> libc::flock {
    // SAFETY: zeros are a valid lock: of the whole file.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = kind as _;
    lock
}

fn lock(fd: &impl AsRawFd, command: i32, kind: i32) -> Outcome {
    let mut lock = whole_file(kind);
    outcome(|| hooked::fcntl(fd.as_raw_fd(), command, (&raw mut lock) as _) as isize)
}

#[test]
fn a_lock_that_another_task_holds_is_waited_for() {
    sandbox::begin();
    let directory = directory("locks");
    let path = directory.join("file");
    let files = [(); 2].map(|()| {
        std::fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).unwrap()
    });
    let [first, second] = files;
    assert_eq!(lock(&first, libc::F_OFD_SETLKW, libc::F_WRLCK), Ok(0));
    assert_eq!(lock(&second, libc::F_OFD_SETLK, libc::F_WRLCK), Err(libc::EAGAIN));
    let fd = second.as_raw_fd();
    let task = waiting(move || lock(&fd, libc::F_OFD_SETLKW, libc::F_WRLCK));
    task.kill();
    assert_eq!(task.join().unwrap(), Err(libc::ECANCELED));
    let task = waiting(move || lock(&fd, libc::F_OFD_SETLKW, libc::F_WRLCK));
    assert_eq!(lock(&first, libc::F_OFD_SETLKW, libc::F_UNLCK), Ok(0));
    assert_eq!(task.join().unwrap(), Ok(0));
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_lock_that_another_process_holds_is_waited_for() {
    sandbox::begin();
    let directory = directory("other-locks");
    let path = directory.join("file");
    let file = std::fs::File::create(&path).unwrap();
    let script = "import fcntl, sys, time\nf = open(sys.argv[1], 'r+')\nfcntl.lockf(f, fcntl.LOCK_EX)\n\
                  print('locked', flush=True)\nsys.stdin.read()";
    let mut other = Command::new("python3")
        .args(["-c", script])
        .arg(&path)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Read::read_exact(other.stdout.as_mut().unwrap(), &mut [0; 7]).unwrap();
    let task = waiting(move || lock(&file, libc::F_SETLKW, libc::F_WRLCK));
    drop(other.stdin.take());
    assert_eq!(task.join().unwrap(), Ok(0));
    other.wait().unwrap();
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_number_that_changes_hands_while_tasks_wait() {
    sandbox::begin();
    for _ in 0..50 {
        let (a, b) = sockets(libc::SOCK_STREAM);
        let fd = a.as_raw_fd();
        std::mem::forget(a);
        let task = spawn(move || recv(&fd, &mut [0; 8], 0));
        greenloom::sleep(MS);
        assert_eq!(hooked::close(fd), 0);
        let (c, d) = sockets(libc::SOCK_STREAM);
        assert_eq!(send(&d, b"not for you", 0), Ok(11));
        assert_eq!(task.join().unwrap(), Err(libc::EBADF));
        assert_eq!(recv(&c, &mut [0; 20], 0), Ok(11));
        drop(b);
    }
}
