use crate::errno;
use crate::hooks::file_locks::{flock, lockf};
use crate::hooks::tasks::{killed, on_hub};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::Command;

fn path(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("greenloom-{name}-{}", std::process::id()))
}

#[test]
fn tasks_keep_each_other_out() {
    on_hub(|| {
        let path = path("flock");
        let tasks: Vec<_> = (0..5)
            .map(|_| {
                let file = File::create(&path).unwrap();
                greenloom::spawn(move || {
                    // SAFETY: numbers.
                    unsafe {
                        assert_eq!(flock(file.as_raw_fd(), libc::LOCK_EX), 0);
                        greenloom::sleep(std::time::Duration::from_millis(20));
                        assert_eq!(flock(file.as_raw_fd(), libc::LOCK_UN), 0);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.join().unwrap();
        }
        std::fs::remove_file(path).unwrap();
    });
}

#[test]
fn a_kill_ends_the_wait_and_what_does_not_block_is_as_it_was() {
    on_hub(|| {
        let path = path("killed");
        let (mine, others) = (File::create(&path).unwrap(), File::create(&path).unwrap());
        let fd = mine.as_raw_fd();
        // SAFETY: numbers.
        unsafe {
            assert_eq!(flock(others.as_raw_fd(), libc::LOCK_EX), 0);
            assert_eq!(killed(move || flock(fd, libc::LOCK_SH)), (-1, libc::ECANCELED));
            assert_eq!(flock(fd, libc::LOCK_EX | libc::LOCK_NB), -1);
            assert_eq!(errno::get(), libc::EWOULDBLOCK);
            assert_eq!(flock(-1, libc::LOCK_EX), -1);
            assert_eq!(errno::get(), libc::EBADF);
            assert_eq!(flock(fd, 77), -1);
            assert_eq!(errno::get(), libc::EINVAL);
        }
        std::fs::remove_file(path).unwrap();
    });
}

#[test]
fn lockf_waits_for_another_process() {
    on_hub(|| {
        let path = path("lockf");
        let mine = File::create(&path).unwrap();
        let fd = mine.as_raw_fd();
        // The child says when it has the lock.
        let script = "import fcntl, sys, time\nf = open(sys.argv[1], 'r+')\nfcntl.lockf(f, fcntl.LOCK_EX)\n\
                      print(flush=True)\ntime.sleep(0.3)";
        let mut other = Command::new("python3")
            .args(["-c", script])
            .arg(&path)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Read::read_exact(other.stdout.as_mut().unwrap(), &mut [0]).unwrap();
        // SAFETY: numbers.
        unsafe {
            assert_eq!(lockf(fd, libc::F_TEST, 0), -1);
            assert_eq!(killed(move || lockf(fd, libc::F_LOCK, 0)), (-1, libc::ECANCELED));
            assert_eq!(lockf(fd, libc::F_LOCK, 0), 0);
        }
        other.wait().unwrap();
        std::fs::remove_file(path).unwrap();
    });
}
