//! URLs as the crawler compares them.
//!
//! Two links that name the same resource must become the same text, or a page is fetched twice. The crate
//! `url` already lower-cases the scheme and host, drops default ports and resolves dot segments; what RFC 3986
//! section 6.2.2 adds (percent-encodings in one spelling) is done here, and what only means something to a
//! browser (fragment, credentials, an empty query) is dropped.

use url::Url;

/// Resolves `href` against `base` and brings it into the one form the crawler compares.
///
/// `None` if it is no URL, or not one that can be fetched (`mailto:`, `javascript:`, `data:`, ...).
pub(super) fn resolve(base: &Url, href: &str) -> Option<Url> {
    normalise(base.join(href.trim()).ok()?)
}

/// Reads what a user typed: an absolute URL, or one without a scheme (`example.org/docs`).
///
/// # Errors
/// A sentence for the user.
pub(super) fn parse_seed(text: &str) -> Result<Url, String> {
    let with_scheme = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{}", text.trim_start_matches("//"))
    };
    let url = Url::parse(&with_scheme).map_err(|error| format!("not a URL: {error}"))?;
    let scheme = url.scheme().to_owned();
    normalise(url).ok_or_else(|| format!("only http and https can be crawled, not {scheme}"))
}

fn normalise(mut url: Url) -> Option<Url> {
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return None;
    }
    url.set_fragment(None);
    // These cannot fail on a URL that has a host.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    if url.query() == Some("") {
        url.set_query(None);
    }
    let path = one_spelling(url.path());
    if path != url.path() {
        // Decoding may bring a dot segment to light (`/a/%2e%2e/b`); `set_path` resolves it.
        url.set_path(&path);
    }
    if let Some(query) = url.query() {
        let spelled = one_spelling(query);
        if spelled != query {
            url.set_query(Some(&spelled));
        }
    }
    Some(url)
}

/// Decodes percent-encodings of unreserved characters and writes the others with capital digits.
fn one_spelling(text: &str) -> String {
    let hex = |byte: u8| char::from(byte).to_digit(16);
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let mut rest = 0;
    while let Some(found) = text[rest..].find('%') {
        let at = rest + found;
        out.push_str(&text[rest..at]);
        rest = at + 1;
        let digits = bytes.get(at + 1).copied().and_then(hex).zip(bytes.get(at + 2).copied().and_then(hex));
        let Some((high, low)) = digits else {
            out.push('%');
            continue;
        };
        rest = at + 3;
        // Two hexadecimal digits fit in a byte.
        let byte = (high * 16 + low) as u8;
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out.push_str(&text[rest..]);
    out
}

/// What "the same site" compares: the host without a leading `www.`, and the port unless it is the default.
///
/// `http://example.org`, `https://example.org` and `https://www.example.org` are one site.
pub(super) fn site_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let host = host.strip_prefix("www.").unwrap_or(host);
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// Scheme, host and port: what has one robots.txt and one queue.
pub(super) fn origin_of(url: &Url) -> String {
    url.origin().ascii_serialization()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(href: &str) -> Option<String> {
        let base = Url::parse("http://Example.org:80/a/b.html?x=1#top").unwrap();
        resolve(&base, href).map(String::from)
    }

    #[test]
    fn links_to_one_resource_become_one_text() {
        for href in ["c.html", "./c.html", "../a/c.html", "/a/c.html#part", "/a/%63.html", " c.html\n"] {
            assert_eq!(resolved(href).as_deref(), Some("http://example.org/a/c.html"), "{href}");
        }
        assert_eq!(
            resolved("//user:pw@example.org/a/c.html?").as_deref(),
            Some("http://example.org/a/c.html")
        );
        assert_eq!(resolved("/x%2fy%c3%a4?q=%7e").as_deref(), Some("http://example.org/x%2Fy%C3%A4?q=~"));
        assert_eq!(resolved("/p/%2e%2e/q").as_deref(), Some("http://example.org/q"));
        assert_eq!(resolved("/100%").as_deref(), Some("http://example.org/100%"));
        assert_eq!(resolved("/%zz%4").as_deref(), Some("http://example.org/%zz%4"));
    }

    #[test]
    fn what_cannot_be_fetched_is_no_link() {
        for href in ["mailto:a@example.org", "javascript:void(0)", "data:text/plain,x", "ftp://example.org/"]
        {
            assert_eq!(resolved(href), None, "{href}");
        }
    }

    #[test]
    fn a_seed_may_lack_its_scheme() {
        assert_eq!(parse_seed("example.org/docs").unwrap().as_str(), "http://example.org/docs");
        assert!(parse_seed("ftp://example.org").unwrap_err().contains("ftp"));
        assert!(parse_seed("http://").is_err());
    }

    #[test]
    fn a_site_is_its_host_and_port() {
        let site = |text: &str| site_of(&Url::parse(text).unwrap());
        assert_eq!(site("http://example.org/"), site("https://www.example.org:443/x"));
        assert_ne!(site("http://example.org/"), site("http://example.org:8080/"));
        assert_ne!(site("http://example.org/"), site("http://docs.example.org/"));
    }
}
