//! Runs the built program with a bound on its time, and small servers for it to talk to.
#![allow(dead_code, reason = "each test file uses a part")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// No test waits longer than this for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A started program. It is killed when dropped.
pub(crate) struct Running {
    child: Child,
    stdout: Option<BufReader<ChildStdout>>,
    stderr: Option<JoinHandle<String>>,
}

/// What a program said and how it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// The exit code; -1 if a signal ended it.
    pub(crate) fn code(&self) -> i32 {
        self.status.code().unwrap_or(-1)
    }
}

/// Starts `greenloom` with these arguments.
pub(crate) fn start(arguments: &[&str]) -> Running {
    let mut command = Command::new(env!("CARGO_BIN_EXE_greenloom"));
    command.args(arguments);
    start_command(command)
}

/// Starts any command with its output captured.
pub(crate) fn start_command(mut command: Command) -> Running {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let stdout = child.stdout.take().map(BufReader::new);
    let stderr = child.stderr.take().map(|mut pipe| {
        thread::spawn(move || {
            let mut text = String::new();
            let _ = pipe.read_to_string(&mut text);
            text
        })
    });
    Running { child, stdout, stderr }
}

/// Runs `greenloom` to its end.
pub(crate) fn run(arguments: &[&str]) -> Ended {
    start(arguments).finish()
}

impl Running {
    /// The next line of standard output.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.as_mut().expect("not finished").read_line(&mut line).expect("readable");
        line
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("it runs");
    }

    /// Waits for the end, within [`PATIENCE`].
    pub(crate) fn finish(mut self) -> Ended {
        let mut pipe = self.stdout.take().expect("not finished");
        let stdout = thread::spawn(move || {
            let mut text = String::new();
            let _ = pipe.read_to_string(&mut text);
            text
        });
        let status = self.wait();
        let stdout = stdout.join().unwrap_or_default();
        let status = status.unwrap_or_else(|| panic!("still running after {PATIENCE:?}; it said:\n{stdout}"));
        Ended { status, stdout, stderr: self.stderr() }
    }

    /// Closes the reading end of its standard output and waits for the end.
    pub(crate) fn finish_without_reading(mut self) -> Ended {
        self.stdout = None;
        let status = self.wait().expect("it ends in time");
        Ended { status, stdout: String::new(), stderr: self.stderr() }
    }

    fn stderr(&mut self) -> String {
        self.stderr.take().and_then(|reader| reader.join().ok()).unwrap_or_default()
    }

    /// `None` if it had to be killed.
    fn wait(&mut self) -> Option<ExitStatus> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.child.try_wait().expect("waitable") {
                Some(status) => return Some(status),
                None if Instant::now() > deadline => {
                    let _ = self.child.kill();
                    let _ = self.child.wait();
                    return None;
                }
                None => thread::sleep(Duration::from_millis(10)),
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts `greenloom serve` on a free port; the address it printed.
pub(crate) fn serve(arguments: &[&str]) -> (Running, SocketAddr) {
    let mut arguments = arguments.to_vec();
    arguments.extend(["--addr", "127.0.0.1:0"]);
    let mut server = start(&["serve"].into_iter().chain(arguments).collect::<Vec<_>>());
    let address = listening(&mut server);
    (server, address)
}

/// Reads the address from the line that a server prints first.
pub(crate) fn listening(server: &mut Running) -> SocketAddr {
    let line = server.line();
    line.strip_prefix("listening on ")
        .and_then(|rest| rest.split(": ").next())
        .and_then(|address| address.parse().ok())
        .unwrap_or_else(|| panic!("no address in {line:?}"))
}

/// One answer of a [`Web`] server.
pub(crate) struct Page {
    pub(crate) status: u16,
    /// Whole lines.
    pub(crate) headers: String,
    pub(crate) body: String,
}

impl Page {
    pub(crate) fn html(body: &str) -> Page {
        Page { status: 200, headers: "Content-Type: text/html\r\n".into(), body: body.to_owned() }
    }
}

/// A web server in threads of the test; it counts and times the requests for each path.
pub(crate) struct Web {
    pub(crate) address: SocketAddr,
    log: Arc<Mutex<HashMap<String, Vec<Instant>>>>,
}

impl Web {
    /// `answer` gets the path and how often it was asked for before.
    pub(crate) fn start(answer: impl Fn(&str, usize) -> Page + Send + Sync + 'static) -> Web {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let log: Arc<Mutex<HashMap<String, Vec<Instant>>>> = Arc::default();
        let shared = log.clone();
        let answer = Arc::new(answer);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, log) = (answer.clone(), shared.clone());
                thread::spawn(move || speak_http(stream, &*answer, &log));
            }
        });
        Web { address, log }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// When `path` was asked for.
    pub(crate) fn times(&self, path: &str) -> Vec<Instant> {
        self.log.lock().expect("no panic").get(path).cloned().unwrap_or_default()
    }
}

/// Answers requests on `stream` until it ends.
pub(crate) fn speak_http(
    stream: impl Read + Write,
    answer: &(impl Fn(&str, usize) -> Page + ?Sized),
    log: &Mutex<HashMap<String, Vec<Instant>>>,
) {
    let mut stream = BufReader::new(ReadWrite(stream));
    loop {
        let mut path = String::new();
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if path.is_empty() {
                path = line.split(' ').nth(1).unwrap_or("/").to_owned();
            }
            if line == "\r\n" {
                break;
            }
        }
        let before = {
            let mut log = log.lock().expect("no panic");
            let times = log.entry(path.clone()).or_default();
            times.push(Instant::now());
            times.len() - 1
        };
        let page = answer(&path, before);
        let text = format!(
            "HTTP/1.1 {} Status\r\n{}Content-Length: {}\r\n\r\n{}",
            page.status,
            page.headers,
            page.body.len(),
            page.body
        );
        if stream.get_mut().write_all(text.as_bytes()).and_then(|()| stream.get_mut().flush()).is_err() {
            return;
        }
    }
}

/// Lets a `BufReader` own something that is written to as well.
struct ReadWrite<S>(S);

impl<S: Read> Read for ReadWrite<S> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl<S: Write> Write for ReadWrite<S> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

/// Connects to a server of the test.
pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, PATIENCE).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("settable");
    stream
}

/// Sends `text` and reads as many bytes back.
pub(crate) fn ask(mut stream: &TcpStream, text: &str) -> std::io::Result<String> {
    stream.write_all(text.as_bytes())?;
    let mut reply = vec![0; text.len()];
    stream.read_exact(&mut reply)?;
    Ok(String::from_utf8_lossy(&reply).into_owned())
}

/// The JSON lines in `text`; each must be valid.
pub(crate) fn json_lines(text: &str) -> Vec<serde_json::Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// The one line whose URL ends with `path`.
pub(crate) fn line_of<'a>(lines: &'a [serde_json::Value], path: &str) -> &'a serde_json::Value {
    let found: Vec<_> =
        lines.iter().filter(|line| line["url"].as_str().unwrap_or("").ends_with(path)).collect();
    assert_eq!(found.len(), 1, "lines for {path}: {found:?}");
    found[0]
}
