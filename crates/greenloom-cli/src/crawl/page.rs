//! What a crawler wants from an HTML page: its title and its links.
//!
//! The tokenizer (`html5gum`) follows the WHATWG standard, so links inside comments, scripts and broken markup
//! are found or ignored as a browser would. No tree is built: links need none.

use encoding_rs::{Encoding, UTF_8};
use html5gum::{DefaultEmitter, StartTag, Token, Tokenizer};
use url::Url;

use super::address;

/// Longest title that is kept, in characters.
const TITLE_MAX: usize = 200;
/// How many bytes are searched for `<meta charset>`; the standard says the first 1024.
const META_CHARSET_WINDOW: usize = 1024;

/// What one page says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Page {
    /// Text of the first `<title>`, white space collapsed; empty if there is none.
    pub(super) title: String,
    /// Where its links lead, normalised, each once, in order of appearance.
    pub(super) links: Vec<Url>,
}

/// Reads the page that was fetched from `url`. `charset` is the one named by its `Content-Type`.
pub(super) fn parse(url: &Url, body: &[u8], charset: Option<&str>) -> Page {
    let encoding = charset
        .and_then(|label| Encoding::for_label(label.as_bytes()))
        .or_else(|| Encoding::for_label(meta_charset(body)?.as_bytes()))
        .unwrap_or(UTF_8);
    // Malformed sequences become U+FFFD: a page is not refused for them.
    let (text, _, _) = encoding.decode(body);

    let mut emitter = DefaultEmitter::default();
    // Without a tree builder the tokenizer must be told that <script> and <title> hold no tags.
    emitter.naively_switch_states(true);
    let mut base = url.clone();
    let mut base_seen = false;
    let mut page = Page::default();
    let mut title: Option<String> = None;
    let mut title_done = false;
    let mut follow = true;
    let mut seen = std::collections::HashSet::new();
    for token in Tokenizer::new_with_emitter(&*text, emitter) {
        let Ok(token) = token;
        match token {
            Token::StartTag(tag) => match &**tag.name {
                b"title" if !title_done => title = Some(String::new()),
                b"base" if !base_seen => {
                    if let Some(moved) = attribute(&tag, "href").and_then(|href| url.join(href.trim()).ok()) {
                        base = moved;
                        base_seen = true;
                    }
                }
                b"meta" => follow &= !is_meta_nofollow(&tag),
                b"a" | b"area" if !has_word(&tag, "rel", "nofollow") => {
                    let link = attribute(&tag, "href").and_then(|href| address::resolve(&base, &href));
                    page.links.extend(link.filter(|link| seen.insert(link.clone())));
                }
                b"frame" | b"iframe" => {
                    let link = attribute(&tag, "src").and_then(|src| address::resolve(&base, &src));
                    page.links.extend(link.filter(|link| seen.insert(link.clone())));
                }
                _ => {}
            },
            Token::String(text) => {
                if let Some(title) = &mut title {
                    title.push_str(&String::from_utf8_lossy(&text));
                }
            }
            Token::EndTag(tag) if &**tag.name == b"title" => {
                if let Some(text) = title.take() {
                    title_done = true;
                    page.title = collapse(&text);
                }
            }
            _ => {}
        }
    }
    if !follow {
        page.links.clear();
    }
    page
}

fn attribute(tag: &StartTag<()>, name: &str) -> Option<String> {
    tag.attributes.get(name.as_bytes()).map(|value| String::from_utf8_lossy(value).into_owned())
}

fn has_word(tag: &StartTag<()>, name: &str, word: &str) -> bool {
    attribute(tag, name).is_some_and(|value| {
        value.split(|c: char| c.is_ascii_whitespace() || c == ',').any(|part| part.eq_ignore_ascii_case(word))
    })
}

/// `<meta name="robots" content="nofollow">`, also spelled `none`.
fn is_meta_nofollow(tag: &StartTag<()>) -> bool {
    attribute(tag, "name").is_some_and(|name| name.eq_ignore_ascii_case("robots"))
        && (has_word(tag, "content", "nofollow") || has_word(tag, "content", "none"))
}

fn collapse(text: &str) -> String {
    let mut title = String::new();
    for word in text.split_whitespace() {
        if !title.is_empty() {
            title.push(' ');
        }
        title.push_str(word);
    }
    match title.char_indices().nth(TITLE_MAX) {
        Some((end, _)) => format!("{}…", &title[..end]),
        None => title,
    }
}

/// The label in `<meta charset=...>` or `<meta http-equiv=... content="...; charset=...">`.
fn meta_charset(body: &[u8]) -> Option<String> {
    let head = String::from_utf8_lossy(&body[..body.len().min(META_CHARSET_WINDOW)]).into_owned();
    for token in Tokenizer::new(&head) {
        let Ok(Token::StartTag(tag)) = token else { continue };
        if &**tag.name != b"meta" {
            continue;
        }
        if let Some(label) = attribute(&tag, "charset") {
            return Some(label);
        }
        if let Some(label) = attribute(&tag, "content").as_deref().and_then(charset_of) {
            return Some(label.to_owned());
        }
    }
    None
}

/// The charset that a media type such as `text/html; charset=utf-8` names.
pub(super) fn charset_of(media_type: &str) -> Option<&str> {
    media_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches(['"', '\'']))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(html: &str) -> Page {
        parse(&Url::parse("http://example.org/dir/page").unwrap(), html.as_bytes(), None)
    }

    fn links(html: &str) -> Vec<String> {
        parsed(html).links.into_iter().map(String::from).collect()
    }

    #[test]
    fn links_are_found_as_a_browser_finds_them() {
        let html = r#"<a href=one>1</a><A HREF='/two?a=1&amp;b=2'>2</a><!-- <a href="no"> -->
            <script>document.write('<a href="no">')</script><a name=x>no</a><a href="one#again">1</a>
            <area href="three"><iframe src="four"></iframe><a href="mailto:x@y">no</a><a href="five" "#;
        let expected = ["dir/one", "two?a=1&b=2", "dir/three", "dir/four"];
        assert_eq!(links(html), expected.map(|path| format!("http://example.org/{path}")));
    }

    #[test]
    fn base_moves_the_links_after_it() {
        assert_eq!(links(r#"<base href="/b/"><base href="/c/"><a href=x>x</a>"#), ["http://example.org/b/x"]);
    }

    #[test]
    fn nofollow_is_honoured() {
        assert!(links(r#"<a rel="external NoFollow" href=x>x</a>"#).is_empty());
        assert!(links(r#"<meta name=robots content="noindex,nofollow"><a href=x>x</a>"#).is_empty());
    }

    #[test]
    fn the_title_is_text() {
        assert_eq!(parsed("<title>\n A &amp;  <b>B\n</title><title>no</title>").title, "A & <b>B");
        assert_eq!(
            parsed(&format!("<title>{}</title>", "ä".repeat(500))).title.chars().count(),
            TITLE_MAX + 1
        );
    }

    #[test]
    fn the_charset_is_taken_from_header_or_page() {
        let url = Url::parse("http://example.org/").unwrap();
        let latin = b"<meta charset=windows-1252><title>caf\xe9</title>";
        assert_eq!(parse(&url, latin, None).title, "café");
        assert_eq!(parse(&url, b"<title>caf\xe9</title>", Some("latin1")).title, "café");
        assert_eq!(parse(&url, b"<title>caf\xe9</title>", Some("no-such")).title, "caf\u{fffd}");
        assert_eq!(charset_of("text/html; x=1; Charset=\"UTF-8\""), Some("UTF-8"));
    }
}
