//! `read`, `readv`, `write`, `writev` of pipes and of what is like them.

use crate::plain::*;
use crate::{hooked, sandbox, tasks};
use greenloom::{sleep, spawn};
use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

#[test]
fn a_read_that_must_wait_lets_others_run() {
    sandbox::begin();
    let (reader, writer) = pipe();
    let task = waiting(move || {
        let mut buffer = [0; 8];
        let read = read(&reader, &mut buffer);
        (read, buffer)
    });
    assert_eq!(write(&writer, b"data"), Ok(4));
    assert_eq!(task.join().unwrap(), (Ok(4), *b"data\0\0\0\0"));
}

#[test]
fn a_read_of_what_is_there_does_not_park() {
    sandbox::begin();
    let (reader, writer) = pipe();
    for _ in 0..3 {
        assert_eq!(write(&writer, b"data"), Ok(4));
        assert_eq!(read(&reader, &mut [0; 2]), Ok(2));
        assert_eq!(read(&reader, &mut [0; 9]), Ok(2));
    }
    assert_eq!(read(&reader, &mut []), Ok(0));
    drop(writer);
    assert_eq!(read(&reader, &mut [0; 2]), Ok(0));
    assert_eq!(tasks::parks(), 0);
}

#[test]
fn a_waiting_read_sees_the_end() {
    sandbox::begin();
    let (reader, writer) = pipe();
    let task = waiting(move || read(&reader, &mut [0; 8]));
    drop(writer);
    assert_eq!(task.join().unwrap(), Ok(0));
}

#[test]
fn a_nonblocking_descriptor_gives_eagain() {
    sandbox::begin();
    let (reader, writer) = pipe();
    set_nonblocking(&reader);
    set_nonblocking(&writer);
    assert_eq!(read(&reader, &mut [0; 8]), Err(libc::EAGAIN));
    let big = vec![1; 1 << 20];
    assert_eq!(write(&writer, &big), Ok(65536));
    assert_eq!(write(&writer, &big), Err(libc::EAGAIN));
    assert_eq!(tasks::parks(), 0);
}

#[test]
fn readv_fills_buffers_in_turn() {
    sandbox::begin();
    let (reader, writer) = pipe();
    let task = waiting(move || {
        let (mut a, mut b) = ([0; 3], [0; 5]);
        let list = [
            libc::iovec { iov_base: a.as_mut_ptr().cast(), iov_len: 3 },
            libc::iovec { iov_base: b.as_mut_ptr().cast(), iov_len: 5 },
        ];
        (outcome(|| hooked::readv(reader.as_raw_fd(), list.as_ptr(), 2)), a, b)
    });
    assert_eq!(write(&writer, b"abcdef"), Ok(6));
    assert_eq!(task.join().unwrap(), (Ok(6), *b"abc", *b"def\0\0"));
}

fn writes_all(reader: OwnedFd, writer: OwnedFd) {
    let data = pattern(500_000);
    let expected = data.clone();
    let task = waiting(move || write(&writer, &data));
    let drain = drain(reader);
    assert_eq!(task.join().unwrap(), Ok(500_000));
    assert!(drain.join().unwrap() == expected);
}

#[test]
fn a_write_goes_on_until_all_is_written() {
    sandbox::begin();
    let (reader, writer) = pipe();
    writes_all(reader, writer);
}

fn fifo(name: &str) -> (OwnedFd, OwnedFd) {
    let path = directory(name).join("fifo");
    let c_path = CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: the path is a valid string.
    unsafe {
        assert_eq!(libc::mkfifo(c_path.as_ptr(), 0o600), 0);
        let both = own(libc::open(c_path.as_ptr(), libc::O_RDWR));
        let ends = (
            own(libc::open(c_path.as_ptr(), libc::O_RDONLY)),
            own(libc::open(c_path.as_ptr(), libc::O_WRONLY)),
        );
        drop(both);
        std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
        ends
    }
}

#[test]
fn a_fifo_is_like_a_pipe() {
    sandbox::begin();
    let (reader, writer) = fifo("like");
    let task = waiting(move || (read(&reader, &mut [0; 8]), reader));
    assert_eq!(write(&writer, b"data"), Ok(4));
    let (read, reader) = task.join().unwrap();
    assert_eq!(read, Ok(4));
    writes_all(reader, writer);
}

#[test]
fn a_nonblocking_fifo_without_a_writer_is_at_its_end() {
    sandbox::begin();
    let (reader, writer) = fifo("end");
    set_nonblocking(&reader);
    assert_eq!(read(&reader, &mut [0; 8]), Err(libc::EAGAIN));
    drop(writer);
    assert_eq!(read(&reader, &mut [0; 8]), Ok(0));
}

fn small_writes_are_whole((reader, writer): (OwnedFd, OwnedFd)) {
    // A page short of full: 3000 bytes fit once.
    let filled = 65536 - libc::PIPE_BUF;
    assert_eq!(write(&writer, &vec![0; filled]), Ok(filled as isize));
    assert_eq!(write(&writer, &[1; 3000]), Ok(3000));
    let task = waiting(move || write(&writer, &[2; 3000]));
    let mut all = vec![0; 1 << 17];
    assert_eq!(read(&reader, &mut all), Ok(filled as isize + 3000), "nothing of the second one before");
    assert_eq!(task.join().unwrap(), Ok(3000));
    assert_eq!(read(&reader, &mut all), Ok(3000));
}

#[test]
fn up_to_pipe_buf_is_written_at_once_or_not_yet() {
    sandbox::begin();
    small_writes_are_whole(pipe());
    small_writes_are_whole(fifo("whole"));
}

#[test]
fn writev_goes_on_within_and_between_buffers() {
    sandbox::begin();
    let data = pattern(300_000);
    let expected = data.clone();
    let (reader, writer) = pipe();
    let task = waiting(move || {
        let pieces = [&data[..10], &[], &data[10..100_001], &data[100_001..100_002], &data[100_002..]];
        let list = pieces
            .map(|piece| libc::iovec { iov_base: piece.as_ptr().cast_mut().cast(), iov_len: piece.len() });
        outcome(|| hooked::writev(writer.as_raw_fd(), list.as_ptr(), list.len() as i32))
    });
    let drain = drain(reader);
    assert_eq!(task.join().unwrap(), Ok(300_000));
    assert!(drain.join().unwrap() == expected);
}

#[test]
fn a_kill_ends_a_wait_with_ecanceled() {
    sandbox::begin();
    let (reader, writer) = pipe();
    let task = waiting(move || read(&reader, &mut [0; 8]));
    task.kill();
    assert_eq!(task.join().unwrap(), Err(libc::ECANCELED));
    drop(writer);
}

#[test]
fn what_was_written_before_a_kill_is_counted() {
    sandbox::begin();
    let (reader, writer) = pipe();
    let task = waiting(move || write(&writer, &vec![0; 1 << 20]));
    task.kill();
    assert_eq!(task.join().unwrap(), Ok(65536));
    drop(reader);
}

#[test]
fn what_was_written_before_the_readers_went_is_counted() {
    sandbox::begin();
    let (reader, writer) = pipe();
    let task = waiting(move || (write(&writer, &vec![0; 1 << 20]), write(&writer, b"more")));
    drop(reader);
    // Rust programs ignore SIGPIPE.
    assert_eq!(task.join().unwrap(), (Ok(65536), Err(libc::EPIPE)));
}

#[test]
fn a_close_ends_a_wait_with_ebadf() {
    sandbox::begin();
    let (reader, writer) = pipe();
    let fd = reader.as_raw_fd();
    let task = waiting(move || read(&fd, &mut [0; 8]));
    assert_eq!(hooked::close(fd), 0);
    std::mem::forget(reader);
    assert_eq!(task.join().unwrap(), Err(libc::EBADF));
    drop(writer);
}

#[test]
fn eventfds_wait_and_say_eagain() {
    sandbox::begin();
    // SAFETY: takes no pointer.
    let (event, quick) = unsafe { (own(libc::eventfd(0, 0)), own(libc::eventfd(0, libc::EFD_NONBLOCK))) };
    let copy = event.try_clone().unwrap();
    let task = waiting(move || {
        let mut value = [0; 8];
        (read(&copy, &mut value), u64::from_ne_bytes(value))
    });
    assert_eq!(write(&event, &3_u64.to_ne_bytes()), Ok(8));
    assert_eq!(task.join().unwrap(), (Ok(8), 3));
    assert_eq!(read(&quick, &mut [0; 8]), Err(libc::EAGAIN));
    assert_eq!(read(&quick, &mut [0; 4]), Err(libc::EINVAL));
    assert_eq!(read(&quick, &mut []), Err(libc::EINVAL));
}

#[test]
fn timers_and_inotify_wait() {
    sandbox::begin();
    let directory = directory("inotify");
    let path = CString::new(directory.as_os_str().as_bytes()).unwrap();
    // SAFETY: the arguments are valid for the calls.
    let (timer, watch) = unsafe {
        let timer = own(libc::timerfd_create(libc::CLOCK_MONOTONIC, 0));
        let mut time: libc::itimerspec = std::mem::zeroed();
        time.it_value.tv_nsec = 30_000_000;
        assert_eq!(libc::timerfd_settime(timer.as_raw_fd(), 0, &time, std::ptr::null_mut()), 0);
        let watch = own(libc::inotify_init());
        assert!(libc::inotify_add_watch(watch.as_raw_fd(), path.as_ptr(), libc::IN_CREATE) >= 0);
        (timer, watch)
    };
    let first = waiting(move || read(&timer, &mut [0; 8]));
    let second = waiting(move || read(&watch, &mut [0; 4096]).is_ok());
    assert_eq!(first.join().unwrap(), Ok(8));
    std::fs::write(directory.join("new"), b"").unwrap();
    assert!(second.join().unwrap());
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn what_the_poller_does_not_take_is_left_to_libc() {
    sandbox::begin();
    tasks::poll_nothing();
    let (reader, writer) = pipe();
    let thread = std::thread::spawn(move || {
        std::thread::sleep(20 * MS);
        std::io::Write::write_all(&mut std::fs::File::from(writer), b"data").unwrap();
    });
    assert_eq!(read(&reader, &mut [0; 8]), Ok(4));
    thread.join().unwrap();
}

#[test]
fn a_reader_that_loses_the_race_waits_again() {
    sandbox::begin();
    let (reader, writer) = pipe();
    let tasks: Vec<_> = (0..10)
        .map(|_| {
            let reader = reader.try_clone().unwrap();
            spawn(move || read(&reader, &mut [0; 1]))
        })
        .collect();
    sleep(5 * MS);
    for _ in 0..10 {
        assert_eq!(write(&writer, b"x"), Ok(1));
        sleep(MS);
    }
    for task in tasks {
        assert_eq!(task.join().unwrap(), Ok(1));
    }
}

#[test]
fn on_another_thread_it_is_libc() {
    sandbox::begin();
    let (reader, writer) = pipe();
    let thread = std::thread::spawn(move || (read(&reader, &mut [0; 8]), tasks::parks()));
    std::thread::sleep(20 * MS);
    assert_eq!(write(&writer, b"data"), Ok(4));
    assert_eq!(thread.join().unwrap(), (Ok(4), 0));
}

#[test]
fn standard_output_is_written_without_parking() {
    let output = crate::child::in_child("pipes::standard_output_is_written_without_parking", &[], || {
        sandbox::begin();
        for fd in [1, 2] {
            let (reader, writer) = pipe();
            let kept = own(hooked::dup(fd));
            // SAFETY: takes no pointer.
            assert_eq!(unsafe { libc::dup2(writer.as_raw_fd(), fd) }, fd);
            drop(writer);
            let drain = std::thread::spawn(move || {
                std::thread::sleep(20 * MS);
                drain(reader).join().unwrap().len()
            });
            assert_eq!(write(&fd, &vec![7; 200_000]), Ok(200_000));
            let list = libc::iovec { iov_base: c"text".as_ptr().cast_mut().cast(), iov_len: 4 };
            assert_eq!(outcome(|| hooked::writev(fd, &list, 1)), Ok(4));
            // SAFETY: as above.
            assert_eq!(unsafe { libc::dup2(kept.as_raw_fd(), fd) }, fd);
            assert_eq!(drain.join().unwrap(), 200_004);
        }
        assert_eq!(tasks::parks(), 0);
    });
    assert!(output.status.success(), "{output:?}");
}
