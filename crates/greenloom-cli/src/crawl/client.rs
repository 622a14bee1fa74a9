//! One GET request and what comes back, as the crawler needs it.

use std::io::{self, Read};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use ureq::Agent;
use ureq::http::header;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::unversioned::transport::{Connector, RustlsConnector};
use url::Url;

use super::transport::{OffloadResolver, TcpConnector};
use super::{page, retry, robots};

const USER_AGENT: &str = concat!("greenloom/", env!("CARGO_PKG_VERSION"), " (crawler)");
/// Redirects followed on the way to a robots.txt, by RFC 9309 section 2.3.1.2.
const ROBOTS_REDIRECTS: u32 = 5;

/// Settings of a [`Client`].
#[derive(Debug)]
pub(super) struct Settings {
    /// Bound on one request as a whole: look-up, connection, answer, body.
    pub(super) timeout: Duration,
    /// Idle connections kept open to one host.
    pub(super) per_host: usize,
    /// Idle connections kept open altogether.
    pub(super) concurrency: usize,
    /// Bytes read of a body, decompressed, at most.
    pub(super) max_body: u64,
    /// The only certificates that are trusted; `None` for the usual roots.
    pub(super) trusted: Option<Vec<Certificate<'static>>>,
}

/// Fetches URLs over greenloom's sockets. Cheap to clone; clones share their idle connections.
#[derive(Clone)]
pub(super) struct Client {
    agent: Agent,
    max_body: u64,
}

/// What a server answered.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Media type without parameters, lower case.
    pub(super) media_type: Option<String>,
    pub(super) charset: Option<String>,
    /// Where a redirect leads, as the server wrote it.
    pub(super) location: Option<String>,
    pub(super) retry_after: Option<Duration>,
    /// The body, if it is a page (or a robots.txt); other bodies are not read.
    pub(super) body: Option<Vec<u8>>,
    /// Whether the body was longer than allowed.
    pub(super) truncated: bool,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) struct Failure {
    /// A sentence for the user.
    pub(super) reason: String,
    /// Whether another try may help.
    pub(super) transient: bool,
}

impl Answer {
    /// Whether this is HTML, that is, may have links.
    pub(super) fn is_page(&self) -> bool {
        matches!(self.media_type.as_deref(), Some("text/html" | "application/xhtml+xml"))
    }
}

impl Client {
    pub(super) fn new(settings: Settings) -> Client {
        let roots = settings.trusted.map_or(RootCerts::WebPki, |trusted| RootCerts::new_with_certs(&trusted));
        let config = Agent::config_builder()
            .user_agent(USER_AGENT)
            .accept("text/html,application/xhtml+xml;q=0.9,*/*;q=0.1")
            .http_status_as_error(false)
            // The crawl follows redirects itself: their targets are subject to its rules as well.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_global(Some(settings.timeout))
            .max_idle_connections(settings.concurrency)
            .max_idle_connections_per_host(settings.per_host)
            .proxy(None)
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .build();
        let connector = ().chain(TcpConnector).chain(RustlsConnector::default());
        Client { agent: Agent::with_parts(config, connector, OffloadResolver), max_body: settings.max_body }
    }

    /// Fetches `url`, with its body if it is a page. Parks the calling task.
    pub(super) fn get(&self, url: &Url) -> (Result<Answer, Failure>, Duration) {
        let start = Instant::now();
        let answer = self.agent.get(url.as_str()).call().and_then(|response| {
            let mut answer = head_of(&response);
            if (200..300).contains(&answer.status) && answer.is_page() {
                read_body(response, &mut answer, self.max_body)?;
            }
            Ok(answer)
        });
        (answer.map_err(|error| failure(&error)), start.elapsed())
    }

    /// Fetches a robots.txt, following redirects. Parks the calling task.
    pub(super) fn get_robots(&self, url: &Url) -> (Result<Answer, Failure>, Duration) {
        let start = Instant::now();
        let request = self.agent.get(url.as_str()).config().max_redirects(ROBOTS_REDIRECTS).build();
        let answer = request.call().and_then(|response| {
            let mut answer = head_of(&response);
            if (200..300).contains(&answer.status) {
                read_body(response, &mut answer, robots::SIZE_MAX)?;
            }
            Ok(answer)
        });
        (answer.map_err(|error| failure(&error)), start.elapsed())
    }
}

type Response = ureq::http::Response<ureq::Body>;

fn head_of(response: &Response) -> Answer {
    let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    let content_type = text(header::CONTENT_TYPE);
    // Header bytes above ASCII are common in `Location`.
    let location = response.headers().get(header::LOCATION);
    Answer {
        status: response.status().as_u16(),
        media_type: content_type
            .map(|value| value.split(';').next().unwrap_or(value).trim().to_ascii_lowercase()),
        charset: content_type.and_then(page::charset_of).map(str::to_owned),
        location: location.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()),
        retry_after: text(header::RETRY_AFTER).and_then(|value| retry::retry_after(value, SystemTime::now())),
        body: None,
        truncated: false,
    }
}

fn read_body(response: Response, answer: &mut Answer, most: u64) -> Result<(), ureq::Error> {
    // The limit counts decompressed bytes, so a small answer cannot unfold without end.
    let mut reader = response.into_body().into_reader().take(most.saturating_add(1));
    let mut body = Vec::new();
    reader.read_to_end(&mut body).map_err(ureq::Error::from)?;
    if body.len() as u64 > most {
        answer.truncated = true;
        body.truncate(most.try_into().unwrap_or(usize::MAX));
    }
    answer.body = Some(body);
    Ok(())
}

fn failure(error: &ureq::Error) -> Failure {
    let transient = match error {
        // InvalidData: what came is not TLS, or not a certificate that is trusted.
        ureq::Error::Io(error) => {
            !matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput)
        }
        ureq::Error::Timeout(_) | ureq::Error::ConnectionFailed | ureq::Error::BodyStalled => true,
        _ => false,
    };
    let reason = match error {
        ureq::Error::Io(error) => error.to_string(),
        error => error.to_string(),
    };
    Failure { reason, transient }
}

/// Reads the certificates in the PEM file at `path`.
///
/// # Errors
/// A sentence for the user.
pub(super) fn read_certificates(path: &Path) -> Result<Vec<Certificate<'static>>, String> {
    let text = std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let mut certificates = Vec::new();
    for item in parse_pem(&text) {
        match item {
            Ok(PemItem::Certificate(certificate)) => certificates.push(certificate),
            Ok(_) => {}
            Err(error) => return Err(format!("{}: {error}", path.display())),
        }
    }
    if certificates.is_empty() {
        return Err(format!("{} holds no certificate (PEM is expected)", path.display()));
    }
    Ok(certificates)
}
