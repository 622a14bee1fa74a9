//! An unmodified blocking HTTP client: ureq.

mod common;

use common::{assert_together, ms, patched, together};
use greenloom::spawn;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

/// A server of tasks on this thread that answers each request with its path after 0.3 s; its address.
fn slow_site() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // Gone with the test's thread.
    drop(spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            drop(spawn(move || answer(stream)));
        }
    }));
    format!("http://{address}")
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    while let Some(request) = lines.next().transpose()? {
        let path = request.split(' ').nth(1).unwrap_or("?").to_owned();
        for line in lines.by_ref() {
            if line?.is_empty() {
                break;
            }
        }
        std::thread::sleep(ms(300));
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}", path.len())?;
    }
    Ok(())
}

#[test]
fn a_hundred_slow_requests_are_one_on_one_thread() {
    patched();
    let threads = common::threads();
    let site = slow_site();
    let agent = ureq::Agent::new_with_defaults();
    let get = {
        let site = site.clone();
        move |number: usize| {
            let mut response = agent.get(format!("{site}/{number}")).call().unwrap();
            response.body_mut().read_to_string().unwrap()
        }
    };
    let (bodies, took) = together(100, get);
    assert_eq!(common::threads(), threads, "nobody has made a thread");
    for (number, body) in bodies.iter().enumerate() {
        assert_eq!(*body, format!("/{number}"));
    }
    assert_together("100 requests of 0.3 s with ureq", took, ms(3000), ms(30_000));
}

#[test]
fn its_timeout_and_ours_end_a_request() {
    patched();
    let site = slow_site();
    let config = ureq::Agent::config_builder().timeout_global(Some(ms(50))).build();
    let agent = ureq::Agent::new_with_config(config);
    let url = site.clone();
    let error = spawn(move || agent.get(&url).call().unwrap_err()).join().unwrap();
    assert!(matches!(error, ureq::Error::Timeout(_)), "{error:?}");
    let late = greenloom::timeout(ms(50), || ureq::get(&site).call().map(drop));
    assert!(late.is_err());
}
