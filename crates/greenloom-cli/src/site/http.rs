//! As much of an HTTP/1.1 server as the embedded site needs: GET, keep-alive, one task per connection.

use std::io::{self, Read, Write};
use std::rc::Rc;
use std::time::Duration;

use greenloom::Group;
use greenloom::net::{TcpListener, TcpStream};

/// Longest request head, in bytes.
const HEAD_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 64;

/// An answer to a GET request.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) location: Option<String>,
    pub(super) body: Vec<u8>,
    /// Time to wait before it is sent.
    pub(super) latency: Duration,
}

/// Serves `listener` until the calling task is killed, each connection in a task of `connections`.
pub(super) fn serve(
    listener: &TcpListener,
    connections: &Group,
    answer: Rc<impl Fn(&str) -> Answer + 'static>,
) {
    // Ends only with an error that would come again at once: the site is then gone, and its crawler says so.
    while let Ok((stream, _)) = listener.accept_patiently() {
        let answer = answer.clone();
        connections.spawn(move || {
            // A client that hangs up is no trouble of the site's.
            let _ = connection(stream, &*answer);
        });
    }
}

fn connection(mut stream: TcpStream, answer: &impl Fn(&str) -> Answer) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::new();
    loop {
        let Some(request) = read_head(&mut stream, &mut buffer)? else { return Ok(()) };
        let answer = match &request.path {
            Some(path) => answer(path),
            None => Answer {
                status: 400,
                content_type: "text/plain",
                location: None,
                body: Vec::new(),
                latency: Duration::ZERO,
            },
        };
        greenloom::sleep(answer.latency);
        let close = !request.keep_alive || request.path.is_none();
        stream.write_all(&encode(&answer, close))?;
        if close {
            return Ok(());
        }
    }
}

struct Request {
    /// `None` for what is no GET request.
    path: Option<String>,
    keep_alive: bool,
}

/// Reads one request head; `buffer` keeps what came after it. `None` at the end of the connection.
fn read_head(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<Request>> {
    loop {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(buffer) {
            Ok(httparse::Status::Complete(length)) => {
                let close = request.headers.iter().any(|header| {
                    header.name.eq_ignore_ascii_case("connection")
                        && header.value.eq_ignore_ascii_case(b"close")
                });
                let path = request.path.filter(|_| request.method == Some("GET")).map(str::to_owned);
                buffer.drain(..length);
                return Ok(Some(Request { path, keep_alive: !close }));
            }
            Ok(httparse::Status::Partial) if buffer.len() < HEAD_MAX => {}
            _ => return Ok(Some(Request { path: None, keep_alive: false })),
        }
        let mut chunk = [0; 2048];
        match stream.read(&mut chunk)? {
            0 => return Ok(None),
            count => buffer.extend_from_slice(&chunk[..count]),
        }
    }
}

fn encode(answer: &Answer, close: bool) -> Vec<u8> {
    let reason = match answer.status {
        200 => "OK",
        301 => "Moved Permanently",
        302 => "Found",
        400 => "Bad Request",
        404 => "Not Found",
        410 => "Gone",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Unknown",
    };
    let mut head = format!(
        "HTTP/1.1 {} {reason}\r\nContent-Type: {}\r\nContent-Length: {}\r\n",
        answer.status,
        answer.content_type,
        answer.body.len()
    );
    if let Some(location) = &answer.location {
        head.push_str(&format!("Location: {location}\r\n"));
    }
    if close {
        head.push_str("Connection: close\r\n");
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(&answer.body);
    bytes
}
