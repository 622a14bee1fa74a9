//! `greenloom crawl` over TLS: `rustls` on greenloom's sockets against a `rustls` server on std's.

mod common;

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread;

use common::{Page, json_lines, run, speak_http};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// Serves three pages for `localhost`; the address, and a file with the certificate to trust.
fn start_tls_site() -> (SocketAddr, tempfile::NamedTempFile) {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let mut pem = tempfile::NamedTempFile::new().unwrap();
    pem.write_all(certified.cert.pem().as_bytes()).unwrap();
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let config = config.clone();
            thread::spawn(move || {
                let connection = ServerConnection::new(config).unwrap();
                let answer = |path: &str, _: usize| match path {
                    "/" => Page::html("<a href=/1>1</a> <a href=/2>2</a>"),
                    // Larger than one TLS record.
                    _ => Page::html(&"<p>text</p>".repeat(4000)),
                };
                speak_http(StreamOwned::new(connection, stream), &answer, &Mutex::default());
            });
        }
    });
    (address, pem)
}

#[test]
fn https_works_with_a_certificate_that_is_trusted() {
    let (address, ca) = start_tls_site();
    let url = format!("https://localhost:{}/", address.port());
    let ended = run(&["crawl", &url, "--ca", ca.path().to_str().unwrap(), "--out", "-"]);
    assert_eq!(ended.code(), 0, "{ended:?}");
    let lines = json_lines(&ended.stdout);
    assert_eq!(lines.len(), 3);
    assert!(lines.iter().all(|line| line["status"] == 200), "{lines:?}");
    assert_eq!(lines[1]["bytes"], 44_000);
}

#[test]
fn a_certificate_that_is_not_trusted_is_an_error_at_once() {
    let (address, _) = start_tls_site();
    let url = format!("https://localhost:{}/", address.port());
    let ended = run(&["crawl", &url]);
    assert_eq!(ended.code(), 1, "{ended:?}");
    assert!(ended.stderr.contains("certificate"), "{}", ended.stderr);
}

#[test]
fn a_file_without_certificates_is_refused() {
    let empty = tempfile::NamedTempFile::new().unwrap();
    let ended = run(&["crawl", "https://localhost/", "--ca", empty.path().to_str().unwrap()]);
    assert_eq!(ended.code(), 1);
    assert!(ended.stderr.contains("holds no certificate"), "{}", ended.stderr);
}
