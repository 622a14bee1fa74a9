//! Servers on this machine, started by a test and ended with it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long a server may take to begin.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server's program. If there is none a line says so; with `GREENLOOM_TEST_REQUIRE_SERVERS=1`, as in CI, it is a failure.
pub(crate) fn program(name: &str, package: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian keeps PostgreSQL's programs out of the path, one directory for each version.
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    versions.sort();
    let places = std::env::split_paths(&path).chain(versions.into_iter().rev());
    let found = places.map(|place| place.join(name)).find(|program| program.is_file());
    if found.is_none() {
        let required = std::env::var("GREENLOOM_TEST_REQUIRE_SERVERS").is_ok_and(|value| value == "1");
        assert!(!required, "no {name}: apt-get install {package}");
        println!("skipped, no {name}: apt-get install {package}");
    }
    found
}

/// A directory that goes with this.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new(name: &str) -> Directory {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("greenloom-{name}-{}-{number}", std::process::id()));
        fs::create_dir(&path).expect("a new directory");
        Directory(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What is left is in the system's directory for such.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A server that runs until this is dropped, or the test's process ends.
pub(crate) struct Server {
    process: Child,
    log: PathBuf,
    stop: i32,
}

impl Server {
    /// Starts `command`, whose options for setpriv(1) come first, and waits until its log says `ready`. `stop` is the
    /// signal that ends it in an orderly way.
    pub(crate) fn start(command: &[&str], directory: &Path, ready: &str, stop: i32) -> Server {
        let log = directory.join("log");
        let output = fs::File::create(&log).expect("a log");
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .args(command)
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a descriptor"))
            .stderr(output)
            .spawn()
            .expect("the server begins");
        let mut server = Server { process, log, stop };
        let began = Instant::now();
        while !server.said().contains(ready) {
            let ended = server.process.try_wait().expect("its status");
            assert!(ended.is_none() && began.elapsed() < PATIENCE, "{ended:?}:\n{}", server.said());
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    fn said(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SAFETY: a child that was not waited for.
        unsafe { libc::kill(self.process.id() as i32, self.stop) };
        let _ = self.process.wait();
    }
}

/// A Redis that listens on the Unix socket `redis` in the directory.
pub(crate) fn redis(directory: &Path) -> Option<Server> {
    let program = program("redis-server", "redis-server")?;
    let settings = ["--port", "0", "--unixsocket", "redis", "--appendonly", "no", "--save", ""];
    let mut command = vec![program.to_str().expect("a path in UTF-8")];
    command.extend(settings);
    Some(Server::start(&command, directory, "eady to accept connections", libc::SIGTERM))
}

/// A PostgreSQL that listens on a Unix socket in the directory; anybody is the user `tests`.
pub(crate) fn postgres(directory: &Path) -> Option<Server> {
    let (initdb, postgres) = (program("initdb", "postgresql")?, program("postgres", "postgresql")?);
    let text = |path: &Path| path.to_str().expect("a path in UTF-8").to_owned();
    let (initdb, postgres, data) = (text(&initdb), text(&postgres), text(&directory.join("data")));
    let mut user: &[&str] = &[];
    // SAFETY: cannot fail.
    if unsafe { libc::geteuid() } == 0 {
        // It refuses to run as root.
        user = &["--reuid", "postgres", "--regid", "postgres", "--init-groups"];
        own(directory).expect("the directory is given to postgres");
    }
    let cluster = [&initdb, "--no-sync", "--auth", "trust", "--username", "tests", "--pgdata", &data];
    let made = Command::new("setpriv").args(user).args(cluster).current_dir(directory).output();
    let made = made.expect("initdb runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let here = text(directory);
    let settings = [&postgres, "-D", &data, "-k", &here, "-h", "", "-F"];
    let command = [user, &settings].concat();
    // SIGTERM would wait for clients.
    Some(Server::start(&command, directory, "ready to accept connections", libc::SIGINT))
}

fn own(directory: &Path) -> io::Result<()> {
    let status = Command::new("chown").arg("postgres").arg(directory).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other("chown failed")) }
}
