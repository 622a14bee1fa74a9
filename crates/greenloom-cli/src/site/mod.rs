//! A web site inside this program: something real to crawl without a network.
//!
//! It is served by the process that crawls it, on greenloom's sockets, with the latency of a site far away and
//! the troubles of real ones: redirects, a robots.txt that forbids a part, pages that fail at first, a slow one,
//! broken links, several spellings of one address, something that is no page, and a page without end. `pages`
//! says what there is; `http` speaks HTTP; this file keeps count, so that a crawl can be checked against it.

mod http;
mod pages;

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;

use greenloom::net::TcpListener;
use greenloom::{Group, JoinHandle};
pub(crate) use pages::Shape;
use url::Url;

/// The site, served until dropped.
pub(crate) struct Site {
    shape: Shape,
    address: SocketAddr,
    requests: Requests,
    acceptor: JoinHandle<()>,
    connections: Group,
}

/// How often each path was asked for.
type Requests = Rc<RefCell<HashMap<String, u32>>>;

impl Site {
    /// Serves a site of this shape on a free port of the loopback interface, in tasks of the current thread.
    ///
    /// # Errors
    /// If no socket can be had.
    pub(crate) fn start(shape: Shape) -> io::Result<Site> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let requests = Requests::default();
        let counted = requests.clone();
        let connections = Group::new();
        let accepted = connections.clone();
        let acceptor = greenloom::spawn(move || {
            let answer = Rc::new(move |path: &str| {
                let mut requests = counted.borrow_mut();
                let before = requests.entry(path.to_owned()).or_insert(0);
                *before += 1;
                shape.answer(path, *before)
            });
            http::serve(&listener, &accepted, answer);
        });
        Ok(Site { shape, address, requests, acceptor, connections })
    }

    /// Its front page.
    pub(crate) fn url(&self) -> Url {
        Url::parse(&format!("http://{}/", self.address)).expect("an address makes a URL")
    }

    /// What it consists of.
    pub(crate) fn shape(&self) -> Shape {
        self.shape
    }

    /// Requests answered so far.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.borrow().values().map(|count| u64::from(*count)).sum()
    }

    /// Compares a whole crawl with what there is: `ends` says how many results each URL has.
    ///
    /// # Errors
    /// A sentence that names the first difference.
    pub(crate) fn verify(&self, ends: &HashMap<String, u32>) -> Result<String, String> {
        let root = self.url();
        let open = self.shape.open_paths();
        for path in &open {
            let url = root.join(path).map_err(|error| error.to_string())?;
            match ends.get(url.as_str()) {
                Some(1) => {}
                other => return Err(format!("{path} has {} results instead of one", other.unwrap_or(&0))),
            }
        }
        let requests = self.requests.borrow();
        let mut recovered = 0;
        for (path, count) in requests.iter() {
            let expected = 1 + self.shape.failures(path);
            if *count != expected {
                return Err(format!("{path} was asked for {count} times instead of {expected}"));
            }
            recovered += expected - 1;
            if self.shape.is_forbidden(path) {
                return Err(format!("{path} was asked for although robots.txt forbids it"));
            }
        }
        Ok(format!(
            "all {} addresses found once, {recovered} failures retried, robots.txt obeyed",
            open.len(),
        ))
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.acceptor.kill();
        self.connections.kill();
    }
}
